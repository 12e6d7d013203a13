"""A rigged asset with the motion of something else: of another asset, of motion capture, of a scene."""

from __future__ import annotations

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


def motion_of(asset: Asset, clip: Clip, fps: float = 30.0) -> Motion:
    """The motion of the joints that a clip moves, at an even rate.

    Args:
        asset: with a skin in its scene, or of nodes alone.
        clip: one of the asset's.
        fps: frames per second, of which the last is at or just before the clip's end.
    """
    joints = asset.shown_joints() or list(range(len(asset.nodes)))
    skeleton = asset.skeleton_of(joints)
    count = int(clip.duration * fps + 1e-6) + 1
    world = torch.stack([pose(asset, clip, index / fps).world_from_node[joints] for index in range(count)])
    return Motion(skeleton, _parent_from_joint(skeleton.parents, world), 1 / fps)


def _parent_from_joint(
    parents: Tensor,  # (J,)
    world: Tensor,  # (T, J, 4, 4)
) -> Tensor:
    """(T, J, 4, 4)."""
    above = torch.where((parents >= 0)[:, None, None], world[:, parents.clamp(min=0)], torch.eye(4, dtype=world.dtype))
    return torch.linalg.solve(above, world)


def reposed(asset: Asset, motion: Motion, name: str = "motion", tolerance: MotionTolerance | None = None) -> Asset:
    """An asset whose only clip is the motion of something else.

    A motion of the very same rig is taken as it is, with whatever its joints do besides turning; that of another one is
    retargeted.

    Args:
        asset: with a skin in its scene.
        motion: with the same axis up and the same front.
        name: of the clip.
        tolerance: of the reduced tracks.

    Raises:
        InvalidInputError: the asset has no skin, or too few joints match by their names.
    """
    joints = asset.shown_joints()
    if not joints:
        raise InvalidInputError(f"{asset.name} has no skeleton that could move it", "Choose a rigged mesh")
    skeleton = asset.skeleton_of(joints)
    moved = motion if _is_same_rig(motion.skeleton, skeleton) else retargeted(motion, skeleton)
    nodes = Motion(asset.nodes, _followed(asset.nodes, joints, moved.world_from_joint), motion.seconds_per_frame)
    return replace(asset, clips=(clip_of_motion(name, nodes, tolerance or MotionTolerance()),))


def _is_same_rig(a: Skeleton, b: Skeleton) -> bool:
    return a.names == b.names and torch.equal(a.parents, b.parents) and torch.allclose(a.rest.double(), b.rest.double())


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
