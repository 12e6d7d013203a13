"""Learnt poses of a skeleton: a table with a row per frame, and a network of time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axes
from a4d.scenes.perceptron import NetworkConfig, Perceptron
from a4d.scenes.storage import write_scene
from a4d.trainable import Trainable

Shifted = Literal["roots", "all"]
"""Which joints leave their place: roots alone where bones keep their lengths; of loose bones every one is a root."""


class ArticulationConfig(Config):
    """What of a skeleton may move."""

    shifted: Shifted = Field(default="roots", description="joints that also shift; every joint turns")


class PoseNetworkConfig(NetworkConfig):
    """A network of time that poses all joints."""

    shifted: Shifted = Field(default="roots", description="joints that also shift; every joint turns")
    layers: int = Field(default=2, ge=0, le=8, description="hidden ones; without any, poses are a Fourier series")
    harmonics: int = Field(default=6, ge=1, le=64, description="waves of time that the network reads")
    falloff: float = Field(
        default=0.0, ge=0, le=4, description="power of its number by which each wave is divided: fast ones learn slower"
    )
    period: float | None = Field(
        default=None, gt=0, le=1, description="share of the clip after which the motion repeats; None: it does not"
    )


class Articulation(Trainable):
    """Poses of a skeleton that begin at rest and are learnt.

    A joint stands at `parent_from_joint @ residual`: its pose to begin with, then a turn and a shift in its own frame.
    Turns are the first two columns of a rotation, beside those of the identity (Zhou et al. 2019), which have no angle
    at which gradients vanish or jump.

    Args:
        skeleton: J joints.
        shifted: which of them also shift.
    """

    rest: Tensor
    shifted: Tensor

    def __init__(self, skeleton: Skeleton, shifted: Shifted) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.register_buffer("rest", skeleton.rest.float(), persistent=False)
        roots = (skeleton.parents < 0).nonzero()[:, 0]
        self.register_buffer("shifted", roots if shifted == "roots" else torch.arange(len(skeleton)), persistent=False)

    @abstractmethod
    def parent_from_joint(self, moments: Tensor) -> Tensor:
        """(T, J, 4, 4) poses, differentiable; T moments as the kind of articulation counts them."""

    def world_from_joint(self, moments: Tensor) -> Tensor:
        """(T, J, 4, 4) of the same poses."""
        return self.skeleton.world_from_joint(self.parent_from_joint(moments))

    def motion(self, moments: Tensor, seconds_per_frame: float) -> Motion:
        """The poses at T evenly spaced moments, detached and on the CPU."""
        return Motion(self.skeleton, self.parent_from_joint(moments).detach().cpu(), seconds_per_frame)

    def _posed(
        self,
        start: Tensor,  # (T, J, 4, 4) or (J, 4, 4) parent_from_joint
        turns: Tensor,  # (T, J, 6) beside the identity
        shifts: Tensor,  # (T, S, 3) of the shifted joints, in their frames, in the skeleton's unit
    ) -> Tensor:
        """(T, J, 4, 4)."""
        everywhere = shifts.new_zeros(*turns.shape[:2], 3).index_copy(1, self.shifted, shifts)
        return start @ rigid_from_parts(_rotations(turns), everywhere)


def _rotations(
    turns: Tensor,  # (..., 6) beside the identity
) -> Tensor:
    """(..., 3, 3)."""
    return rotation_from_axes(turns + turns.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))


class PoseTable(Articulation):
    """A pose for each frame of a clip, a row each: with the groups in `sparse`, frames that no step sees stay.

    Args:
        skeleton: J joints.
        frames: F, of the clip.
        config: what moves.
        start: (F, J, 4, 4) parent_from_joint to begin with, such as a tracker's; None is the rest pose.
        turned: (K,) int64 the joints that turn; None is all.
    """

    start: Tensor | None
    turned: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        frames: int,
        config: ArticulationConfig,
        start: Tensor | None = None,
        turned: Tensor | None = None,
    ) -> None:
        super().__init__(skeleton, config.shifted)
        self.config = config
        self.register_buffer("start", None if start is None else start.float())
        self.register_buffer("turned", torch.arange(len(skeleton)) if turned is None else turned, persistent=False)
        self.turns = nn.Parameter(torch.zeros(frames, len(self.turned), 6))
        self.shifts = nn.Parameter(torch.zeros(frames, len(self.shifted), 3))

    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Turns of the joints that turn and shifts of those that shift, a row per frame."""
        return {"turns": [self.turns], "shifts": [self.shifts]}

    def parent_from_joint(
        self,
        moments: Tensor,  # (T,) int64 frames
    ) -> Tensor:
        """(T, J, 4, 4) poses of some frames."""
        start = self.rest if self.start is None else self.start[moments]
        return self._posed(start, self._turns(moments), self.shifts[moments])

    def _turns(self, moments: Tensor) -> Tensor:
        """(T, J, 6) of all joints."""
        turns = self.turns[moments]
        return turns.new_zeros(len(turns), len(self.skeleton), 6).index_copy(1, self.turned, turns)

    def residuals(
        self,
        moments: Tensor,  # (T,) int64 frames
    ) -> tuple[Tensor, Tensor]:
        """(T, J, 3, 3) rotations and (T, S, 3) shifts of the shifted joints, learnt beside the poses to begin with."""
        return _rotations(self._turns(moments)), self.shifts[moments]

    def save(self, folder: Path) -> None:
        """Write settings and rows into an existing folder."""
        write_scene(folder, self.config, self.state_dict())


class PoseNetwork(Articulation):
    """Poses as a function of time, from waves of it; at first every moment is at rest.

    Args:
        skeleton: J joints.
        config: waves, layers, and what moves.
        generator: of the weights, on the CPU.
    """

    rates: Tensor
    heights: Tensor

    def __init__(self, skeleton: Skeleton, config: PoseNetworkConfig, generator: torch.Generator) -> None:
        super().__init__(skeleton, config.shifted)
        self.config = config
        self._sizes = [6 * len(skeleton), 3 * len(self.shifted)]
        # Without a period half a wave spans the clip, so that its end need not be its beginning.
        base = math.pi if config.period is None else 2 * math.pi / config.period
        waves = torch.arange(1, config.harmonics + 1)
        self.register_buffer("rates", base * waves, persistent=False)
        self.register_buffer("heights", waves**-config.falloff, persistent=False)
        self.network = Perceptron(2 * config.harmonics, config, sum(self._sizes))
        self.network.initialise(generator)
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]

    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """All weights."""
        return {"network": list(self.network.parameters())}

    def parent_from_joint(
        self,
        moments: Tensor,  # (T,) in [0, 1] of the clip
    ) -> Tensor:
        """(T, J, 4, 4) poses at some times."""
        phases = moments[:, None].to(self.rates) * self.rates
        waves = torch.cat([self.heights * phases.sin(), self.heights * phases.cos()], dim=1)
        turns, shifts = self.network(waves).split(self._sizes, dim=1)
        return self._posed(self.rest, turns.unflatten(1, (-1, 6)), shifts.unflatten(1, (-1, 3)))

    def save(self, folder: Path) -> None:
        """Write settings and weights into an existing folder."""
        write_scene(folder, self.config, self.state_dict())
