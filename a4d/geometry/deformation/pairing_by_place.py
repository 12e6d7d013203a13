"""Parts of a body and bones of a skeleton that lie alike, where both do as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.geometry.deformation.retargeting import FEWEST
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.transforms import rotation_from_axis_angle

ROUNDS = 20
"""In which one is laid over the other, each by the pairs that the one before has found."""

PROPORTIONS = 2.5
"""By how much the proportions of two bodies of one build may differ between any two axes."""

ALIKE = 0.26
"""Root mean square distance of parts from the nearest bone, up to which both are of one build.

In sizes of the body: its parts' root mean square distance from their middle.
"""

TURNED = 0.8
"""Times the distance after any other quarter turn, at the most: else another side may be the front."""

NEAR = 0.15
"""Sizes of the body up to which a part and a bone are taken to be the same."""

OUTER = (0.05, 0.95)
"""Quantiles along an axis that count as its ends to begin with: handles may lie far outside of a body."""


def paired_by_place(
    source: Skeleton,
    names: Sequence[str],  # J, of the joints that are to move
    parts: Tensor,  # (J, 3) the middles of what they move
) -> dict[str, str]:
    """The source's joint by the name of the joint that moves a part where its bone lies at rest; none where in doubt.

    One is laid over the other, as large as it along each axis, +Y up and +Z in front. Nothing is paired unless both are
    of one build and beyond doubt face the same way: a horse turned round is nearly a horse, whose tail is its head.
    """
    bones, parts = bone_middles(source), parts.double()
    if min(len(bones), len(parts)) < FEWEST:
        return {}
    size = float((parts - parts.mean(0)).square().sum(1).mean().sqrt()) or 1.0
    turned = [torch.cdist(parts, _laid_over(bones @ _about_y(quarter).T, parts)) / size for quarter in range(4)]
    facing, *others = (float(apart.amin(1).square().mean().sqrt()) for apart in turned)
    if not facing <= min(ALIKE, TURNED * min(others)):
        return {}
    pairs = _mutual(turned[0]).tolist()
    return {names[part]: source.names[bone] for part, bone in pairs if float(turned[0][part, bone]) <= NEAR}


def bone_middles(skeleton: Skeleton) -> Tensor:
    """(J, 3) float64 at rest, halfway from each joint to those that hang on it; of an end the joint itself."""
    places = skeleton.rest_world[:, :3, 3].double()
    has_parent = skeleton.parents >= 0
    above = skeleton.parents[has_parent]
    counts = torch.zeros(len(places), 1, dtype=places.dtype).index_add(0, above, places.new_ones(len(above), 1))
    sums = torch.zeros_like(places).index_add(0, above, places[has_parent])
    return torch.where(counts > 0, (places + sums / counts.clamp_min(1)) / 2, places)


def _about_y(quarters: int) -> Tensor:
    return rotation_from_axis_angle(torch.tensor([0.0, quarters * math.pi / 2, 0.0], dtype=torch.float64))


def _laid_over(
    bones: Tensor,  # (S, 3)
    parts: Tensor,  # (J, 3)
) -> Tensor:
    """(S, 3) bones stretched along the axes and shifted until they lie over parts; far away where that distorts."""
    outer = parts.new_tensor(OUTER)
    (low, high), (own_low, own_high) = (points.quantile(outer, dim=0) for points in (bones, parts))
    scale = (own_high - own_low) / (high - low).clamp_min(1e-9)
    shift = own_low - scale * low
    for _ in range(ROUNDS):
        pairs = _mutual(torch.cdist(parts, scale * bones + shift))
        if len(pairs) < FEWEST:
            break
        own, other = parts[pairs[:, 0]], bones[pairs[:, 1]]
        spread = other - other.mean(0)
        scale = ((own - own.mean(0)) * spread).sum(0) / spread.square().sum(0).clamp_min(1e-12)
        shift = own.mean(0) - scale * other.mean(0)
    is_distorted = not float(scale.max()) <= PROPORTIONS * float(scale.min())
    return torch.full_like(bones, 1 / torch.finfo(bones.dtype).eps) if is_distorted else scale * bones + shift


def _mutual(
    apart: Tensor,  # (J, S)
) -> Tensor:
    """(P, 2) pairs of which each is the other's nearest."""
    nearest = apart.argmin(1)
    joints = (apart.argmin(0)[nearest] == torch.arange(len(apart))).nonzero()[:, 0]
    return torch.stack([joints, nearest[joints]], dim=1)
