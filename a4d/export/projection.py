"""What views of a surface say of places on it: renders of a scene, or the frames of a film that shows it in motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.render.baking import SurfacePoints

FRONTALITY = 6.0
"""Power of the cosine by which a view counts: what is seen at a slant is blurred."""

SLANTED = 0.1
"""Cosine below which a view says nothing of a point."""


@dataclass(frozen=True)
class SurfaceView:
    """One picture of a surface or several, and where the surface was when they were taken.

    Args:
        camera: a single one.
        mesh: the surface as the pictures show it.
        layers: (3 P + 2, H, W) float16 sRGB of P pictures, how far each pixel counts, and its depth in metres.
    """

    camera: Cameras
    mesh: Mesh
    layers: Tensor


@dataclass(frozen=True)
class ProjectedColours:
    """Colours of a surface out of views of it: their mean, in which those that face a place count most.

    Args:
        views: of it, of P pictures each.
        tolerance: metres from the nearest surface that a place may be and still count as seen.
        otherwise: (V, 3 P) colours of the vertices, for places that no view sees; None makes these black.
        trace: how much these count beside a view that faces a place.
        powers: P, of how far views count beside each other; from high ones on the best alone does.
    """

    views: Sequence[SurfaceView]
    tolerance: float
    otherwise: Tensor | None = None
    trace: float = 1e-6
    powers: Sequence[float] = (1.0,)

    def __call__(self, points: SurfacePoints) -> Tensor:
        """(N, 3 P) sRGB."""
        count, pictures = len(points.faces), len(self.powers)
        sums, shares, known = (torch.zeros(count, *shape) for shape in ((pictures, 3), (pictures, 1), (1,)))
        for view in self.views:
            chosen, colours, weight = self._seen(view, points)
            share = torch.stack([weight**power for power in self.powers], dim=1)
            sums.index_add_(0, chosen, share * colours.unflatten(1, (-1, 3)))
            shares.index_add_(0, chosen, share)
            known.index_add_(0, chosen, weight)
        mean = (sums / shares.clamp_min(1e-20)).flatten(1)
        if self.otherwise is None:
            return mean
        return torch.lerp(points.interpolate(self.otherwise), mean, known / (known + self.trace))

    def _seen(self, view: SurfaceView, points: SurfacePoints) -> tuple[Tensor, Tensor, Tensor]:
        """(K,) int64 which points face a view, (K, 3 P) what it shows there, and (K, 1) how far that counts."""
        positions, normals = points.interpolate(view.mesh.vertices), points.interpolate(view.mesh.vertex_normals)
        camera = view.camera
        facing = (normalize(camera.positions - positions, dim=1) * normalize(normals, dim=1)).sum(1)
        chosen = (facing > SLANTED).nonzero()[:, 0]
        pixels, depth = camera.project(positions[chosen])
        places = pixels[0] / pixels.new_tensor([camera.width, camera.height]) * 2 - 1
        seen = grid_sample(view.layers.float()[None], places[None, None], align_corners=False)[0, :, 0].T
        is_near = (seen[:, -1] - depth[0]).abs() < self.tolerance
        return chosen, seen[:, :-2], (facing[chosen] ** FRONTALITY * is_near * seen[:, -2])[:, None]
