"""The distances to a seed's shape on a volume, so that a scene keeps them when the seed is gone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

Distances = Callable[[Tensor], Tensor]
"""(N,) signed distances at points (N, 3), metres."""


class SeedVolume(nn.Module):
    """Signed distances in the cube [-bound, bound]³, interpolated between the corners of cells.

    Args:
        resolution: cells along the cube's side.
        bound: metres.
    """

    distances: Tensor

    def __init__(self, resolution: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("distances", torch.ones([resolution + 1] * 3))

    @torch.no_grad()
    def initialise(self, distances: Distances) -> None:
        """Take over the distances at the corners."""
        axis = torch.linspace(-self.bound, self.bound, len(self.distances))
        # Sampling takes the last axis of a volume as x.
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        points = torch.stack([x, y, z], dim=-1).view(-1, 3)
        self.distances.copy_(distances(points).view_as(self.distances))

    def forward(
        self,
        points: Tensor,  # (N, 3) world, metres; on the cube's side where they lie outside
    ) -> Tensor:
        """(N,) distances, metres."""
        places = (points / self.bound)[None, None, None]
        sampled = grid_sample(self.distances[None, None], places, padding_mode="border", align_corners=True)
        return sampled[0, 0, 0, 0]
