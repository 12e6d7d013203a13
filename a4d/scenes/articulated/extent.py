"""Where what bones move is at a moment, and how large: by the posed shape, not by the shape at rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.geometry.deformation.skinning import apply_per_vertex
from a4d.geometry.transforms import invert_rigid, rigid_from_parts, transform_points
from a4d.scenes.protocols import Articulated, Placement


@torch.no_grad()
def placement(scene: Articulated, times: Sequence[float] | None) -> Placement:
    """The frame and the size of a box around the posed shape and all posed bones, which turns with the root.

    Args:
        scene: whose bones move its shape.
        times: in [0, 1]; None is the shape at rest, a single row.
    """
    posed = _posed(scene, times)
    roots = torch.eye(4).to(posed)[None] if times is None else scene.root_transforms(times)
    own = transform_points(invert_rigid(roots), posed)
    low, high = own.amin(1), own.amax(1)
    middle = transform_points(roots, ((low + high) / 2)[:, None])[:, 0]
    return Placement(rigid_from_parts(roots[:, :3, :3], middle), (high - low).amax(-1))


def _posed(scene: Articulated, times: Sequence[float] | None) -> Tensor:
    """(T, N + B, 3) points of the shape and the bones' centres."""
    points, centres = scene.shape_points(), scene.bones().world_from_bone[:, :3, 3]
    if times is None:
        return torch.cat([points, centres])[None]
    return torch.cat([scene.warped(points, times), apply_per_vertex(scene.bone_transforms(times), centres)], dim=1)
