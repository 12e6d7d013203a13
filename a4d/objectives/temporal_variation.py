"""An objective that keeps a moving field's features alike from one instant to the next."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import VaryingField


class TemporalVariation(Objective):
    """Mean squared change of a field's features between neighbouring instants (Animate124, section 3.2)."""

    applies_to = VaryingField
    kind: Literal["temporal-variation"] = "temporal-variation"
    points: int = Field(
        default=10_000, ge=1, le=1_000_000, description="random points of the field's cube, drawn anew each step"
    )

    def __call__(self, step: Step) -> Tensor:
        """Mean over points, pairs of instants and levels.

        Raises:
            ConfigError: the scene is no field.
        """
        self.require(step.scene)
        assert isinstance(step.scene, VaryingField)
        unit = torch.rand(self.points, 3, generator=generator(step.seed, self.label, step.index))
        return step.scene.temporal_variation(unit.to(step.device))
