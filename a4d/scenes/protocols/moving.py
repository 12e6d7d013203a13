"""Scenes that are another at every time of a clip, and what of them can be followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from a4d.geometry.deformation.arap import Neighbourhoods


@runtime_checkable
class Moving(Protocol):
    """A scene that may be another at every time of a clip."""

    @property
    def is_moving(self) -> bool:
        """Whether it differs between times; one that does is sampled at several by those who take it elsewhere."""

    @property
    def seconds(self) -> float | None:
        """Length of its clip, or None where only the workspace's frames tell."""

    @property
    def is_periodic(self) -> bool:
        """Whether the end of its clip is the beginning again."""


def is_moving(scene: object) -> bool:
    """Whether a scene of any kind differs between times."""
    return isinstance(scene, Moving) and scene.is_moving


Followed = Literal["gaussians", "vertices", "nodes"]
"""The points of a scene that can be followed over time."""


@runtime_checkable
class Deforming(Protocol):
    """A scene whose shape at rest deforms, and whose points can be followed; rest may be time 0, or no time at all."""

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) where the points are at rest, world, metres."""

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) where the same points, or those of some (P,) indices, are at times in [0, 1]."""

    def carried_points(
        self,
        points: Tensor,  # (P, 3) world, metres, at time 0
        times: Sequence[float],
    ) -> Tensor:
        """(T, P, 3) where any points near the shape are at times in [0, 1]."""

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """Which points are near which at rest, up to `count` for each."""

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes that carry the motion: (M, 3) at rest, (T, M, 3) places and (T, M, 3, 3) rotations at times."""


@runtime_checkable
class VaryingField(Protocol):
    """A scene of features that are a function of place and time."""

    def temporal_variation(
        self,
        unit: Tensor,  # (N, 3) in [0, 1]³ of its cube
    ) -> Tensor:
        """Mean squared change of the features from one instant to the next, a scalar."""
