"""Bones that belong together though nobody joined them: neighbours, and how they move against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.transforms import quaternion_from_rotation

Weights = Callable[[Tensor], Tensor]
"""Skinning weights (N, B) of points (N, 3) at rest."""


@dataclass(frozen=True)
class BonePairs:
    """P pairs of neighbouring bones, each with the place at rest where one gives way to the other.

    Args:
        first: (P,) int64.
        second: (P,) int64.
        joints: (P, 3) world, metres, between them.
        lengths: (P,) metres from one to the other.
        strengths: (P,) in [0, 1]: 1 where both hold the joint alike and nothing else does, 0 where neither holds it.
    """

    first: Tensor
    second: Tensor
    joints: Tensor
    lengths: Tensor
    strengths: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """The mean of values (..., P) over pairs by their strengths, and over all else."""
        return (values * self.strengths).sum(-1).mean() / self.strengths.sum().clamp_min(1e-6)


@torch.no_grad()
def neighbouring_bones(
    centres: Tensor,  # (B, 3) at rest, metres
    weights: Weights,
    neighbours: int,
) -> BonePairs:
    """Each bone with its nearest others, every pair once."""
    count = len(centres)
    apart = torch.cdist(centres, centres).fill_diagonal_(torch.inf)
    nearest = apart.topk(min(neighbours, count - 1), largest=False).indices
    is_pair = torch.zeros(count, count, dtype=torch.bool, device=centres.device)
    is_pair[torch.arange(count, device=centres.device)[:, None], nearest] = True
    first, second = (is_pair | is_pair.T).triu(1).nonzero().unbind(1)
    joints = (centres[first] + centres[second]) / 2
    held = weights(joints)
    own = held.gather(1, first[:, None]) * held.gather(1, second[:, None])
    return BonePairs(first, second, joints, apart[first, second], 4 * own[:, 0])


@dataclass(frozen=True)
class RelativeMotion:
    """How the second bone of each pair has moved as seen from the first, at T moments.

    Args:
        angles: (T, P) radians in [0, pi] by which it has turned.
        gaps: (T, P) metres between the places to which either takes the joint.
        shifts: (T, P, 3) metres by which its centre has moved in the first one's frame at rest.
    """

    angles: Tensor
    gaps: Tensor
    shifts: Tensor


def relative_motion(
    pairs: BonePairs,
    centres: Tensor,  # (B, 3) at rest, metres
    posed_from_rest: Tensor,  # (T, B, 4, 4) rigid
) -> RelativeMotion:
    """How pairs of bones move against each other, differentiable in the bones' transforms."""
    one, other = (posed_from_rest.index_select(1, each) for each in (pairs.first, pairs.second))
    back = one[..., :3, :3].transpose(-1, -2)
    turn = quaternion_from_rotation(back @ other[..., :3, :3])
    angles = 2 * torch.atan2(turn[..., 1:].norm(dim=-1), turn[..., 0])
    joints, seconds = pairs.joints[:, :, None], centres.index_select(0, pairs.second)
    moved = [(each[..., :3, :3] @ joints)[..., 0] + each[..., :3, 3] for each in (one, other)]
    posed = (other[..., :3, :3] @ seconds[:, :, None])[..., 0] + other[..., :3, 3]
    seen = (back @ (posed - one[..., :3, 3])[..., None])[..., 0]
    return RelativeMotion(angles, (moved[0] - moved[1]).norm(dim=-1), seen - seconds)
