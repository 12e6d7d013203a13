"""A body of one shape in the poses of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body, PosedBody
from a4d.geometry.deformation.retargeting import retargeted, rotations_of
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import quaternion_from_rotation, rotation_from_quaternion, slerp


@dataclass(frozen=True)
class AnimatedBody:
    """A body in T poses at a constant rate; follows `a4d.scenes.protocols.Posable`.

    Args:
        body: of J joints and shapes of S numbers.
        shape: (S,).
        rotations: (T, J, 3, 3) see `Body`.
        translation: (T, 3) metres, see `Body.posed`.
        seconds_per_frame: positive.
    """

    body: Body
    shape: Tensor
    rotations: Tensor
    translation: Tensor
    seconds_per_frame: float

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return (len(self) - 1) * self.seconds_per_frame

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest, their axes those of the world."""
        return self.body.skeleton(self.shape)

    def posed(self) -> PosedBody:
        """All frames at once."""
        return self.body.posed(self.rotations, self.shape, self.translation)

    @property
    def local_transforms(self) -> Tensor:
        """(T, J, 4, 4) parent_from_joint."""
        return self.body.local_transforms(self.rotations, self.body.rest(self.shape)[1], self.translation)

    def lowest(self) -> Tensor:
        """(T,) metres, y of the lowest vertex of the skinned rest surface in each frame."""
        vertices, joints = self.body.rest(self.shape)
        world = self.skeleton.world_from_joint(self.local_transforms)
        rows = torch.cat([world[..., 1, :3], (world[..., 1, 3] - (world[..., 1, :3] * joints).sum(-1))[..., None]], -1)
        # A frame at a time: all vertices of a long clip at once would fill the memory.
        blended = (self.body.weights @ row for row in rows)
        return torch.stack([((each[:, :3] * vertices).sum(1) + each[:, 3]).min() for each in blended])

    def motion(self, times: Sequence[float]) -> Motion:
        """How the joints stand at evenly spaced times in [0, 1] of the clip, turned steadily between its frames."""
        frames = torch.tensor(times, dtype=torch.float64).clamp(0.0, 1.0) * (len(self) - 1)
        before = frames.floor().long()
        after, share = frames.ceil().long(), (frames - before).to(self.rotations)
        quaternions = quaternion_from_rotation(self.rotations)
        turned = slerp(quaternions[before], quaternions[after], share[:, None].expand(-1, len(self.body.names)))
        moved = torch.lerp(self.translation[before], self.translation[after], share[:, None])
        local = self.body.local_transforms(rotation_from_quaternion(turned), self.body.rest(self.shape)[1], moved)
        apart = (times[1] - times[0]) * self.seconds if len(times) > 1 else 0.0
        return Motion(self.skeleton, local, apart or self.seconds_per_frame)

    def with_motion(self, motion: Motion) -> AnimatedBody:
        """The same body, moved as something else is; see `a4d.geometry.deformation.retargeting.retargeted`.

        Args:
            motion: of any skeleton, +Y up and +Z in front.

        Raises:
            InvalidInputError: too few joints match those of the motion by their names.
        """
        skeleton = self.skeleton
        local = retargeted(motion, skeleton).parent_from_joint
        root = skeleton.from_the_roots()[0]
        return replace(
            self,
            rotations=rotations_of(local).to(self.rotations),
            translation=(local[:, root, :3, 3] - skeleton.rest[root, :3, 3]).to(self.translation),
            seconds_per_frame=motion.seconds_per_frame,
        )
