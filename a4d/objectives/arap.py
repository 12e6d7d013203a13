"""As-rigid-as-possible: neighbourhoods of a moving scene keep their shape."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.deformation.arap import arap_residuals, relative_strains
from a4d.geometry.rows import rows
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import Deforming, Followed


class Arap(Objective):
    """The as-rigid-as-possible energy of a scene at the moments that a view set sees.

    With the reduction `mean` the value is the mean over edges of the squared deviation, in units of the mean squared
    length of the rest edges: 0.01 is a strain of a tenth everywhere, whatever the object's size, the number of points
    and the number of frames. With `sum` it is Animate3D's: the sum over frames, nodes and edges in square metres.
    """

    applies_to = Deforming
    kind: Literal["arap"] = "arap"
    views: str
    points: Followed = Field(default="gaussians", description="what is followed")
    neighbours: int = Field(default=3, ge=2, le=64, description="nearest Gaussians or nodes, or along mesh edges")
    nodes: int = Field(
        default=512, ge=1, le=1_000_000, description="Gaussians or vertices drawn each step; of nodes all take part"
    )
    reduction: Literal["mean", "sum"] = "mean"
    tolerance: float | None = Field(
        default=None, gt=0, description="strain from which on the mean grows by strain, not its square: joints bend"
    )

    def __call__(self, step: Step) -> Tensor:
        """The energy of the step's moments.

        Raises:
            ConfigError: the scene does not deform, or has no such points.
        """
        self.require(step.scene)
        scene, batch = step.scene, step.batch(self.views)
        assert isinstance(scene, Deforming)
        if batch.times is None:
            raise ConfigError(f"{self.label}: the views have no times", "Choose views of a clip")
        moments: list[float] = batch.distinct_times.tolist()
        around = scene.neighbourhoods(self.points, self.neighbours)
        if self.points == "nodes":
            rest, places, rotations = scene.node_frames(moments)
            squares = arap_residuals(rest, places, around, rotations)
        else:
            draws = generator(step.seed, "arap", self.points, step.index)
            chosen = torch.randint(len(around.nodes), (self.nodes,), generator=draws)
            used, around = around[chosen.to(around.nodes.device)].compact()
            rest = rows(scene.rest_points(self.points), used)
            squares = arap_residuals(rest, scene.moved_points(self.points, moments, used), around)
        if self.reduction == "sum":
            return squares.sum()
        strains, edges = relative_strains(squares, rest, around)
        if self.tolerance is not None:
            # Charbonnier's function, which begins as the square.
            strains = 2 * self.tolerance**2 * ((1 + strains / self.tolerance**2).sqrt() - 1)
        return strains.sum(dim=(1, 2)).mean() / edges
