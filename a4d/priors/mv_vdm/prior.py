"""MV-VDM as a prior: clips of one object from several sides at once, from a prompt and their first frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.camera_codes import multi_view_code
from a4d.priors.components import LatentEncoder, TextEncoder, UNetPrior, clip_pixels
from a4d.priors.mv_vdm.unet import MultiViewVideoUNet
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.schedule import NoiseSchedule


class MultiViewVideoDiffusion(UNetPrior):
    """MV-VDM of Animate3D (Jiang et al. 2024): the noise in V views of F frames, of which the first are given.

    Trained on 4 views a quarter turn apart, 15 degrees or so above the equator, and 16 frames of 256 x 256 over grey
    of 0.5; views and frames of other numbers and sizes work as far as the model generalises. The first frames enter
    three times: as clean latents, as keys of an attention of every frame, and as pictures through CLIP. Guidance takes
    prompt and picture away together and leaves the first frames where they are.

    Args:
        unet: frozen, or in training.
        encoder: at the model's size, without a low-pass filter, as in training.
        text: prompts to the UNet's cross-attention width.
        image_encoder: transformers' `CLIPVisionModelWithProjection`.
        schedule: as the model was trained; linear betas for the released one.
        views: per sample, where no images say how many.
    """

    modality: Modality = "multi-view-video"
    clean_frames = 1

    unet: MultiViewVideoUNet
    encoder: LatentEncoder

    def __init__(
        self,
        unet: MultiViewVideoUNet,
        encoder: LatentEncoder,
        text: TextEncoder,
        image_encoder: Any,
        schedule: NoiseSchedule,
        views: int = 4,
    ) -> None:
        super().__init__(unet, encoder, schedule)
        self.text, self.image_encoder, self.views = text, image_encoder, views

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Token embeddings (S, 77, D) and embeddings (S, V, E) of the first frames (S V, H, W, 3), over grey.

        Raises:
            ConfigError: there are no images, or not equally many for all samples.
        """
        if images is None or len(images) % len(prompts):
            raise ConfigError("MV-VDM needs the first frame of every view")
        return Conditioning(
            {
                "text": self.text(prompts, self.unet.device),
                "image": self.embed(images).unflatten(0, (len(prompts), -1)),
            }
        )

    def unconditional(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """The negative prompt, and a zero in place of every picture's embedding."""
        views = self.views if images is None else len(images) // len(prompts)
        width = self.image_encoder.config.projection_dim
        return Conditioning(
            {
                "text": self.text(prompts, self.unet.device),
                "image": torch.zeros(len(prompts), views, width, device=self.unet.device),
            }
        )

    @torch.no_grad()
    def embed(
        self,
        images: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """CLIP's embeddings (B, E) in float32, of images rounded to 8 bits, as the adapter was trained on files."""
        rounded = (images * 255).round() / 255
        pixels = clip_pixels(rounded, self.image_encoder.config.image_size)
        embeddings: Tensor = self.image_encoder(pixels.to(self.image_encoder.dtype)).image_embeds
        return embeddings.float()

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for every frame of every view.

        Raises:
            ConfigError: there are no cameras, no whole clips, or more frames than the model has positions for.
        """
        views = conditioning["image"].shape[1]
        frames, rest = divmod(len(latents), len(t) * views)
        if cameras is None or rest or len(cameras) != len(latents):
            raise ConfigError(
                f"MV-VDM takes clips of {views} views with a camera to each frame, not {len(latents)} images"
            )
        if not 2 <= frames <= self.unet.longest:
            raise ConfigError(f"MV-VDM takes clips of 2 to {self.unet.longest} frames, not {frames}")
        text, image = (conditioning[name].to(latents.dtype) for name in ("text", "image"))
        # A camera stands still during a clip: that of the first frame says where.
        code = multi_view_code(cameras[::frames]).to(latents)
        output: Tensor = self.unet(latents, t, text, image.flatten(0, 1), code)
        return output
