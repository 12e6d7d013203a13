"""Which texels of an avatar were seen while it was fitted, and what stands in for the colours of the others."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from a4d.geometry.cameras import Cameras
from a4d.render.render import Render
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.protocols import SurfaceAttributes

BEHIND = 0.02
"""Metres by which a texel may lie behind what a picture shows and still count as seen: Gaussians are that thick."""

LEAST_SEEN = 0.02
"""Share of the views in which a texel must be seen for its colour to be known."""

WITNESSES = 12
"""Texels whose median colour is taken for one that was not seen."""

ROUNDS = 30
"""By which these colours are smoothed."""


def faces_camera(
    means: Tensor,  # (N, 3) world, metres
    normals: Tensor,  # (N, 3) unit
    camera: Cameras,
    cosine: float,
) -> Tensor:
    """(N,) bool: whether the angle between normals and the directions from a single camera is at least that."""
    directions = normalize(means - camera.positions.to(means), dim=-1)
    return (normals * directions).sum(-1) <= cosine


class Visibility(nn.Module):
    """In how many views each of N texels was seen."""

    seen: Tensor
    views: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("views", torch.zeros((), dtype=torch.int64))
        self._stand_ins: tuple[Tensor, Tensor] | None = None

    def note(
        self,
        means: Tensor,  # (K, 3) world, metres
        kept: Tensor | None,  # (K,) int64 which texels they are; None is all
        camera: Cameras,
        render: Render,
    ) -> None:
        """Count a view of a single camera: what lies at the depth that its picture has there is seen."""
        (pixels,), (depth,) = camera.project(means)
        column, row = pixels.floor().long().unbind(-1)
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (depth > 0)
        row, column = row.where(inside, 0), column.where(inside, 0)
        shown, alpha = (image.detach()[0, row, column, 0] for image in (render.depth, render.alpha))
        is_seen = inside & (depth <= shown + BEHIND) & (alpha > 0.5)
        rows = is_seen.nonzero()[:, 0]
        self.seen[rows if kept is None else kept[rows]] += 1
        self.views += 1
        self._stand_ins = None

    @property
    def is_known(self) -> Tensor:
        """(N,) bool: whether a texel was seen often enough; all are before any view was counted."""
        return self.seen >= LEAST_SEEN * self.views

    def filled(self, attributes: SurfaceAttributes, points: SurfacePoints) -> SurfaceAttributes:
        """The same with colours for what was not seen: those of the nearest that was, smoothed along the surface."""
        is_known = self.is_known
        if bool(is_known.all()) or not bool(is_known.any()):
            return attributes
        unknown = (~is_known).nonzero()[:, 0]
        if self._stand_ins is None:
            nearest = points.nearest_to(points.positions[unknown], is_known.nonzero()[:, 0], WITNESSES)
            self._stand_ins = nearest, points.neighbours[unknown]
        nearest, around = self._stand_ins
        colours = attributes.colours.clone()
        colours[unknown] = colours[nearest].median(dim=1).values
        for _ in range(ROUNDS):
            colours[unknown] = colours[around].mean(dim=1)
        return replace(attributes, colours=colours)
