"""Where the ground is for a body that moves as another does, whose legs have other proportions."""

from __future__ import annotations

from dataclasses import replace

import torch

from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.deformation.retargeting import carried_by, carrier_of, match_joints
from a4d.geometry.deformation.skeleton import Motion

TOUCHING = 0.05
"""Share of the frames in which the lowest joint of a motion is nearest to the ground, or in it."""


def on_the_ground(animated: AnimatedBody, motion: Motion) -> AnimatedBody:
    """A body in each frame as high above the ground, y = 0, as what it follows.

    The lowest of the joints that the hips carry is taken to touch the ground of the motion in the frames in which it is
    lowest. By as much as it is above, for the height of the body, its lowest vertex is: soles that touch the
    ground neither sink nor float.

    Args:
        animated: T frames.
        motion: T frames of any skeleton, +Y up, which the body follows.

    Raises:
        InvalidInputError: too few joints match by their names.
    """
    skeleton = animated.skeleton
    match = match_joints(motion.skeleton, skeleton)
    carried = match.source[carried_by(skeleton, match, carrier_of(skeleton, match))]
    lowest = motion.positions[:, carried, 1].double().amin(1)
    own, theirs = skeleton.rest_world[match.target, 1, 3], motion.skeleton.rest_world[match.source, 1, 3]
    ratio = float(own.max() - own.min()) / max(float(theirs.max() - theirs.min()), 1e-9)
    raised = ratio * (lowest - lowest.quantile(TOUCHING)) - animated.lowest()
    upward = torch.stack([torch.zeros_like(raised), raised, torch.zeros_like(raised)], dim=-1)
    return replace(animated, translation=animated.translation + upward.to(animated.translation))
