"""In how many views each point of a scene was seen while it was fitted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from a4d.geometry.cameras import Cameras
from a4d.render.render import Render

LEAST_SEEN = 0.02
"""Share of the views in which a point must be seen for its colour to be known."""

SLANTED = 0.25
"""Cosine of the angle to a disc's normal up to which its colour is that of what is beside it in the picture."""


class Visibility(nn.Module):
    """In how many views each of N points was seen."""

    seen: Tensor
    views: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("views", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def note(
        self,
        points: Tensor,  # (K, 3) world, metres
        cameras: Cameras,  # B
        render: Render,  # of these cameras
        behind: Tensor | float,  # (K,) or one for all, metres by which a seen point may lie behind what a picture shows
        kept: Tensor | None = None,  # (K,) int64 which of the points they are; None is all
        normals: Tensor | None = None,  # (K, 3) unit, of either sign, of points that are discs
    ) -> None:
        """Count B views: what lies at the depth that their pictures have there is seen, but for the edges of discs."""
        pixels, depth = cameras.project(points)
        column, row = pixels.floor().long().unbind(-1)
        inside = (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height) & (depth > 0)
        view = torch.arange(len(cameras), device=row.device)[:, None]
        row, column = row.where(inside, 0), column.where(inside, 0)
        shown, alpha = (image.detach()[view, row, column, 0] for image in (render.depth, render.alpha))
        if normals is not None:
            directions = normalize(points - cameras.positions[:, None], dim=-1)
            inside &= (directions * normals).sum(-1).abs() > SLANTED
        counts = (inside & (depth <= shown + behind) & (alpha > 0.5)).sum(0)
        self.seen[slice(None) if kept is None else kept] += counts
        self.views += len(cameras)

    @torch.no_grad()
    def fill(
        self,
        values: Tensor,  # (N, ...) of the points, changed in place
        neighbours: Tensor,  # (N, K) int64
    ) -> None:
        """Give points that are hardly seen the mean of their neighbours: what little shines through says nothing."""
        unseen = (~self.is_known).nonzero()[:, 0]
        values[unseen] = values[neighbours[unseen]].mean(1)

    @property
    def is_known(self) -> Tensor:
        """(N,) bool: whether a point was seen often enough; all are before any view was counted."""
        return self.seen >= LEAST_SEEN * self.views
