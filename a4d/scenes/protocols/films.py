"""Scenes that learn from a film: its cameras, what goes where, and features by which frames match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.render.render import Render


@runtime_checkable
class Lensed(Protocol):
    """A scene that learns through which lens, and from where, the frames that show it were taken."""

    def seen_from(self, cameras: Cameras, times: Sequence[float] | None) -> Cameras:
        """The cameras of frames, at times in [0, 1] if they have any, as the scene knows them; part of the graph."""

    @property
    def has_learnt_cameras(self) -> bool:
        """Whether those are others than the cameras of frames say."""

    def forget_cameras(self) -> None:
        """Know no more than the cameras of frames say."""


@runtime_checkable
class Repeating(Protocol):
    """A scene whose motion may repeat, as often as a film shows."""

    @property
    def cycles(self) -> float | None:
        """In the clip; 0 or none: it does not."""


PLACE, FEATURES = "place", "features"
"""The channels that renders of `Followable` and `Featured` scenes have beside those of all."""


@runtime_checkable
class Followable(Protocol):
    """A scene that knows where what it shows is at other times."""

    def render_places(
        self,
        cameras: Cameras,
        times: Tensor,  # (B,) in [0, 1]
        others: Tensor,  # (B,) in [0, 1]
    ) -> Render:
        """B views over black with the channel `place`, (B, H, W, 3): where that is at the other times, times alpha."""


@runtime_checkable
class Featured(Protocol):
    """A scene that learns features beside its colours."""

    def render_features(
        self,
        cameras: Cameras,
        times: Tensor,  # (B,) in [0, 1]
    ) -> Render:
        """B views over black with the channel `features`, (B, H, W, C), times alpha."""

    def featured_points(self, count: int, times: Sequence[float], draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """(T, N, 3) where up to so many drawn points of the shape are at times, and (N, C) the features of each."""
