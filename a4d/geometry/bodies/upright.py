"""Which way is up for a body in poses: the world in which it stands on the ground and looks to the front."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.retargeting import body_parts
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.transforms import rigid_from_parts

STRETCHED = 0.9
"""Part of the longest distance from ankles to shoulders above which a body stands rather than sits or bends."""

AROUND = 0.5
"""Radians from the mean within which a standing body's axis counts for it."""


def world_from_poses(
    skeleton: Skeleton,
    joints: Tensor,  # (T, J, 3) metres, in any world
    up: Tensor | None = None,  # (3,) against gravity in that world; the mean axis of the standing body if None
    ground: Tensor | None = None,  # (N, 3) points of which the lowest lies on the ground; the joints if None
) -> Tensor:
    """The world of a body in poses: +Y up, the body facing +Z at the first of them, on the ground above the origin.

    Args:
        skeleton: whose names tell the sides of thighs, upper arms and feet; see `body_parts`.
        joints: of T poses, right-handed axes.
        up: of any length but zero.
        ground: in that world.

    Returns:
        (4, 4) float64 rigid, which brings the hips of the first pose above the origin.

    Raises:
        InvalidInputError: the skeleton lacks a thigh, an upper arm or a foot of either side.
    """
    left, right = (_limbs(skeleton, joints.double(), side) for side in ("left", "right"))
    middle, across = (left + right) / 2, left - right
    upward = body_axis(middle) if up is None else normalize(up.double(), dim=0)
    side = across[0, :2].sum(0)
    front = torch.linalg.cross(side, upward)
    if float(front.norm()) < 1e-6 * float(side.norm()):
        front = torch.linalg.cross(torch.eye(3, dtype=upward.dtype)[upward.abs().argmin()], upward)
    front = normalize(front, dim=0)
    rotation = torch.stack([torch.linalg.cross(upward, front), upward, front])
    origin = rotation @ middle[0, 0]
    origin[1] = ((joints.flatten(0, 1) if ground is None else ground).double() @ upward).min()
    return rigid_from_parts(rotation, -origin)


def body_axis(
    middle: Tensor,  # (T, 3, 3) between the hips, the shoulders and the ankles, metres
) -> Tensor:
    """(3,) unit vector from the ankles to the shoulders, over the poses in which the body stands, without outliers."""
    axes = middle[:, 1] - middle[:, 2]
    lengths = axes.norm(dim=1)
    standing = normalize(axes[lengths >= STRETCHED * lengths.max()], dim=1)
    # The median of each coordinate, made a direction, is near the axis of most poses whatever the others are.
    usual = normalize(standing.median(dim=0).values, dim=0)
    near = standing[standing @ usual >= torch.cos(torch.tensor(AROUND))]
    return normalize((near if len(near) else standing).mean(0), dim=0)


def _limbs(skeleton: Skeleton, joints: Tensor, side: str) -> Tensor:
    """(T, 3, 3) thigh, upper arm and foot of a side, each where it begins."""
    parts = body_parts(skeleton)
    place = {parts[joint]: joint for joint in reversed(skeleton.from_the_roots())}
    wanted = [(side, part) for part in ("thigh", "upperarm", "foot")]
    missing = [part for part in wanted if part not in place]
    if missing:
        raise InvalidInputError(f"the body has no {' '.join(missing[0])}, by which one could tell how it stands")
    return joints[:, [place[part] for part in wanted]]
