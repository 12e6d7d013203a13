"""What a motion over a clip is: where points of the shape at time 0 are later, and how they have turned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import quaternion_product
from a4d.scenes.protocols import Followed


@dataclass(frozen=True)
class Moved:
    """P points at a moment.

    Args:
        points: (P, 3) world, metres.
        turn: (P, 4) or (4,) quaternions by which their surroundings have turned.
        rotation: (P, 4) added to turned quaternions, or None.
        log_scale: (P, 3) added to the logarithms of scales, or None.
    """

    points: Tensor
    turn: Tensor
    rotation: Tensor | None = None
    log_scale: Tensor | None = None

    def gaussians(self, rest: Gaussians) -> Gaussians:
        """The Gaussians around these points; opacity and colour never change."""
        quaternions = quaternion_product(self.turn, torch.nn.functional.normalize(rest.quaternions, dim=-1))
        return Gaussians(
            self.points,
            quaternions if self.rotation is None else quaternions + self.rotation,
            rest.log_scales if self.log_scale is None else rest.log_scales + self.log_scale,
            rest.opacity_logits,
            rest.sh,
        )


class Motion(nn.Module, ABC):
    """A motion that begins at rest: at time 0 nothing has moved."""

    latest: Tensor
    """The latest moment in [0, 1] that was optimised."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("latest", torch.zeros(()))

    @property
    def is_periodic(self) -> bool:
        """Whether it ends at rest, to begin anew; of most kinds it never does."""
        return False

    @abstractmethod
    def forward(
        self,
        points: Followed,
        rest: Tensor,  # (P, 3) metres, at time 0
        times: Sequence[float],  # T in [0, 1]
        chosen: Tensor | None = None,  # (P,) int64 which of these points they are; None is all
    ) -> list[Moved]:
        """Points at T moments."""

    @abstractmethod
    def carried(
        self,
        points: Tensor,  # (P, 3) metres, at time 0
        times: Sequence[float],  # T in [0, 1]
    ) -> list[Moved]:
        """Any points near the shape at T moments."""

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw what is random; nothing moves."""

    @abstractmethod
    def parameters_of(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the names of their learning rates."""

    @abstractmethod
    def carry(self, time: float) -> None:
        """Let moments up to `time` that were not optimised before start from the latest one that was."""
