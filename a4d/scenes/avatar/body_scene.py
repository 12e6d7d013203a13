"""What scenes have in common that a body carries: its joints, and how they stand over the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.mesh import Mesh
from a4d.scenes.avatar.poses import AvatarPoses
from a4d.scenes.scene import Scene


class BodyScene(Scene):
    """A scene on a body that was followed through a film, whose poses are learnt beside those that it begins with.

    Args:
        tracked: the body, in its poses to begin with.
    """

    def __init__(self, tracked: TrackedBody) -> None:
        super().__init__()
        animated, body = tracked.animated, tracked.animated.body
        start = body.local_transforms(animated.rotations, body.rest()[1], animated.translation)
        self.tracked = tracked
        self.poses = AvatarPoses(animated.skeleton, start, tracked.times, animated.seconds_per_frame)

    @property
    def body(self) -> Body:
        """In its only shape, on the CPU."""
        return self.tracked.animated.body

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest, with the world's axes."""
        return self.poses.skeleton

    @torch.no_grad()
    def motion(self, times: Sequence[float]) -> Motion:
        """How the joints stand at evenly spaced times in [0, 1], as they were fitted."""
        return self.poses.motion(times)

    @property
    def is_moving(self) -> bool:
        """Whether there are several moments."""
        return len(self.poses) > 1

    @property
    def seconds(self) -> float | None:
        """From the first moment to the last."""
        return self.poses.seconds if self.is_moving else None

    @property
    def is_periodic(self) -> bool:
        """Never: a film ends elsewhere than it began."""
        return False

    def transforms(self, time: float) -> Tensor:
        """(J, 4, 4) posed_from_rest of each joint, differentiable in the pose."""
        return self.poses.posed_from_rest(self.poses.parent_from_joint([time])[0])

    def joints(self, times: Sequence[float]) -> Tensor:
        """(T, J, 3) metres."""
        return self.skeleton.world_from_joint(self.poses.parent_from_joint(times))[..., :3, 3]

    def pose_changes(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Rotations and shifts of the moments' rows, each in its joint's own frame."""
        return self.poses.table.residuals(self.poses.moments_at(times)[0])

    @property
    def has_mesh(self) -> bool:
        """Always: that of the body."""
        return True

    def body_mesh(self, time: float) -> Mesh:
        """The body's surface in the pose of a time in [0, 1], without colours."""
        transforms = self.transforms(time)
        vertices, weights = (each.to(transforms) for each in (self.body.rest()[0], self.body.weights))
        return Mesh(linear_blend_skinning(vertices, weights, transforms), self.body.faces.to(transforms.device))

    @torch.no_grad()
    def fitted(self) -> TrackedBody:
        """The body in the poses as they were fitted, on the CPU."""
        local = self.poses.table.parent_from_joint(torch.arange(len(self.poses))).cpu()
        root = self.skeleton.from_the_roots()[0]
        animated = replace(
            self.tracked.animated,
            rotations=local[..., :3, :3],
            translation=local[:, root, :3, 3] - self.skeleton.rest[root, :3, 3],
        )
        return replace(self.tracked, animated=animated)
