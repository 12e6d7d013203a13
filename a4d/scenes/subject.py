"""What some scenes know of their subject: where it is, how large, and how far points are from its surface at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """Where a subject is, and how large.

    Args:
        world_from_subject: (T, 4, 4) rigid; the subject's frame turns with it and begins in its middle.
        size: (T,) metres along the longest side of its box in that frame.
    """

    world_from_subject: Tensor
    size: Tensor


@runtime_checkable
class Placed(Protocol):
    """A scene whose subject moves about in the world, and who says where to."""

    def placement(self, times: Sequence[float] | None) -> Placement:
        """Where it is at times in [0, 1], or at rest, as a single row, where there are none."""


@runtime_checkable
class SignedDistances(Protocol):
    """A scene whose surface at rest lies where a signed distance is zero."""

    def rest_box(self) -> Tensor:
        """(2, 3) lowest and highest corner of the part of the world in which distances are known, metres."""

    def signed_distances(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N,) metres, negative inside, part of the autograd graph."""
