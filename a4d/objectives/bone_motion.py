"""Objectives that hold loose bones to the ways of a skeleton: those that they had before something else began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from torch.nn.functional import relu

from a4d.geometry.deformation.bone_pairs import BonePairs, RelativeMotion, neighbouring_bones, relative_motion
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import Articulated

Made = TypeVar("Made")


class BoneMotion(Objective):
    """Base of the objectives that hold the bones of a scene against those of one that stays as it is, such as `start`.

    Pairs of neighbours are those of the scene that stays, each with the strength by which both hold what lies between.
    """

    applies_to = Articulated
    frozen: str = Field(description="scene of the workspace whose motion is the measure, or `start`")
    neighbours: int = Field(default=4, ge=1, le=64, description="nearest bones of each that it is paired with")
    moments: int = Field(default=8, ge=1, le=4096, description="of the clip, drawn anew each step")
    _found: dict[str, tuple[Articulated, Any]] = PrivateAttr(default_factory=dict)

    @property
    def scenes_shown(self) -> tuple[str, ...]:
        """The one that stays."""
        return (self.frozen,)

    def times(self, step: Step) -> list[float]:
        """Those of this step, in [0, 1], alike for all objectives that draw as many."""
        draws = generator(step.seed, "bone-motion", step.index)
        times: list[float] = torch.rand(self.moments, generator=draws).tolist()
        return times

    def measure(self, step: Step) -> Articulated:
        """The scene that stays.

        Raises:
            ConfigError: it has no bones.
        """
        scene = step.frozen_scene(self.frozen)
        self.require(scene)
        assert isinstance(scene, Articulated)
        return scene

    def once(self, step: Step, name: str, find: Callable[[Articulated], Made]) -> Made:
        """What is found of the scene that stays, which is looked at once a run."""
        scene = self.measure(step)
        if name not in self._found or self._found[name][0] is not scene:
            self._found[name] = scene, find(scene)
        found: Made = self._found[name][1]
        return found

    def pairs(self, step: Step) -> BonePairs:
        """Neighbours of the scene that stays."""

        def find(scene: Articulated) -> BonePairs:
            centres = scene.bones().world_from_bone[:, :3, 3]
            return neighbouring_bones(centres, scene.skinning_weights, self.neighbours)

        return self.once(step, "pairs", find)

    def motion(self, step: Step, times: list[float]) -> RelativeMotion:
        """How the scene's own bones move against each other."""
        self.require(step.scene)
        assert isinstance(step.scene, Articulated)
        return _motion(step.scene, self.pairs(step), times)

    @torch.no_grad()
    def measured(self, step: Step, times: list[float]) -> RelativeMotion:
        """How those of the scene that stays do."""
        return _motion(self.measure(step), self.pairs(step), times)


class BoneDisplacement(BoneMotion):
    """How far bones have left their places beside their neighbours at the same moments (the paper's L_bone).

    What of a bone's length counts for nothing is free.
    """

    kind: Literal["bone-displacement"] = "bone-displacement"
    tolerance: float = Field(default=0.01, ge=0, le=100, description="over the distance of the two bones at rest")

    def __call__(self, step: Step) -> Tensor:
        """The mean over moments and pairs of what is beyond the tolerance, a hinge.

        Raises:
            ConfigError: either scene has no bones, or there is none to compare with.
        """
        times, pairs = self.times(step), self.pairs(step)
        left = (self.motion(step, times).shifts - self.measured(step, times).shifts).norm(dim=-1) / pairs.lengths
        return pairs.mean(relu(left - self.tolerance))


class SkeletonRange(BoneMotion):
    """How far neighbours turn and part beyond what they ever did over the clip of the scene that stays (its L_skel)."""

    kind: Literal["skeleton-range"] = "skeleton-range"
    margin: float = Field(default=0.1, ge=0, le=100, description="share of a range by which it is widened at both ends")
    over: int = Field(default=64, ge=2, le=4096, description="evenly spaced moments that the ranges are found from")
    gap: float = Field(
        default=1.0, ge=0, le=1e6, description="radians that a joint counts for which has parted by a bone's length"
    )

    def __call__(self, step: Step) -> Tensor:
        """The mean over moments and pairs of squared radians, and of squared lengths, beyond the ranges.

        Raises:
            ConfigError: either scene has no bones, or there is none to compare with.
        """
        found, known = self.motion(step, self.times(step)), self._ranges(step)
        pairs = self.pairs(step)
        turned = self._beyond(found.angles, known.angles)
        parted = self._beyond(found.gaps, known.gaps) / pairs.lengths
        return pairs.mean(turned.square() + (self.gap * parted).square())

    def _ranges(self, step: Step) -> RelativeMotion:
        moments = torch.linspace(0, 1, self.over).tolist()
        return self.once(step, "ranges", lambda _: self.measured(step, moments))

    def _beyond(self, values: Tensor, known: Tensor) -> Tensor:
        """(T, P) how far values (T, P) are outside of the ranges of those that are known (M, P)."""
        low, high = known.amin(0), known.amax(0)
        room = self.margin * (high - low)
        return relu(values - high - room) + relu(low - room - values)


def _motion(scene: Articulated, pairs: BonePairs, times: list[float]) -> RelativeMotion:
    centres = scene.bones().world_from_bone[:, :3, 3]
    return relative_motion(pairs, centres, scene.bone_transforms(times))
