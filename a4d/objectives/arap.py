"""As-rigid-as-possible: neighbourhoods of a moving scene keep their shape."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.config import Number, value_at
from a4d.errors import ConfigError
from a4d.geometry.arap import arap_residuals, relative_strains
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
    points: Followed = Field(default="gaussians", description="what is followed")
    neighbours: int = Field(default=3, ge=2, le=64, description="nearest Gaussians or nodes, or along mesh edges")
    nodes: int = Field(default=512, ge=1, description="Gaussians or vertices drawn each step; of nodes all take part")
    reduction: Literal["mean", "sum"] = "mean"
    tolerance: float | None = Field(
        default=None, gt=0, description="strain from which on the mean grows more slowly than its square: joints bend"
    )
    robustness: Number = Field(
        default=1.0,
        description="how slowly then (Barron 2019): 1 as strain itself, 0 as its logarithm, less toward a bound",
    )

    def __call__(self, step: Step) -> Tensor:
        """The energy of the step's moments.

        Raises:
            ConfigError: the scene does not deform, or has no such points.
        """
        scene, times = step.scene, step.batch(self.views).times
        if not isinstance(scene, Deforming) or times is None:
            raise ConfigError(f"the objective arap needs a scene that deforms over time, not '{scene.kind}'")
        moments: list[float] = times.unique().tolist()
        around = scene.neighbourhoods(self.points, self.neighbours)
        if self.points == "nodes":
            rest, places, rotations = scene.node_frames(moments)
            squares = arap_residuals(rest, places, around, rotations)
        else:
            draws = generator(step.seed, "arap", self.points, step.index)
            chosen = torch.randint(len(around.nodes), (self.nodes,), generator=draws)
            used, around = around[chosen.to(around.nodes.device)].compact()
            rest = scene.rest_points(self.points)[used]
            squares = arap_residuals(rest, scene.moved_points(self.points, moments, used), around)
        if self.reduction == "sum":
            return squares.sum()
        strains, edges = relative_strains(squares, rest, around)
        if self.tolerance is not None:
            strains = robust(strains, self.tolerance, value_at(self.robustness, step.index))
        return strains.sum(dim=(1, 2)).mean() / edges


def robust(
    squares: Tensor,
    tolerance: float,
    shape: float,
) -> Tensor:
    """Squares that count less where they are large, by Barron's function (2019, equation 8), at first as they are.

    Args:
        squares: (...) not negative.
        tolerance: the root from which on it differs.
        shape: below 2; 1 is Charbonnier's function, 0 Cauchy's, -2 Geman and McClure's.
    """
    scaled = squares / tolerance**2
    if abs(shape) < 1e-3:
        return 2 * tolerance**2 * torch.log1p(scaled / 2)
    far = 2 - shape
    return 2 * tolerance**2 * far / shape * ((scaled / far + 1) ** (shape / 2) - 1)
