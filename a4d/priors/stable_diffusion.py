"""Text-to-image priors: Stable Diffusion 1.5 and 2.1 in latent space, DeepFloyd IF's first stage in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.priors.components import Encoder, TextEncoder, UNetPrior
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.schedule import NoiseSchedule


class StableDiffusion(UNetPrior):
    """Stable Diffusion (Rombach et al. 2022), predicting epsilon or v as its schedule says.

    Images are resized to the model's size, bilinearly and low-pass filtered, and scaled to [-1, 1]; any background.

    Args:
        unet: diffusers' `UNet2DConditionModel`.
        encoder: at the model's size.
        text: prompts to the UNet's cross-attention width.
        schedule: as the model was trained.

    Attributes:
        texts_suffice: whether it is told nothing but texts.
    """

    modality: Modality = "image"
    texts_suffice: bool = True

    def __init__(self, unet: Any, encoder: Encoder, text: TextEncoder, schedule: NoiseSchedule) -> None:
        super().__init__(unet, encoder, schedule)
        self.text = text

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Token embeddings (S, 77, D)."""
        return Conditioning({"text": self.text(prompts, self.unet.device)})

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for images, each with its prompt."""
        output: Tensor = self.unet(latents, t, conditioning["text"].to(latents.dtype)).sample
        return output


class DeepFloyd(StableDiffusion):
    """DeepFloyd IF, first stage: pixels of 64 x 64 in [-1, 1], a T5 text encoder, and twice as many channels out as in.

    The second half of the channels predicts the variance, which distillation does not ask for.
    """

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The mean alone."""
        return super().predict(latents, t, conditioning, cameras)[:, : latents.shape[1]]
