"""Deforming vertices with bones and with morph targets, as differentiable functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.deformation.dual_quaternions import blend_dual_quaternions


def blend_bones(
    weights: Tensor,  # (V, J) one per bone, or (V, K) with `joints`; each row sums to 1
    bone_transforms: Tensor,  # (..., J, 4, 4) posed_from_rest of each bone
    joints: Tensor | None = None,  # (V, K) int64 the bone that each weight belongs to
) -> Tensor:
    """The weighted mean of the bones' matrices at each vertex.

    Returns:
        (..., V, 4, 4) posed_from_rest of each vertex.
    """
    if joints is None:
        return torch.einsum("vj,...jab->...vab", weights, bone_transforms)
    # One influence after the other needs K times less memory than all of them at once.
    blended = torch.zeros((), dtype=bone_transforms.dtype, device=bone_transforms.device)
    for weight, joint in zip(weights.unbind(1), joints.unbind(1), strict=True):
        blended = blended + weight[:, None, None] * bone_transforms[..., joint, :, :]
    return blended


def linear_blend_skinning(
    vertices: Tensor,  # (V, 3) or (..., V, 3) rest pose, metres
    weights: Tensor,  # (V, J) one per bone, or (V, K) with `joints`; each row sums to 1
    bone_transforms: Tensor,  # (..., J, 4, 4) posed_from_rest: world_from_joint @ inverse bind matrix
    joints: Tensor | None = None,  # (V, K) int64 the bone that each weight belongs to
) -> Tensor:
    """Vertices moved by the weighted mean of their bones (glTF 2.0, section 3.7.3.3), differentiable in all floats.

    Returns:
        (..., V, 3) posed.
    """
    return apply_per_vertex(blend_bones(weights, bone_transforms, joints), vertices)


def dual_quaternion_skinning(
    vertices: Tensor,  # (V, 3) or (..., V, 3) rest pose, metres
    weights: Tensor,  # (V, J) one per bone, or (V, K) with `joints`; each row sums to 1
    bone_transforms: Tensor,  # (..., J, 4, 4) posed_from_rest, rigid
    joints: Tensor | None = None,  # (V, K) int64 the bone that each weight belongs to
) -> Tensor:
    """Vertices moved by the rigid transform between their bones' (Kavan et al. 2007), differentiable in all floats.

    Returns:
        (..., V, 3) posed.
    """
    return apply_per_vertex(blend_dual_quaternions(weights, bone_transforms, joints), vertices)


def apply_per_vertex(
    posed_from_rest: Tensor,  # (..., V, 4, 4) affine
    vertices: Tensor,  # (..., V, 3)
) -> Tensor:
    """Each point under its own transform, (..., V, 3)."""
    return (posed_from_rest[..., :3, :3] @ vertices[..., None]).squeeze(-1) + posed_from_rest[..., :3, 3]


def rotate_normals(
    posed_from_rest: Tensor,  # (..., V, 4, 4) affine, or (..., 1, 4, 4) for all
    normals: Tensor,  # (..., V, 3)
) -> Tensor:
    """Unit normals of the transformed surface: the inverse transpose, which keeps them outward also under mirroring.

    Returns:
        (..., V, 3) of unit length; a normal that vanishes stays zero.
    """
    a, b, c = posed_from_rest[..., :3, :3].unbind(-1)
    # The cofactors are the inverse transpose times the determinant, and exist for flattened bones too.
    cofactors = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-1)
    determinant = (a * cofactors[..., 0]).sum(-1)
    sign = torch.where(determinant < 0, -1.0, 1.0).to(normals)
    return normalize((cofactors @ normals[..., None]).squeeze(-1) * sign[..., None], dim=-1)


def rotate_tangents(
    posed_from_rest: Tensor,  # (..., V, 4, 4) affine, or (..., 1, 4, 4) for all
    tangents: Tensor,  # (..., V, 3)
) -> Tensor:
    """Unit tangents, which lie in the surface and move with it.

    Returns:
        (..., V, 3) of unit length; a tangent that vanishes stays zero.
    """
    return normalize((posed_from_rest[..., :3, :3] @ tangents[..., None]).squeeze(-1), dim=-1)


def blend_morph_targets(
    base: Tensor,  # (V, 3)
    deltas: Tensor,  # (M, V, 3)
    weights: Tensor,  # (..., M) any real numbers
) -> Tensor:
    """The base plus the weighted sum of the targets' displacements, (..., V, 3)."""
    return base + torch.einsum("...m,mvc->...vc", weights, deltas)
