"""Zero-1-to-3 and Zero123-XL: how one picture of an object looks from another side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.priors.camera_codes import relative_view_code, spherical
from a4d.priors.components import LatentEncoder, UNetPrior, clip_pixels
from a4d.priors.protocol import Conditioning, Modality
from a4d.priors.schedule import NoiseSchedule


class Zero123(UNetPrior):
    """Zero-1-to-3 (Liu et al. 2023): one cross-attention token of picture and view change, and the picture's latents.

    The reference is a picture over white, the object about as large as its camera shows it; 256 x 256, [-1, 1]. Its
    latents stand beside the noisy ones *unscaled*. Without the reference the token is zero after its projection, and so
    are the latents. Distances matter as their difference alone.

    Args:
        unet: diffusers' `UNet2DConditionModel` with twice the latents' channels.
        encoder: at the model's size.
        image_encoder: transformers' `CLIPVisionModelWithProjection`.
        projection: from the picture's embedding followed by the four numbers of the view change to the token.
        schedule: as the model was trained.
    """

    modality: Modality = "posed-image"
    needs_reference = True

    encoder: LatentEncoder

    def __init__(
        self, unet: Any, encoder: LatentEncoder, image_encoder: Any, projection: nn.Linear, schedule: NoiseSchedule
    ) -> None:
        super().__init__(unet, encoder, schedule)
        self.image_encoder, self.projection = image_encoder, projection
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.no_grad()
    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """The reference's embedding (S, D), latents (S, 4, h, w) and view (S, 3); prompts mean nothing to this model.

        Raises:
            ConfigError: there is no reference or no camera of it.
        """
        if images is None or cameras is None:
            raise ConfigError("Zero-1-to-3 needs a picture and its camera", "Give the objective a `reference` view set")
        samples = len(prompts)
        # All samples usually share one picture, and all steps.
        pictures = images[:1] if images.stride(0) == 0 else images
        if self._seen is None or not torch.equal(self._seen[0], pictures):
            pixels = clip_pixels(pictures, self.image_encoder.config.image_size).to(self.image_encoder.dtype)
            embedding = self.image_encoder(pixels).image_embeds.float()
            self._seen = pictures.clone(), embedding, self.encoder.unscaled(pictures)
        _, embedding, latents = self._seen
        return Conditioning(
            {
                "embedding": embedding.expand(samples, -1),
                "latents": latents.expand(samples, -1, -1, -1),
                "view": spherical(cameras).expand(samples, -1),
                "present": embedding.new_ones(samples, 1, dtype=torch.float32),
            }
        )

    def unconditional(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """A reference that is absent."""
        samples, side = len(prompts), self.unet.config.sample_size
        zeros = torch.zeros(samples, 1, device=self.unet.device)
        return Conditioning(
            {
                "embedding": zeros.expand(-1, self.image_encoder.config.projection_dim),
                "latents": zeros.view(-1, 1, 1, 1).expand(-1, self.unet.config.in_channels // 2, side, side),
                "view": zeros.expand(-1, 3),
                "present": zeros,
            }
        )

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, cameras: Cameras | None) -> Tensor:
        """The UNet's output for views from the cameras.

        Raises:
            ConfigError: there are no cameras.
        """
        if cameras is None:
            raise ConfigError("Zero-1-to-3 needs the cameras of the views it judges")
        code = relative_view_code(spherical(cameras), conditioning["view"])
        token = torch.cat([conditioning["embedding"], code.to(latents.device)], dim=-1).to(self.projection.weight)
        token = self.projection(token) * conditioning["present"].to(token)
        beside = torch.cat([latents, conditioning["latents"].to(latents)], dim=1)
        output: Tensor = self.unet(beside, t, token[:, None].to(latents.dtype)).sample
        return output
