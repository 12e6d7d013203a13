"""The view set of a clip's moments, more and more of them, each seen by all cameras."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator

from a4d.config import Number, value_at
from a4d.randomness import generator
from a4d.views.batch import ViewBatch
from a4d.views.frames import Frames
from a4d.views.observed import ObservedViews


class MomentViews(ObservedViews):
    """Frames of a clip that was seen by several cameras: all that were taken at a few moments, more and more of them.

    The first moment is the scene at rest and never chosen. The schedules are those of Animate3D: `chosen: null` takes
    all moments that are unlocked, `chosen: 2` the newest of them and one more.
    """

    kind: Literal["moments"] = "moments"  # type: ignore[assignment]
    unlocked: Number = Field(default=1e9, description="moments after the first that take part; rounded down")
    chosen: int | None = Field(default=None, ge=1, description="moments per step; null is all that are unlocked")
    newest: bool = Field(default=True, description="the newest unlocked moment is chosen until all are unlocked")
    turn: int | None = Field(
        default=None, ge=1, description="steps in which each moment is the newest, the last one too; not as `unlocked`"
    )

    @model_validator(mode="after")
    def _check_moments(self) -> MomentViews:
        if self.pairs is not None:
            raise ValueError("moments are seen by all cameras; pairs belong to views of kind 'observed'")
        return self

    def pixels_per_step(self, frames: Frames | None) -> int:
        """Not known: the moments of a step are as many as are unlocked by then."""
        return 0

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """All frames of the moments chosen by this step.

        Raises:
            MissingInputError: the split has no frames, they have no times, or a channel is missing.
        """
        frames, indices = self._frames(frames)
        moments = frames.moment_of[indices].unique()[1:]
        unlocked = value_at(self.unlocked, step) if self.turn is None else 1 + step // self.turn
        count = max(1, min(int(unlocked), len(moments)))
        has_turn = unlocked <= len(moments) if self.turn is not None else count < len(moments)
        draws = generator(seed, "moments", self.split, step)
        if self.chosen is None or self.chosen >= count:
            chosen = torch.arange(count)
        elif self.newest and has_turn:
            earlier = torch.randperm(count - 1, generator=draws)[: self.chosen - 1]
            chosen = torch.cat([earlier, torch.tensor([count - 1])])
        else:
            chosen = torch.randperm(count, generator=draws)[: self.chosen]
        is_chosen = torch.isin(frames.moment_of, moments[chosen])
        taken = [index for index in indices if is_chosen[index]]
        if self.background == "random":
            background = torch.rand(len(taken), 3, generator=generator(seed, "background", step))
        else:
            background = self.backgrounds(step, seed)[:1].expand(len(taken), 3)
        whole = self._batch(frames, taken, background, step)
        return self._part(self.jittered(whole, generator(seed, "jitter", self.split, step)), step, seed)
