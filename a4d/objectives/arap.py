"""As-rigid-as-possible: neighbourhoods of a moving scene keep their shape."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.arap import arap_residuals
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.scene import Deforming, Followed


class Arap(Objective):
    """The as-rigid-as-possible energy of a scene at the moments that a view set sees.

    With the reduction `mean` the value is the mean over edges of the squared deviation, in units of the mean squared
    length of the rest edges: 0.01 is a strain of a tenth everywhere, whatever the object's size, the number of points
    and the number of frames. With `sum` it is Animate3D's: the sum over frames, nodes and edges in square metres.
    """

    kind: Literal["arap"] = "arap"
    views: str
    points: Followed = Field(default="gaussians", description="what is followed: Gaussians, or the mesh's vertices")
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
            raise ConfigError(f"the objective arap needs a scene that deforms over time, not '{scene.kind}'")
        everywhere = scene.neighbourhoods(self.points, self.neighbours)
        draws = generator(step.seed, "arap", self.points, step.index)
        chosen = torch.randint(len(everywhere.nodes), (self.nodes,), generator=draws)
        used, around = everywhere[chosen.to(everywhere.nodes.device)].compact()
        rest = scene.rest_points(self.points)[used]
        squares = arap_residuals(rest, scene.moved_points(self.points, times.unique().tolist(), used), around)
        if self.reduction == "sum":
            return squares.sum()
        return squares.sum(dim=(1, 2)).mean() / around.edges(rest).square().sum().clamp_min(1e-20)
