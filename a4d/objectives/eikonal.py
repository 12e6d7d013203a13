"""The objective that keeps signed distances distances: their gradient has length one."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.surfaces.differences import gradients
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import SignedDistances


class Eikonal(Objective):
    """How far the slope of a scene's distances at rest is from one, at points drawn anew each step."""

    applies_to = SignedDistances
    kind: Literal["eikonal"] = "eikonal"
    points: int = Field(default=1024, ge=1, le=2**22, description="anywhere in the cube, and as many near the surface")
    nearness: float = Field(
        default=0.03, gt=0, le=1, description="how far from the surface the latter may be, over the cube's side"
    )
    reach: float = Field(
        default=0.005, gt=0, le=1, description="half of the side of the cubes that slopes are taken in, over its side"
    )

    def __call__(self, step: Step) -> Tensor:
        """The mean square of |gradient| - 1, by differences: grids of features can be differentiated but once.

        Raises:
            ConfigError: the scene has no distances.
        """
        self.require(step.scene)
        assert isinstance(step.scene, SignedDistances)
        low, high = step.scene.rest_box()
        draws = torch.rand(2 * self.points, 4, generator=generator(step.seed, self.kind, step.index)).to(low)
        anywhere, side = low + (high - low) * draws[:, :3], float((high - low).amax())
        aside = self.nearness * side * (2 * draws[self.points :, 3] - 1)
        points = self._spread(step.scene, anywhere, aside, self.reach * side)
        found = gradients(step.scene.signed_distances, points, self.reach * side)
        return (found.norm(dim=-1) - 1).square().mean()

    @torch.no_grad()
    def _spread(self, scene: SignedDistances, anywhere: Tensor, aside: Tensor, reach: float) -> Tensor:
        """Half of the points as they are, the others as far `aside` of the surface as that is told, metres."""
        even, far = anywhere.split(self.points)
        away = scene.signed_distances(far) - aside
        slopes = normalize(gradients(scene.signed_distances, far, reach), dim=-1)
        return torch.cat([even, far - away[:, None] * slopes])
