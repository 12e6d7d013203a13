"""Points at rest where bones take them, and posed points back at rest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.deformation.dual_quaternions import (
    blend_dual_quaternions,
    mean_dual_quaternions,
    rigid_from_dual_quaternion,
)
from a4d.geometry.deformation.skinning import apply_per_vertex, blend_bones
from a4d.geometry.transforms import invert_rigid, quaternion_from_rotation, rotation_from_axes
from a4d.scenes.articulated.config import Blending

BLENDS = {"dual-quaternion": blend_dual_quaternions, "linear": blend_bones}


def blended_transforms(
    weights: Tensor,  # (N, B) each row sums to 1
    posed_from_rest: Tensor,  # (T, B, 4, 4) of each bone, rigid
    blending: Blending,
) -> Tensor:
    """(T, N, 4, 4) posed_from_rest of each point; rigid but where blending is linear."""
    return BLENDS[blending](weights, posed_from_rest)


def blended_motions(
    weights: Tensor,  # (N, B) each row sums to 1
    posed_from_rest: Tensor,  # (T, B, 4, 4) of each bone, rigid
    blending: Blending,
) -> tuple[Tensor, Tensor]:
    """(T, N, 4) quaternions by which the surroundings of points turn, and (T, N, 4, 4) posed_from_rest of each."""
    if blending == "dual-quaternion":
        blended = mean_dual_quaternions(weights, posed_from_rest)
        return normalize(blended[..., :4], dim=-1), rigid_from_dual_quaternion(blended)
    moved = blend_bones(weights, posed_from_rest)
    nearest = rotation_from_axes(moved[..., :3, :2].transpose(-1, -2).flatten(-2))
    return quaternion_from_rotation(nearest), moved


def forward_warp(
    points: Tensor,  # (N, 3) at rest
    weights: Tensor,  # (N, B) of the points at rest, each row sums to 1
    posed_from_rest: Tensor,  # (T, B, 4, 4) of each bone, rigid
    blending: Blending,
) -> Tensor:
    """(T, N, 3) where the bones take the points."""
    return apply_per_vertex(blended_transforms(weights, posed_from_rest, blending), points)


def backward_warp(
    points: Tensor,  # (T, N, 3) posed
    weights: Tensor,  # (T, N, B) of the posed points, each row sums to 1
    posed_from_rest: Tensor,  # (T, B, 4, 4) of each bone, rigid
    blending: Blending,
) -> Tensor:
    """(T, N, 3) where the points were at rest: the bones' inverse motions are blended, which is not the inverse blend.

    See the cycle consistency of `a4d.objectives.bones`, which ties both together.
    """
    back = invert_rigid(posed_from_rest)
    moved = [
        apply_per_vertex(blended_transforms(each, back[index], blending), points[index])
        for index, each in enumerate(weights)
    ]
    return torch.stack(moved)
