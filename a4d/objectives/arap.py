"""As-rigid-as-possible: neighbourhoods of a moving scene keep their shape."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.arap import ABSENT, Neighbourhoods, arap_residuals
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.scene import Deforming


class Arap(Objective):
    """The as-rigid-as-possible energy of a scene at the moments that a view set sees.

    With the reduction `mean` the value is the mean over edges of the squared deviation, in units of the mean squared
    length of the rest edges: 0.01 is a strain of a tenth everywhere, whatever the object's size, the number of points
    and the number of frames. With `sum` it is Animate3D's: the sum over frames, nodes and edges in square metres.
    """

    kind: Literal["arap"] = "arap"
    views: str
    points: Literal["gaussians", "vertices"] = Field(default="gaussians", description="what moves: the mesh's vertices?")
    neighbours: int = Field(default=3, ge=2, le=64, description="nearest Gaussians, or neighbours along mesh edges")
    nodes: int = Field(default=512, ge=1, description="drawn each step, with replacement")
    reduction: Literal["mean", "sum"] = "mean"

    def __call__(self, step: Step) -> Tensor:
        """The energy of the step's moments.

        Raises:
            ConfigError: the scene does not deform, or has no such points.
        """
        scene, times = step.scene, step.batch(self.views).times
        if not isinstance(scene, Deforming) or times is None:
            raise ConfigError(f"the objective arap needs a scene that deforms over time, not '{step.scene.kind}'")
        around = scene.neighbourhoods(self.points, self.neighbours)
        draws = generator(step.seed, "arap", self.points, step.index)
        around = around[torch.randint(len(around.nodes), (self.nodes,), generator=draws).to(around.nodes.device)]
        used, place = torch.cat([around.nodes[:, None], around.neighbours], dim=1).clamp_min(0).unique(return_inverse=True)
        absent = around.neighbours == ABSENT
        around = Neighbourhoods(place[:, 0], place[:, 1:].masked_fill(absent, ABSENT))
        rest, moved = scene.rest_points(self.points)[used], scene.moved_points(self.points, times.unique().tolist(), used)
        squares = arap_residuals(rest, moved, around)
        if self.reduction == "sum":
            return squares.sum()
        lengths = around.edges(rest).square().sum(-1)
        edges = (~absent).sum()
        return squares.sum() / (len(moved) * edges) / (lengths.sum() / edges).clamp_min(1e-20)
