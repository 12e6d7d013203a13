"""Objectives that keep bones where they belong, each holding what is its own, and neighbours together."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.geometry.deformation.skinning import apply_per_vertex
from a4d.geometry.rows import rows
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import LearntBones


class BoneObjective(Objective):
    """Base of the objectives that read bones and some points of the shape, at the moments that a view set sees."""

    applies_to = LearntBones
    views: str
    points: int = Field(default=512, ge=1, le=1_000_000, description="of the shape, drawn anew each step")

    def scene(self, step: Step) -> LearntBones:
        """The scene.

        Raises:
            ConfigError: no bones move it.
        """
        self.require(step.scene)
        assert isinstance(step.scene, LearntBones)
        return step.scene

    def drawn_points(self, step: Step) -> Tensor:
        """(P, 3) of the shape at rest."""
        whole = self.scene(step).shape_points()
        draws = generator(step.seed, self.kind, step.index)
        return rows(whole, torch.randint(len(whole), (self.points,), generator=draws).to(whole.device))


class JointGap(BoneObjective):
    """How far bones would take a point apart that hold it together: a joint of two bones stays in one place.

    Weighted by how much each of them holds the point.
    """

    kind: Literal["joint-gap"] = "joint-gap"

    def __call__(self, step: Step) -> Tensor:
        """Mean over moments and points of the variance of the places that bones would take them to, square metres."""
        scene, points = self.scene(step), self.drawn_points(step)
        weights, moved = scene.skinning_weights(points), scene.bone_transforms(self.distinct_times(step, self.views))
        # (T, B, 1, 4, 4) on (P, 3).
        places = apply_per_vertex(moved[:, :, None], points)
        mean = torch.einsum("pb,tbpc->tpc", weights, places)
        return torch.einsum("pb,tbp->tp", weights, (places - mean[:, None]).square().sum(-1)).mean()


class Wandering(BoneObjective):
    """How far the middle of the shape goes from where it is on average.

    A subject that goes around with the camera, and is the larger for being farther, looks like one that stays: of what
    moves, one camera does not tell the scale (Ozden et al. 2004). The shortest way that explains the frames is taken.
    """

    kind: Literal["wandering"] = "wandering"
    moments: int = Field(default=16, ge=2, le=4096, description="of the clip, one drawn from each of as many parts")

    def __call__(self, step: Step) -> Tensor:
        """Mean over moments of the squared distance, square metres."""
        draws = torch.rand(self.moments, generator=generator(step.seed, self.kind, "moments", step.index))
        times = ((torch.arange(self.moments) + draws) / self.moments).tolist()
        middles = self.scene(step).warped(self.drawn_points(step), times).mean(dim=1)
        return (middles - middles.mean(dim=0)).square().sum(-1).mean()


class SkinningEntropy(BoneObjective):
    """How little of a point its strongest bone holds: parts of a body move as one (BANMo; Lab4D's `skin_entropy`)."""

    kind: Literal["skinning-entropy"] = "skinning-entropy"

    def __call__(self, step: Step) -> Tensor:
        """Mean over points of the negative logarithm of the largest weight."""
        weights = self.scene(step).skinning_weights(self.drawn_points(step))
        return -weights.amax(dim=1).clamp_min(1e-12).log().mean()


class WeightCorrection(BoneObjective):
    """How much the network of the weights adds: what bones' radii can say, they should (Lab4D's `delta_skin`)."""

    kind: Literal["weight-correction"] = "weight-correction"

    def __call__(self, step: Step) -> Tensor:
        """Mean square over points and bones, in squared radii."""
        return self.scene(step).weight_corrections(self.drawn_points(step)).square().mean()


class BoneCentring(BoneObjective):
    """How far bones at rest are from the middle of what they hold, so that they stay inside of the shape."""

    kind: Literal["bone-centring"] = "bone-centring"

    def __call__(self, step: Step) -> Tensor:
        """Mean over bones of the squared distance, square metres; a bone that holds nothing counts little."""
        scene, points = self.scene(step), self.drawn_points(step)
        weights = scene.skinning_weights(points)
        held = weights.sum(0)
        middle = (weights.T @ points) / held.clamp_min(1e-6)[:, None]
        squares = (scene.bones().world_from_bone[:, :3, 3] - middle).square().sum(-1)
        return (squares * (held / (held + 1))).mean()


class WarpCycle(BoneObjective):
    """How far points come off that are taken back to rest and forward again (BANMo, equation 13)."""

    kind: Literal["warp-cycle"] = "warp-cycle"

    def __call__(self, step: Step) -> Tensor:
        """Mean over moments and points of the squared distance, square metres."""
        scene, times = self.scene(step), self.distinct_times(step, self.views)
        posed = scene.warped(self.drawn_points(step), times)
        back = scene.unwarped(posed, times)
        again = torch.stack([scene.warped(back[index], [time])[0] for index, time in enumerate(times)])
        return (again - posed).square().sum(-1).mean()
