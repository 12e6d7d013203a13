"""Sparse skinning weights: the few joints that move each vertex."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Influences:
    """Which joints move a vertex, and how much.

    Args:
        joints: (V, K) int64 index into the skin's joints.
        weights: (V, K) float32, each row sums to 1.
    """

    joints: Tensor
    weights: Tensor

    @classmethod
    def strongest(cls, weights: Tensor, count: int = 4) -> Influences:
        """The largest few of dense weights, which then sum to 1.

        Args:
            weights: (V, J) not negative, each row with something in it.
            count: kept per vertex; four is what every game engine knows.
        """
        kept, joints = weights.detach().cpu().double().topk(min(count, weights.shape[1]), dim=1)
        return cls(joints, (kept / kept.sum(1, keepdim=True)).float())
