"""Poses and shapes of one body on another whose joints have other names and places: SMPL's on the open body, and back.

Unlike a motion that is retargeted, the body stays where it was and as large as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.body import Body
from a4d.geometry.deformation.retargeting import LIMBS, body_parts, limb_alignment, match_joints
from a4d.geometry.deformation.skeleton import Skeleton, world_from_joints

USUAL = 1e-3
"""Weight of the squares of a shape's numbers beyond the default one, against the squared errors of relative lengths."""

ITERATIONS = 20
"""Of a quasi-Newton method, for a handful of numbers."""


def transferred(source: AnimatedBody, target: Body, shape: Tensor | None = None) -> AnimatedBody:
    """The poses of a body on another, in the place and at the size that the other has: nothing is scaled.

    A joint turns in the world as its counterpart does, after the limb that begins at it was laid along the other's at
    rest, from arms in an A to arms in a T; trunk, neck, head and feet rest alike in all bodies. What has no counterpart
    follows its parent. The whole is moved to where the ends of the limbs are nearest to those of the source.

    Args:
        source: in T poses.
        target: J joints.
        shape: (S,) of the target, the default one if None.

    Returns:
        T poses of the target.

    Raises:
        InvalidInputError: too few joints match by their names.
    """
    shape = target.default_shape if shape is None else shape
    skeleton, other = target.skeleton(shape), source.skeleton
    match = match_joints(other, skeleton)
    joints = target.rest(shape)[1]
    posed = world_from_joints(source.body.parents, _local(source.body, source.shape, source.rotations))
    aligned = limb_alignment(other, skeleton, match).to(posed)
    rotations = _relative(skeleton, match.target, posed[:, match.source, :3, :3] @ aligned).to(joints)
    own = world_from_joints(target.parents, target.local_transforms(rotations, joints))
    ends = _limb_ends(skeleton, match.target)
    apart = posed[:, match.source[ends], :3, 3] - own[:, match.target[ends], :3, 3]
    translation = (apart.mean(1) + source.translation).to(joints)
    return AnimatedBody(target, shape, rotations, translation, source.seconds_per_frame)


def fitted_shape(
    target: Body,
    skeleton: Skeleton,  # another body's, of the person's size
) -> Tensor:
    """(S,) the shape of a body whose limbs and trunk are as long as another's, and else as usual as can be.

    Lengths are those between joints, of upper and lower arms and legs, and from the hips to the shoulders.

    Raises:
        InvalidInputError: too few joints match by their names.
    """
    own = target.skeleton()
    match = match_joints(skeleton, own)
    parts = body_parts(own)
    places = {parts[joint]: place for place, joint in reversed(list(enumerate(match.target.tolist())))}
    wanted = _lengths(skeleton.rest_world[match.source, :3, 3], places).to(target.default_shape)
    usual = target.default_shape
    shape = usual.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([shape], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        lengths = _lengths(target.rest(shape)[1][match.target], places)
        loss = (lengths / wanted - 1).square().sum() + USUAL * (shape - usual).square().sum()
        (shape.grad,) = torch.autograd.grad(loss, [shape])
        return loss

    optimiser.step(misfit)
    return shape.detach()


def _lengths(
    joints: Tensor,  # (M, 3) at rest
    places: dict[tuple[str, str], int],  # of the parts of the body among them
) -> Tensor:
    """(L,) metres, of limbs and of the trunk, as far as a body has them."""
    limbs = [
        (joints[places[side, end]] - joints[places[side, begin]]).norm()
        for side in ("left", "right")
        for begin, end in LIMBS.items()
        if (side, begin) in places and (side, end) in places
    ]
    corners = [[(side, part) for side in ("left", "right")] for part in ("thigh", "upperarm")]
    if all(corner in places for pair in corners for corner in pair):
        hips, shoulders = (torch.stack([joints[places[corner]] for corner in pair]).mean(0) for pair in corners)
        limbs.append((shoulders - hips).norm())
    return torch.stack(limbs)


def _local(body: Body, shape: Tensor, rotations: Tensor) -> Tensor:
    """(T, J, 4, 4) parent_from_joint of poses, without any translation of the whole."""
    return body.local_transforms(rotations, body.rest(shape)[1].to(rotations))


def _relative(
    skeleton: Skeleton,
    joints: Tensor,  # (M,) of which the rotations are known
    wanted: Tensor,  # (T, M, 3, 3) in the world
) -> Tensor:
    """(T, J, 3, 3) how each joint turns against its parent, where the others follow theirs."""
    known = {joint: place for place, joint in enumerate(joints.tolist())}
    identity = torch.eye(3, dtype=wanted.dtype).expand(len(wanted), 3, 3)
    world, relative = dict[int, Tensor](), dict[int, Tensor]()
    for joint in skeleton.from_the_roots():
        above = world.get(int(skeleton.parents[joint]), identity)
        world[joint] = wanted[:, known[joint]] if joint in known else above
        relative[joint] = above.transpose(-1, -2) @ world[joint]
    return torch.stack([relative[joint] for joint in range(len(skeleton))], dim=1)


def _limb_ends(skeleton: Skeleton, joints: Tensor) -> Tensor:
    """(K,) which of some joints begin or end a limb; all where none does."""
    parts = body_parts(skeleton)
    limbs = {*LIMBS, *LIMBS.values()}
    found = [place for place, joint in enumerate(joints.tolist()) if parts[joint][1] in limbs]
    return torch.tensor(found or range(len(joints)))
