"""ControlNet-tile over Stable Diffusion 1.5: the same picture with detail, optionally of a personalised subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.components import Encoder, TextEncoder, resized
from a4d.priors.protocol import Conditioning
from a4d.priors.released.stable_diffusion import StableDiffusion
from a4d.priors.schedule import NoiseSchedule


class ControlNetTile(StableDiffusion):
    """ControlNet 1.1 tile (Zhang et al. 2023), keeping both halves of guidance on the same control image.

    The control image, in [0, 1], says what is where; the prompt, in which a learnt token may stand, says what it is.

    Args:
        unet: of Stable Diffusion 1.5.
        controlnet: diffusers' `ControlNetModel`.
        encoder: 512 to 1024 pixels a side bring out detail.
        text: of Stable Diffusion 1.5.
        schedule: as the model was trained.
        control_prompt: what the ControlNet itself is told, in the conditional half (Animate124).
        strength: factor on what the ControlNet adds.
    """

    texts_suffice = False

    def __init__(
        self,
        unet: Any,
        controlnet: Any,
        encoder: Encoder,
        text: TextEncoder,
        schedule: NoiseSchedule,
        control_prompt: str = "best quality, high resolution",
        strength: float = 1.0,
    ) -> None:
        super().__init__(unet, encoder, text, schedule)
        self.controlnet, self.control_prompt, self.strength = controlnet, control_prompt, strength

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Token embeddings (S, 77, D) for UNet and ControlNet, and control images (S, 3, H, W).

        Raises:
            ConfigError: there is no image to control with.
        """
        return self._condition(prompts, [self.control_prompt] * len(prompts), images)

    def unconditional(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """The negative prompt, on the same control image."""
        return self._condition(prompts, prompts, images)

    def _condition(self, prompts: Sequence[str], control_prompts: Sequence[str], images: Tensor | None) -> Conditioning:
        if images is None:
            raise ConfigError("ControlNet-tile needs an image to control with")
        device = self.unet.device
        return Conditioning(
            {
                **self.read(prompts),
                "control_text": self.text(control_prompts, device),
                "control": resized(images, self.encoder.size).to(device),
            }
        )

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The controlled UNet's output."""
        control_text, control = (conditioning[name].to(latents.dtype) for name in ("control_text", "control"))
        down, mid = self.controlnet(
            latents, t, control_text, control, conditioning_scale=self.strength, return_dict=False
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return self.ask(latents, t, conditioning["text"], conditioning, cameras, **residuals)
