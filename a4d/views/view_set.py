"""The second of the four nouns: a view set says from where a scene is looked at, and what was seen from there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import torch
from pydantic import Field
from typing_extensions import Self

from a4d.config import Config, Number, value_at
from a4d.errors import ConfigError
from a4d.randomness import generator
from a4d.render.render import Shading
from a4d.views.batch import ViewBatch
from a4d.views.frames import Frames

Background = Literal["black", "white", "grey", "random"]
Interval = tuple[float, float]

LAST_STEP = 2**62
"""A step after all schedules."""

SetType = TypeVar("SetType", bound="Views")


class Views(Config, ABC):
    """Base of all view sets: a batch of cameras, times and backgrounds per step."""

    kind: str
    batch: int = Field(default=1, ge=1, le=4096)
    background: Background = "black"
    shading: Shading | dict[Shading, Number] | None = Field(
        default=None, description="how the scene is shown: one way, or the chances of several; null is the scene's own"
    )
    reaches: list[str] | None = Field(
        default=None, description="groups of the scene that gradients of its renders reach; null is all with a rate"
    )
    jitter: float = Field(
        default=0.0, ge=0, le=1, description="deviation of what is added to origins and directions of an image's rays"
    )

    @property
    def reads_frames(self) -> bool:
        """Whether what is sampled depends on the workspace's images."""
        return False

    @property
    def is_observed(self) -> bool:
        """Whether its batches hold pictures that were taken from where the scene is seen."""
        return False

    @property
    def channels_read(self) -> Sequence[str]:
        """Channels of the frames that its batches hold."""
        return ()

    @abstractmethod
    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """The views of one step, a function of the step and the seed alone."""

    def placed(self, batch: ViewBatch, scene: object) -> ViewBatch:
        """A batch whose cameras stand where this set wants them about a scene; by default where they are."""
        return batch

    def require_scene(self, scene: object, where: str) -> None:
        """Check that a scene is of a kind that this set can look at; by default any is.

        Raises:
            ConfigError: it is not; `where` is the place in the settings that says so.
        """

    @abstractmethod
    def preview(self, frames: Frames | None) -> ViewBatch:
        """The one view that shows progress best."""

    @abstractmethod
    def finest_pixel(self, frames: Frames | None, step: int) -> float:
        """Metres that the smallest pixel is wide at the subject; see `a4d.render.footprint.pixel_sizes`.

        Infinite where it goes by the subject's own size.

        Args:
            frames: that observed views choose from.
            step: from which on pixels are of this size, until `refines` tells of finer ones.
        """

    def refines(self, step: int) -> bool:
        """Whether pixels are finer from this step on; by default they never are."""
        return False

    def pixels_per_step(self, frames: Frames | None) -> int:
        """How many pixels one step shows at the least; 0 where that is not known before it is sampled.

        Args:
            frames: that observed views choose from; without them nothing is known of those.
        """
        return 0

    def every_frame(self, frames: Frames | None) -> Iterator[ViewBatch]:
        """Each observed frame once, alone, in the workspace's order; none where nothing is observed."""
        return iter(())

    def observing(self, channels: Sequence[str]) -> Self:
        """The same view set with further channels of the frames in its batches.

        Raises:
            ConfigError: it observes nothing.
        """
        if channels:
            raise ConfigError(f"views of kind '{self.kind}' observe no {', '.join(channels)}", "Ask of observed views")
        return self

    def require_channels(self, frames: Frames | None) -> None:
        """Check that the frames have what this set is to carry.

        Raises:
            MissingInputError: a channel is missing.
        """

    @property
    def shadings(self) -> tuple[Shading, ...]:
        """All shadings that may be drawn."""
        if self.shading is None:
            return ()
        return tuple(self.shading) if isinstance(self.shading, dict) else (self.shading,)

    @property
    def only_shading(self) -> Shading | None:
        """The shading of all steps, or None where it is the scene's own or a matter of chance."""
        return None if isinstance(self.shading, dict) else self.shading

    def drawn_shading(self, step: int, seed: int) -> Shading | None:
        """How the scene is shown in one step; chances are relative to their sum.

        Raises:
            ConfigError: no shading has a chance at this step.
        """
        if not isinstance(self.shading, dict):
            return self.shading
        names = list(self.shading)
        chances = torch.tensor([max(value_at(chance, step), 0.0) for chance in self.shading.values()])
        if not float(chances.sum()) > 0:
            raise ConfigError(f"no shading has a chance at step {step}", "Give at least one of them a positive one")
        return names[int(torch.multinomial(chances, 1, generator=generator(seed, "shading", step)))]

    def backgrounds(self, step: int, seed: int) -> torch.Tensor:
        """(B, 3) sRGB backgrounds of one step."""
        if self.background == "random":
            return torch.rand(self.batch, 3, generator=generator(seed, "background", step))
        level = {"black": 0.0, "white": 1.0, "grey": 0.5}[self.background]
        return torch.full((self.batch, 3), level)

    def jittered(self, batch: ViewBatch, seed: int, *key: str | int) -> ViewBatch:
        """The same batch with rays that deviate a little, all those of an image alike (Animate124's known view)."""
        if not self.jitter:
            return batch
        draws = generator(seed, "jitter", *key)
        shift, tilt = self.jitter * torch.randn(2, len(batch.cameras), 3, generator=draws)
        return replace(batch, cameras=batch.cameras.deflected(shift, tilt))
