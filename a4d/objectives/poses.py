"""Objectives that keep the learnt poses of joints near those that they began with, and steady from moment to moment."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.objectives.objective import Objective, Step
from a4d.scenes.protocols import Posed


class PoseObjective(Objective):
    """Base of the objectives that read poses at the moments that a view set sees; no other moment is moved by them."""

    applies_to = Posed
    views: str

    def scene(self, step: Step) -> Posed:
        """The scene.

        Raises:
            ConfigError: it has no joints whose poses are learnt.
        """
        self.require(step.scene)
        assert isinstance(step.scene, Posed)
        return step.scene


class PoseChange(PoseObjective):
    """How far joints are turned, and roots shifted, from the poses that they began with."""

    kind: Literal["pose-change"] = "pose-change"
    shift: float = Field(default=1.0, ge=0, le=1e6, description="square radians that a square metre counts for")

    def __call__(self, step: Step) -> Tensor:
        """Mean over moments and joints of the squared angle (to second order), and over roots of the squared shift."""
        rotations, shifts = self.scene(step).pose_changes(self.distinct_times(step, self.views))
        identity = torch.eye(3, device=rotations.device)
        squared_angles = (rotations - identity).square().sum((-2, -1)) / 2
        return squared_angles.mean() + self.shift * shifts.square().sum(-1).mean()


class PoseSteadiness(PoseObjective):
    """How far joints are from where they would be on a straight way from the moment before to the one after.

    Moments count that the view set's split shows: those that are held out lie at what a tracker said of them.
    """

    kind: Literal["pose-steadiness"] = "pose-steadiness"

    def __call__(self, step: Step) -> Tensor:
        """Mean over the step's moments and joints of the squared distance, square metres; the first and last are free.

        Raises:
            ConfigError: the views are of no frames of a clip.
        """
        scene, times = self.scene(step), self.distinct_times(step, self.views)
        if step.frames is None:
            raise ConfigError(f"{self.label}: the views show no frames", "Choose views of a clip")
        shown = step.frames.moments[step.frames.moment_of[step.frames.select("train")].unique()]
        places = [int(torch.searchsorted(shown, time - 1e-6)) for time in times]
        inner = [(time, place) for time, place in zip(times, places, strict=True) if 0 < place < len(shown) - 1]
        here = scene.joints([time for time, _ in inner] or times)
        if not inner:
            return 0 * here.sum()
        ends = [[float(shown[place + side]) for _, place in inner] for side in (-1, 1)]
        with torch.no_grad():
            before, after = scene.joints(ends[0]), scene.joints(ends[1])
        shares = [(time - first) / (last - first) for (time, _), first, last in zip(inner, *ends, strict=True)]
        straight = torch.lerp(before, after, here.new_tensor(shares)[:, None, None])
        return (here - straight).square().sum(-1).mean()
