"""What of an avatar's appearance depends on its pose: features that a network makes of the posed surface."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from a4d.config import Config
from a4d.geometry.bodies.body import Body
from a4d.scenes.avatar.surface import SurfacePoints, all_texels
from a4d.scenes.perceptron import draw_weights

LEAK = 0.2
"""Slope of the rectifiers on the way down, below 0."""

LEVELS = (1, 2, 4, 8, 8)
"""Channels of each level, as multiples of the first's."""


class PoseBranchConfig(Config):
    """A convolutional network over the map of where the pose takes the surface (GaussianAvatar, section 3.4)."""

    resolution: int = Field(default=64, multiple_of=32, ge=32, le=1024, description="of its maps, along a side")
    channels: int = Field(default=16, ge=1, le=512, description="of the features that it makes")
    width: int = Field(default=8, ge=1, le=128, description="channels of its first level")


class PoseBranch(nn.Module):
    """Features of a pose, (C, r, r) over the texture; at first they are 0 whatever the pose.

    What it sees is how far the pose takes each point of the surface from its place at rest while the roots stay at
    rest: where the body stands and what it faces makes no difference. A point that goes farther than in any pose that
    was learnt from counts as where it then was: networks are no guide beyond what they have seen.

    Args:
        config: sizes.
        points: of the surface, on the grid of its maps.
    """

    lowest: Tensor
    highest: Tensor

    def __init__(self, config: PoseBranchConfig, points: SurfacePoints) -> None:
        super().__init__()
        self.points = points
        for name in ("lowest", "highest"):
            self.register_buffer(name, torch.zeros(len(points), 3))
        down = [3, *(config.width * factor for factor in LEVELS)]
        # Upward each level reads what came from below, and the level of its size on the way down.
        reads = [down[-1], *(2 * width for width in down[-2:0:-1])]
        makes = [*down[-2:0:-1], config.channels]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(down))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(reads, makes, strict=True))

    @classmethod
    def of(cls, config: PoseBranchConfig, body: Body) -> PoseBranch:
        """A network over the texture of a body."""
        return cls(config, SurfacePoints(body, all_texels(body, config.resolution)))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the network, such that all features are 0."""
        for layer in self.down:
            draw_weights(layer.weight, layer.weight[0].numel(), generator)  # type: ignore[arg-type, index]
        for layer in self.up:
            # Of the 16 taps of a transposed convolution with stride 2 each output meets 4.
            draw_weights(layer.weight, 4 * len(layer.weight), generator)  # type: ignore[arg-type]
            layer.bias.zero_()  # type: ignore[operator]
        self.up[-1].weight.zero_()  # type: ignore[operator]

    def forward(
        self,
        transforms: Tensor,  # (J, 4, 4) posed_from_rest of each joint, the roots at rest
    ) -> Tensor:
        """(C, r, r) features of a pose."""
        moved = self.points.posed(transforms) - self.points.positions
        if torch.is_grad_enabled() and self.down[0].weight.requires_grad:
            torch.minimum(self.lowest, moved, out=self.lowest)
            torch.maximum(self.highest, moved, out=self.highest)
        moved = moved.clamp(self.lowest, self.highest)
        values = self.points.texels.on_grid(moved)[None]
        skipped: list[Tensor] = []
        for level, layer in enumerate(self.down):
            values = layer(leaky_relu(values, LEAK) if level else values)
            skipped.append(values)
        values = skipped.pop()
        for level, layer in enumerate(self.up):
            values = layer(relu(torch.cat([values, skipped.pop()], dim=1) if level else values))
        return values[0]
