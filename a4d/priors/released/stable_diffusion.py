"""Text-to-image priors: Stable Diffusion 1.5 and 2.1 in latent space, DeepFloyd IF's first stage in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.priors.components import Encoder, TextEncoder, UNetPrior
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.schedule import NoiseSchedule


class RowAdapter(Protocol):
    """What of a model differs between the images of a batch."""

    def told(self, conditioning: Conditioning, cameras: Cameras | None, images: int) -> dict[str, Any]:
        """What a UNet of diffusers is given for it, beside the prompts' tokens."""


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
        adapter: updates that follow from what each image's prompt and camera are, where it has some.
    """

    modality: Modality = "image"
    texts_suffice: bool = True
    adapter: RowAdapter | None = None

    def __init__(self, unet: Any, encoder: Encoder, text: TextEncoder, schedule: NoiseSchedule) -> None:
        super().__init__(unet, encoder, schedule)
        self.text = text

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Token embeddings (S, 77, D), and those of the tokens that end the prompts (S, D)."""
        return Conditioning(self.read(prompts))

    def read(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Token embeddings (S, 77, D) as `text`, and those of the tokens that end the prompts (S, D) as `eot`."""
        device = self.unet.device
        return {"text": self.text(prompts, device), "eot": self.text.summaries(prompts, device)}

    def ask(
        self,
        latents: Tensor,
        t: Tensor,
        text: Tensor,
        conditioning: Conditioning,
        cameras: Cameras | None,
        **inputs: Any,
    ) -> Tensor:
        """The UNet's output (B, C, h, w) of whatever it is shown.

        Args:
            latents: (B, C, h, w) of the UNet's dtype.
            t: (B,)
            text: (B, 77, D) of any dtype.
            conditioning: S, which an adapter follows.
            cameras: B, likewise.
            inputs: what else the UNet takes.

        Raises:
            ConfigError: an adapter needs cameras, and there are none.
        """
        told = {} if self.adapter is None else self.adapter.told(conditioning, cameras, len(latents))
        output: Tensor = self.unet(latents, t, text.to(latents.dtype), **told, **inputs).sample
        return output

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for images, each with its prompt."""
        return self.ask(latents, t, conditioning["text"], conditioning, cameras)


class DeepFloyd(StableDiffusion):
    """DeepFloyd IF, first stage: pixels of 64 x 64 in [-1, 1], a T5 text encoder, and twice as many channels out as in.

    The second half of the channels predicts the variance, which distillation does not ask for.
    """

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The mean alone."""
        return super().predict(latents, t, conditioning, cameras)[:, : latents.shape[1]]
