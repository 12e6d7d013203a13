"""How an avatar stands at the moments of its clip: a tracker's poses, and what is learnt beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import (
    invert_rigid,
    quaternion_from_rotation,
    rigid_from_parts,
    rotation_from_quaternion,
    slerp,
)
from a4d.scenes.articulation import ArticulationConfig, PoseTable

EXACT = 1e-3
"""Share of the time between two moments up to which a time is one of them: frames know theirs in single precision."""


AT_REST = 1e-4
"""Entries of a rotation by which it may differ from the pose at rest."""


class AvatarPoses(nn.Module):
    """Poses of a skeleton at T moments, and turned steadily between them.

    Joints learn that turn in the poses to begin with, and the roots: of fingers that a tracker does not tell, a film
    tells less.

    Args:
        skeleton: J joints.
        start: (T, J, 4, 4) parent_from_joint to begin with.
        times: (T,) float64, increasing in [0, 1] of the clip.
        seconds_per_frame: between two moments.
    """

    bind: Tensor

    def __init__(self, skeleton: Skeleton, start: Tensor, times: Tensor, seconds_per_frame: float) -> None:
        super().__init__()
        self.times, self.seconds_per_frame = times, seconds_per_frame
        self.table = PoseTable(skeleton, len(start), ArticulationConfig(), start, _tracked(skeleton, start))
        self.register_buffer("bind", invert_rigid(skeleton.rest_world).float(), persistent=False)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest."""
        return self.table.skeleton

    @property
    def seconds(self) -> float:
        """From the first moment to the last."""
        return (len(self) - 1) * self.seconds_per_frame

    def moments_at(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """The moments before and after each of some times, (N,) int64 each, and (N,) the share of the way between."""
        at = torch.tensor(times, dtype=torch.float64)
        after = torch.searchsorted(self.times, at).clamp(max=len(self) - 1)
        before = (after - 1).clamp(min=0)
        apart = (self.times[after] - self.times[before]).clamp(min=1e-12)
        share = ((at - self.times[before]) / apart).clamp(0, 1)
        share = torch.where(share < EXACT, 0.0, torch.where(share > 1 - EXACT, 1.0, share))
        before, after = torch.where(share == 1, after, before), torch.where(share == 0, before, after)
        return before, after, share

    def parent_from_joint(self, times: Sequence[float]) -> Tensor:
        """(N, J, 4, 4) at some times in [0, 1]; at a moment exactly its row, and differentiable in it alone."""
        before, after, share = self.moments_at(times)
        here = self.table.parent_from_joint(before)
        if torch.equal(before, after):
            return here
        there = self.table.parent_from_joint(after)
        share = share.to(here)
        turns = [quaternion_from_rotation(each[..., :3, :3]) for each in (here, there)]
        turned = slerp(turns[0], turns[1], share[:, None].expand(here.shape[:2]))
        moved = torch.lerp(here[..., :3, 3], there[..., :3, 3], share[:, None, None])
        return rigid_from_parts(rotation_from_quaternion(turned), moved)

    def posed_from_rest(
        self,
        parent_from_joint: Tensor,  # (..., J, 4, 4)
    ) -> Tensor:
        """(..., J, 4, 4) what a pose does to points that are bound to the joints."""
        return self.skeleton.world_from_joint(parent_from_joint) @ self.bind

    def without_root(
        self,
        parent_from_joint: Tensor,  # (..., J, 4, 4)
    ) -> Tensor:
        """The same pose with its roots at rest: what the body does, wherever it stands and whatever it faces."""
        is_root = (self.skeleton.parents < 0).to(parent_from_joint.device)
        return torch.where(is_root[:, None, None], self.table.rest, parent_from_joint)

    def motion(self, times: Sequence[float]) -> Motion:
        """The poses at evenly spaced times in [0, 1], detached and on the CPU."""
        apart = (times[1] - times[0]) * self.seconds if len(times) > 1 else 0.0
        local = self.parent_from_joint(times).detach().cpu()
        return Motion(self.skeleton, local, apart or self.seconds_per_frame)


def _tracked(
    skeleton: Skeleton,
    poses: Tensor,  # (T, J, 4, 4) parent_from_joint
) -> Tensor:
    """(K,) int64 the joints that are not at rest at all moments, and the roots; all where none is."""
    is_turned = ((poses - skeleton.rest.to(poses))[..., :3, :3].abs() > AT_REST).any(dim=0).flatten(1).any(dim=1)
    if not bool(is_turned.any()):
        return torch.arange(len(skeleton))
    return (is_turned | (skeleton.parents < 0).to(poses.device)).nonzero()[:, 0]
