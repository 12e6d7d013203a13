"""Scenes that joints or bones move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.deformation.skeleton import Motion, Skeleton


@runtime_checkable
class Posed(Protocol):
    """A scene of joints whose poses are learnt at every moment, beside those that it began with."""

    def joints(self, times: Sequence[float]) -> Tensor:
        """(T, J, 3) world, metres, where the joints are at times in [0, 1]; part of the autograd graph."""

    def pose_changes(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """(T, J, 3, 3) rotations and (T, R, 3) metres of the roots that were learnt at moments of the clip."""


@dataclass(frozen=True)
class BoneRig:
    """Bones of a shape at rest, of which each is an ellipsoid that moves what is near it.

    Args:
        world_from_bone: (B, 4, 4) rigid; a bone's centre is its translation.
        radii: (B, 3) metres along the bone's own axes.
    """

    world_from_bone: Tensor
    radii: Tensor


@runtime_checkable
class Articulated(Protocol):
    """A scene whose shape at rest is moved by bones that nobody named: a bag of them, none another's parent.

    All tensors are part of the autograd graph, and all points are in the scene's world, in metres.
    """

    def bones(self) -> BoneRig:
        """The B bones at rest."""

    def root_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, 4, 4) posed_from_rest of the whole, rigid, at times in [0, 1]; what the cameras say is no part of it."""

    def bone_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, B, 4, 4) posed_from_rest of each bone, rigid, the motion of the whole included, at times in [0, 1]."""

    def skinning_weights(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N, B) of every bone, each row sums to 1."""

    def warped(
        self,
        points: Tensor,  # (N, 3) at rest
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, 3) where the bones take them at times in [0, 1]."""


@runtime_checkable
class LearntBones(Articulated, Protocol):
    """An articulated scene whose bones and weights are learnt with its shape."""

    def shape_points(self) -> Tensor:
        """(N, 3) points spread over the shape at rest, by which objectives ask what bones do to it."""

    def weight_corrections(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N, B) squared radii by which a network moves points away from bones; zero without one."""

    def unwarped(
        self,
        points: Tensor,  # (T, N, 3) posed
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, 3) where they were at rest; not quite the inverse of `warped` where weights are learnt for both."""


@runtime_checkable
class Embodied(Protocol):
    """A scene that is a body in the poses of a clip."""

    pose_groups: ClassVar[tuple[str, ...]]
    """The groups of its parameters that say how the body stands, a row per moment."""

    def in_poses_of(self, tracked: TrackedBody) -> Embodied:
        """The same body, at the times, in the poses and at the place of another of the same joints.

        Raises:
            InvalidInputError: the other has other joints.
        """


@runtime_checkable
class Posable(Protocol):
    """What joints move: a rigged mesh, a scene of one, a body."""

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest, in the world, +Y up and +Z in front.

        Raises:
            InvalidInputError: nothing of it hangs on joints.
        """

    def motion(self, times: Sequence[float]) -> Motion:
        """How the joints stand at T evenly spaced times in [0, 1] of its clip."""

    def with_motion(self, motion: Motion) -> Posable:
        """The same, moved as something else is instead; see `a4d.geometry.assets.reposing.reposed`.

        Args:
            motion: of any skeleton, +Y up and +Z in front.

        Raises:
            InvalidInputError: it has no joints, or too few match those of the motion by their names.
        """
