"""How far what bones move reaches at a moment: boxes of the posed shape, not of the shape at rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.geometry.transforms import invert_rigid, rigid_from_parts, transform_points
from a4d.scenes.protocols import Articulated, Placement


def posed_points(
    scene: Articulated,
    points: Tensor,  # (N, 3) at rest
    times: Sequence[float] | None,
) -> Tensor:
    """(T, N + B, 3) where points and the bones' centres are at times in [0, 1], or at rest, as a single row."""
    centres = scene.bones().world_from_bone[:, :3, 3]
    if times is None:
        return torch.cat([points, centres])[None]
    moved = (scene.bone_transforms(times)[..., :3, :3] @ centres[..., None])[..., 0]
    return torch.cat([scene.warped(points, times), moved + scene.bone_transforms(times)[..., :3, 3]], dim=1)


@torch.no_grad()
def posed_boxes(scene: Articulated, points: Tensor, times: Sequence[float] | None, margin: float) -> Tensor:
    """(T, 2, 3) lowest and highest corners of boxes along the world's axes around posed points and all posed bones.

    Args:
        scene: whose bones move the points.
        points: (N, 3) at rest, of all parts of the shape.
        times: in [0, 1]; None is the shape at rest, a single row.
        margin: metres on all sides.
    """
    posed = posed_points(scene, points, times)
    return torch.stack([posed.amin(1) - margin, posed.amax(1) + margin], dim=1)


@torch.no_grad()
def placement(scene: Articulated, points: Tensor, times: Sequence[float] | None) -> Placement:
    """Where the whole of posed points and bones is, in a frame that turns with the root; see `posed_boxes`."""
    posed = posed_points(scene, points, times)
    roots = torch.eye(4).to(posed)[None] if times is None else scene.root_transforms(times)
    own = transform_points(invert_rigid(roots), posed)
    low, high = own.amin(1), own.amax(1)
    centre = transform_points(roots, ((low + high) / 2)[:, None])[:, 0]
    return Placement(rigid_from_parts(roots[:, :3, :3], centre), (high - low).amax(-1))
