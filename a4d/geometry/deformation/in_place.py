"""Motions in place: without the way that they go."""

from __future__ import annotations

from a4d.geometry.deformation.retargeting import body_parts
from a4d.geometry.deformation.skeleton import Motion


def in_place(motion: Motion) -> Motion:
    """The same motion on the spot: the hips, or the first root, stay above the place where they are at first."""
    skeleton, world = motion.skeleton, motion.positions.double()
    parts, order = body_parts(skeleton), skeleton.from_the_roots()
    hips = next((joint for joint in order if parts[joint] == ("", "hips")), order[0])
    back = (world[:1, hips] - world[:, hips]) * world.new_tensor([1.0, 0.0, 1.0])
    local = motion.parent_from_joint.double().clone()
    local[:, skeleton.parents < 0, :3, 3] += back[:, None]
    return Motion(skeleton, local, motion.seconds_per_frame)
