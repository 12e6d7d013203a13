"""Which texels of an avatar were seen while it was fitted, and what stands in for the colours of the others."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.cameras import Cameras
from a4d.render.render import Render
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.protocols import SurfaceAttributes
from a4d.scenes.visibility import Visibility

BEHIND = 0.02
"""Metres by which a texel may lie behind what a picture shows and still count as seen: Gaussians are that thick."""

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


class TexelVisibility(Visibility):
    """In how many views each of N texels was seen, and what colours the others have."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._stand_ins: tuple[Tensor, Tensor] | None = None

    def note(
        self,
        points: Tensor,
        cameras: Cameras,
        render: Render,
        behind: Tensor | float,
        kept: Tensor | None = None,
        normals: Tensor | None = None,
    ) -> None:
        """Count views; see `Visibility.note`."""
        super().note(points, cameras, render, behind, kept, normals)
        self._stand_ins = None

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
