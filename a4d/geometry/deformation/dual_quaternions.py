"""Rigid transforms as unit dual quaternions, whose blends stay rigid (Kavan et al. 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.transforms import (
    quaternion_from_rotation,
    quaternion_product,
    rigid_from_parts,
    rotation_from_quaternion,
)


def dual_quaternion_from_rigid(
    transforms: Tensor,  # (..., 4, 4) rotation and translation, no scale
) -> Tensor:
    """(..., 8): the rotation's unit quaternion wxyz, and the dual part, half of translation times rotation."""
    real = quaternion_from_rotation(transforms[..., :3, :3])
    translation = torch.nn.functional.pad(transforms[..., :3, 3], (1, 0))
    return torch.cat([real, quaternion_product(translation, real) / 2], dim=-1)


def rigid_from_dual_quaternion(
    dual_quaternions: Tensor,  # (..., 8) of any non-zero length
) -> Tensor:
    """(..., 4, 4) rotation and translation."""
    real, dual = dual_quaternions.split(4, dim=-1)
    squared = (real * real).sum(-1, keepdim=True)
    conjugate = real * real.new_tensor([1.0, -1.0, -1.0, -1.0])
    translation = 2 * quaternion_product(dual, conjugate) / squared
    return rigid_from_parts(rotation_from_quaternion(real), translation[..., 1:])


def blend_dual_quaternions(
    weights: Tensor,  # (V, J) one per bone, or (V, K) with `joints`; each row sums to 1
    bone_transforms: Tensor,  # (..., J, 4, 4) posed_from_rest of each bone, rigid
    joints: Tensor | None = None,  # (V, K) int64 the bone that each weight belongs to
) -> Tensor:
    """The rigid transform between the bones' at each vertex, which neither shrinks nor shears at a bent joint.

    Returns:
        (..., V, 4, 4) posed_from_rest of each vertex, differentiable in weights and transforms.
    """
    return rigid_from_dual_quaternion(mean_dual_quaternions(weights, bone_transforms, joints))


def mean_dual_quaternions(
    weights: Tensor,  # (V, J) one per bone, or (V, K) with `joints`; each row sums to 1
    bone_transforms: Tensor,  # (..., J, 4, 4) posed_from_rest of each bone, rigid
    joints: Tensor | None = None,  # (V, K) int64 the bone that each weight belongs to
) -> Tensor:
    """The same blend as dual quaternions (..., V, 8), not of unit length.

    A rotation has two quaternions of opposite sign. Of each bone the one is taken that lies in the half space of the
    vertex's strongest bone, for otherwise two equal rotations might cancel.
    """
    bones = dual_quaternion_from_rigid(bone_transforms)
    strongest = weights.argmax(dim=1, keepdim=True)
    leader = (strongest if joints is None else joints.gather(1, strongest))[:, 0]
    pivot = bones[..., leader, :4]
    if joints is None:
        agreement = torch.einsum("...va,...ja->...vj", pivot, bones[..., :4])
        signed = weights * torch.where(agreement < 0, -1.0, 1.0).to(weights)
        return signed @ bones
    # One influence after the other needs K times less memory than all of them at once.
    blended = torch.zeros((), dtype=bones.dtype, device=bones.device)
    for weight, joint in zip(weights.unbind(1), joints.unbind(1), strict=True):
        bone = bones[..., joint, :]
        sign = torch.where((pivot * bone[..., :4]).sum(-1) < 0, -1.0, 1.0).to(weight)
        blended = blended + (sign * weight)[..., None] * bone
    return blended
