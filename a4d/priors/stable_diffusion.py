"""Text-to-image priors: Stable Diffusion 1.5 and 2.1 in latent space, DeepFloyd IF's first stage in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.priors.components import LatentEncoder, TextEncoder, resized
from a4d.priors.protocol import Conditioning, Modality, Prior
from a4d.priors.schedule import NoiseSchedule


class StableDiffusion(Prior):
    """Stable Diffusion (Rombach et al. 2022), predicting epsilon or v as its schedule says.

    Images are resized to the model's size, bilinearly and low-pass filtered, and scaled to [-1, 1]; any background.

    Args:
        unet: diffusers' `UNet2DConditionModel`; its dtype is the one computed in.
        vae: encodes images at the model's size.
        text: prompts to the UNet's cross-attention width.
        schedule: as the model was trained.
    """

    modality: Modality = "image"

    def __init__(self, unet: Any, vae: LatentEncoder, text: TextEncoder, schedule: NoiseSchedule) -> None:
        self.unet, self.vae, self.text, self.schedule = unet, vae, text, schedule

    def condition(
        self,
        prompts: Sequence[str],
        images: Tensor | None = None,
        cameras: Cameras | None = None,
    ) -> Conditioning:
        """Token embeddings (S, 77, D)."""
        return Conditioning({"text": self.text(prompts, self.unet.device)})

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Scaled latents (B, 4, h / 8, w / 8)."""
        return self.vae(rgb, generator)

    def denoise(
        self,
        latents: Tensor,
        t: Tensor,
        conditioning: Conditioning,
        cameras: Cameras | None = None,
        times: Tensor | None = None,
    ) -> Tensor:
        """The noise that the UNet predicts."""
        dtype = self.unet.dtype
        output = self.unet(latents.to(dtype), t, conditioning["text"].to(dtype)).sample
        return self.schedule.noise_from_output(output.to(latents), latents, t)


class DeepFloyd(Prior):
    """DeepFloyd IF, first stage: pixels of 64 x 64 in [-1, 1], and a T5 text encoder.

    Args:
        unet: diffusers' `UNet2DConditionModel`; of its six channels the last three are the variance.
        text: T5 with its padding mask.
        schedule: cosine.
    """

    modality: Modality = "image"

    def __init__(self, unet: Any, text: TextEncoder, schedule: NoiseSchedule) -> None:
        self.unet, self.text, self.schedule = unet, text, schedule

    def condition(
        self,
        prompts: Sequence[str],
        images: Tensor | None = None,
        cameras: Cameras | None = None,
    ) -> Conditioning:
        """Token embeddings (S, 77, D)."""
        return Conditioning({"text": self.text(prompts, self.unet.device)})

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, 64, 64) in [-1, 1]."""
        side = int(self.unet.config.sample_size)
        return resized(rgb, (side, side)) * 2 - 1

    def denoise(
        self,
        latents: Tensor,
        t: Tensor,
        conditioning: Conditioning,
        cameras: Cameras | None = None,
        times: Tensor | None = None,
    ) -> Tensor:
        """The noise that the UNet predicts, without the variance it also predicts."""
        dtype = self.unet.dtype
        output = self.unet(latents.to(dtype), t, conditioning["text"].to(dtype)).sample
        return self.schedule.noise_from_output(output[:, : latents.shape[1]].to(latents), latents, t)
