"""How a whole body stands: seen from another frame, and the frame that two such poses tell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.transforms import rigid_from_parts


@dataclass(frozen=True)
class RootPose:
    """The turn of a root about its own joint, and the translation of the whole after it, over T moments.

    A point x of the body at rest goes to R (x - p) + p + t, where p is the root's joint, as SMPL has it.

    Args:
        rotation: (T, 3, 3).
        translation: (T, 3) metres.
    """

    rotation: Tensor
    translation: Tensor

    def at(self, moments: Tensor) -> RootPose:
        """The pose at some of the moments, by index."""
        return RootPose(self.rotation[moments], self.translation[moments])

    def seen_from(
        self,
        other_from_world: Tensor,  # (4, 4) or (T, 4, 4) rigid
        pivot: Tensor,  # (3,) or (T, 3) the root's joint at rest
    ) -> RootPose:
        """The same pose in another frame: the joint, not the translation, is what moves with the frame."""
        rotation = other_from_world[..., :3, :3]
        moved = (rotation @ (pivot + self.translation)[..., None]).squeeze(-1) + other_from_world[..., :3, 3]
        return RootPose(rotation @ self.rotation, moved - pivot)

    def transform_from(
        self,
        other: RootPose,  # the same pose in another frame
        pivot: Tensor,  # (3,) or (T, 3)
    ) -> Tensor:
        """(T, 4, 4) the rigid transforms from the other's frame to this one's."""
        rotation = self.rotation @ other.rotation.transpose(-1, -2)
        moved = (rotation @ (pivot + other.translation)[..., None]).squeeze(-1)
        return rigid_from_parts(rotation, pivot + self.translation - moved)


def interpolated(
    values: Tensor,  # (K, ...) at some moments
    moments: Tensor,  # (K,) int64, increasing
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the known moments are before and after each of `count`, and where between them it lies.

    Before the first and after the last known moment both are that one.

    Returns:
        (count, ...) values before, (count, ...) after, and (count,) shares in [0, 1] of the latter.
    """
    wanted = torch.arange(count)
    after = torch.searchsorted(moments, wanted).clamp(max=len(moments) - 1)
    before = torch.where(moments[after] > wanted, after - 1, after).clamp(min=0)
    apart = (moments[after] - moments[before]).clamp(min=1)
    share = ((wanted - moments[before]) / apart).clamp(0.0, 1.0)
    return values[before], values[after], torch.where(after == before, torch.zeros_like(share), share)
