"""Which axes of a motion point up: its skeleton at rest and the world that it moves in may have different ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.assets.placement import AXES, Axis, Orientation, direction
from a4d.geometry.deformation.retargeting import body_parts
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import rigid_from_parts

ABOVE = ("neck", "head", "chest")
"""Parts that are above the hips in every rest pose, the most telling first."""

STEADY = 0.8
"""Part of the mean direction from hips to neck that must lie along an axis for it to count against the rest pose's."""

FRONTS: dict[str, Axis] = {"y": "+z", "z": "-y", "x": "+y"}
"""To where a body looks by custom, by the axis that points up."""


def standing(motion: Motion, world: Orientation | None = None) -> Motion:
    """The motion with +Y up, where it is not so already.

    What points from the hips to the neck, at rest and on average over the frames, is taken to point up, to the nearest
    axis; where that is not +Y, the body is turned to look to +Z at first. A skeleton that names neither stays as it is.

    Args:
        motion: of a skeleton of any axes in a world of any axes.
        world: the axes of the world that it moves in; None finds them.

    Returns:
        The same motion where nothing is to be turned, else in float64.
    """
    rest = rest_orientation(motion.skeleton)
    world = world or world_orientation(motion)
    usual = Orientation()
    if rest == usual and world == usual:
        return motion
    is_root = (motion.skeleton.parents < 0)[:, None, None]

    def turned(parent_from_joint: Tensor, orientation: Orientation) -> Tensor:
        turn = rigid_from_parts(orientation.world_from_source, torch.zeros(3, dtype=torch.float64))
        return torch.where(is_root, turn @ parent_from_joint.double(), parent_from_joint.double())

    skeleton = replace(motion.skeleton, rest=turned(motion.skeleton.rest, rest))
    return Motion(skeleton, turned(motion.parent_from_joint, world), motion.seconds_per_frame)


def rest_orientation(skeleton: Skeleton) -> Orientation:
    """The axes of a skeleton at rest; it looks to where its left thigh is on the left."""
    joints = skeleton.rest_world[:, :3, 3].double()
    return _looking(skeleton, joints, _axis_above(skeleton, joints[None]))


def world_orientation(motion: Motion) -> Orientation:
    """The axes of the world in which a body stands for most of the time, and looks to the front at first.

    Of a body that points to no side steadily, as one that rolls, the world is taken to have the axes of its rest pose.
    """
    joints = motion.positions.double()
    up = _axis_above(motion.skeleton, joints, STEADY)
    return _looking(motion.skeleton, joints[0], rest_orientation(motion.skeleton).up if up is None else up)


def _looking(
    skeleton: Skeleton,
    joints: Tensor,  # (J, 3)
    up: Axis | None,
) -> Orientation:
    """The axes by which a body with +Y up stays as it is, and any other looks to the front, to the nearest axis."""
    if up is None or up == Orientation().up:
        return Orientation()
    parts = body_parts(skeleton)
    place = {parts[joint]: joint for joint in reversed(skeleton.from_the_roots())}
    left, right = (place.get((side, "thigh")) for side in ("left", "right"))
    if left is None or right is None:
        return Orientation(up, FRONTS[up[1]])
    return Orientation(up, _nearest_axis(torch.linalg.cross(joints[left] - joints[right], direction(up)), up))


def _axis_above(
    skeleton: Skeleton,
    joints: Tensor,  # (T, J, 3)
    steady: float = 0.0,  # the least part of the mean direction along the axis
) -> Axis | None:
    """The axis nearest to the mean direction from the hips to what is above them; None where nothing tells it."""
    parts = body_parts(skeleton)
    place = {parts[joint]: joint for joint in reversed(skeleton.from_the_roots())}
    hips, above = place.get(("", "hips")), next((place["", part] for part in ABOVE if ("", part) in place), None)
    if hips is None or above is None:
        return None
    mean = normalize(joints[:, above] - joints[:, hips], dim=1).mean(0)
    axis = _nearest_axis(mean)
    return axis if float(direction(axis) @ mean) > steady else None


def _nearest_axis(vector: Tensor, across: Axis | None = None) -> Axis:
    """The axis along which a (3,) vector mostly points, of those that are not along another one."""
    allowed = [axis for axis in AXES if across is None or axis[1] != across[1]]
    return max(allowed, key=lambda axis: float(direction(axis) @ vector))
