"""The shape that three planes of features hold: bilinear reads, one perceptron, and the model's own images of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from a4d.priors.triposr.config import TripoSRConfig
from a4d.priors.triposr.network import Decoder

READS = ((0, 1), (0, 2), (1, 2))
"""The coordinates along the width and the height of each plane."""

FRONT_IS_X_AND_UP_IS_Z = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))

POINTS_AT_ONCE = 2**14

INSET = 0.999
"""Share of the cube in which rays look, so that none looks along a side."""

SHORTEST = 0.01
"""Way through the cube from which on a ray sees anything."""


class TriplaneField:
    """A field of the protocol `a4d.priors.image_to_shape.ShapeField`: up is +Z, and the picture's side looks to +X.

    Args:
        planes: (3, F, S, S).
        decoder: of the features.
        config: of the model.
    """

    def __init__(self, planes: Tensor, decoder: Decoder, config: TripoSRConfig) -> None:
        self.planes, self.decoder, self.config = planes, decoder, config
        self.radius, self.threshold = config.radius, config.threshold
        self.world_from_field = torch.tensor(FRONT_IS_X_AND_UP_IS_Z)

    def density(self, points: Tensor) -> Tensor:
        """(N,) at points (N, 3)."""
        return self.signals(points)[:, 0]

    def colours(self, points: Tensor) -> Tensor:
        """(N, 3) sRGB at points (N, 3)."""
        return self.signals(points)[:, 1:]

    def signals(self, points: Tensor) -> Tensor:
        """(N, 4) density and sRGB at points (N, 3)."""
        raw = self.decoded(points)
        return torch.cat([(raw[:, :1] + self.config.density_bias).exp(), raw[:, 1:].sigmoid()], dim=1)

    @torch.no_grad()
    def decoded(self, points: Tensor) -> Tensor:
        """(N, 4) what the perceptron says at points (N, 3), before activations; constant outside of the cube."""
        parts = [self.decoder(self.features(part)) for part in points.to(self.planes).split(POINTS_AT_ONCE)]
        return torch.cat(parts).to(points.device) if parts else points.new_zeros(0, 4)

    def features(self, points: Tensor) -> Tensor:
        """(N, 3 F) at points (N, 3)."""
        places = points / self.radius
        grids = torch.stack([places[:, list(axes)] for axes in READS])[:, None]
        sampled = grid_sample(self.planes, grids, align_corners=False)
        return sampled[:, :, 0].permute(2, 0, 1).flatten(1)

    def render(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Images by which the model was trained; a step counts as a share of the ray, whatever its length.

        Args:
            origins: (R, 3) in the field's axes.
            directions: (R, 3) of unit length.

        Returns:
            (R, 3) sRGB over white; (R,) opacity. Rays that miss the cube are white.
        """
        near, far = self.span(origins, directions)
        count = self.config.samples_per_ray
        middles = (torch.arange(count, device=origins.device) + 0.5) / count
        along = near[:, None] + (far - near)[:, None] * middles
        points = origins[:, None] + along[..., None] * directions[:, None]
        density, rgb = self.signals(points.flatten(0, 1)).unflatten(0, along.shape).split([1, 3], dim=-1)
        alpha = 1 - (-density[..., 0] / count).exp()
        passed = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1] + 1e-10], dim=1), dim=1)
        weights = alpha * passed * (far - near > SHORTEST)[:, None]
        opacity = weights.sum(1)
        return (weights[..., None] * rgb).sum(1) + (1 - opacity)[:, None], opacity

    def span(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """(R,) and (R,) where rays enter and leave the cube, from 0 on."""
        steps = torch.where(directions.abs() < 1e-6, 1e-6, directions)
        side = INSET * self.radius
        one, other = (-side - origins) / steps, (side - origins) / steps
        near = torch.minimum(one, other).amax(-1).clamp_min(0)
        return near, torch.maximum(one, other).amin(-1)
