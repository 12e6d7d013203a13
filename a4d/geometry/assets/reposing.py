"""A rigged asset with the motion of something else: of another asset, of motion capture, of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.assembly import MotionTolerance, clip_of_motion
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import pose
from a4d.geometry.deformation.retargeting import retargeted
from a4d.geometry.deformation.skeleton import Motion, Skeleton

STILL = 1 / 24
"""Seconds that a single moment lasts."""

SAME = 1e-3
"""Parts of a rig's size by which two rest poses may differ that are the same."""


def motion_of(asset: Asset, clip: Clip, fps: float = 60.0) -> Motion:
    """The motion of the joints that a clip moves, at an even rate.

    Args:
        asset: with a skin in its scene, or of nodes alone.
        clip: one of the asset's.
        fps: frames per second, about: the first frame is at 0 and the last at the clip's end.
    """
    count = max(1, round(clip.duration * fps)) + 1
    seconds = clip.duration / (count - 1) or 1 / fps
    return motion_at(asset, clip, [index * seconds for index in range(count)])


def motion_at(asset: Asset, clip: Clip | None, seconds: Sequence[float]) -> Motion:
    """How the joints stand at T evenly spaced moments.

    Args:
        asset: with a skin in its scene, or of nodes alone.
        clip: one of the asset's, or None for the rest pose.
        seconds: T >= 1, in the clip's own time.
    """
    joints = asset.shown_joints() or list(range(len(asset.nodes)))
    skeleton = asset.skeleton_of(joints)
    world = torch.stack([pose(asset, clip, time).world_from_node[joints] for time in seconds])
    apart = seconds[1] - seconds[0] if len(seconds) > 1 else 0.0
    return Motion(skeleton, skeleton.parent_from_joint(world), apart or STILL)


def rig_of(asset: Asset) -> Skeleton:
    """The joints that deform what an asset shows.

    Raises:
        InvalidInputError: it has none.
    """
    joints = asset.shown_joints()
    if not joints:
        raise InvalidInputError(f"{asset.name} has no skeleton that could move it", "Choose a rigged mesh")
    return asset.skeleton_of(joints)


def reposed(asset: Asset, motion: Motion, name: str = "motion", tolerance: MotionTolerance | None = None) -> Asset:
    """An asset whose only clip is the motion of something else.

    A motion of the same rig, of whatever size and wherever it stands, is taken as it is, with all that its joints do
    besides turning; that of another one is retargeted.

    Args:
        asset: with a skin in its scene.
        motion: +Y up and +Z in front, as the asset.
        name: of the clip.
        tolerance: of the reduced tracks.

    Raises:
        InvalidInputError: the asset has no skin, or too few joints match by their names.
    """
    skeleton = rig_of(asset)
    joints = asset.shown_joints()
    world = _of_same_rig(motion, skeleton)
    if world is None:
        world = retargeted(motion, skeleton).world_from_joint
    nodes = Motion(asset.nodes, _followed(asset.nodes, joints, world), motion.seconds_per_frame)
    return replace(asset, clips=(clip_of_motion(name, nodes, tolerance or MotionTolerance()),))


def _of_same_rig(motion: Motion, skeleton: Skeleton) -> Tensor | None:
    """(T, J, 4, 4) world_from_joint of a skeleton whose joints the motion's has, at rest as they are but for its place.

    None where it has not.
    """
    index = {name: joint for joint, name in reversed(list(enumerate(motion.skeleton.names)))}
    if not all(name in index for name in skeleton.names):
        return None
    namesakes = [index[name] for name in skeleton.names]
    there, here = motion.skeleton.rest_world.double()[namesakes], skeleton.rest_world.double()
    here_from_there = here[0] @ torch.linalg.inv(there[0])
    size = float((here[:, :3, 3] - here[0, :3, 3]).norm(dim=1).max()) or 1.0
    apart = (here_from_there @ there - here)[:, :3].abs()
    if (
        float(apart[..., :3].max()) > SAME * float(here[:, :3, :3].abs().max())
        or float(apart[..., 3].max()) > SAME * size
    ):
        return None
    return here_from_there @ motion.world_from_joint.double()[:, namesakes]


def _followed(
    nodes: Skeleton,
    joints: list[int],
    world_from_joint: Tensor,  # (T, J, 4, 4) of the joints
) -> Tensor:
    """(T, N, 4, 4) parent_from_node that put some nodes where they should be; the others follow their parents."""
    given = {node: joint for joint, node in enumerate(joints)}
    count = len(world_from_joint)
    local = nodes.rest.double().expand(count, *nodes.rest.shape).clone()
    world = torch.zeros_like(local)
    for node in nodes.from_the_roots():
        parent = int(nodes.parents[node])
        above = world[:, parent] if parent >= 0 else torch.eye(4, dtype=local.dtype).expand(count, 4, 4)
        if node in given:
            world[:, node] = world_from_joint[:, given[node]].double()
            local[:, node] = torch.linalg.solve(above, world[:, node])
        else:
            world[:, node] = above @ local[:, node]
    return local
