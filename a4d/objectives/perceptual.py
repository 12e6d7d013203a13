"""An objective that compares renders and observations as a network sees them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from a4d.objectives.objective import Objective, Step


class Perceptual(Objective):
    """LPIPS between the render and the observation over the same background (Zhang et al. 2018)."""

    kind: Literal["perceptual"] = "perceptual"
    views: str
    network: Literal["lpips-alexnet", "lpips-vgg16"] = Field(
        default="lpips-alexnet", description="of the catalogue, whose weights are needed; --set without=[perceptual]"
    )

    @property
    def networks_asked(self) -> tuple[str, ...]:
        """The one that looks."""
        return (self.network,)

    def __call__(self, step: Step) -> Tensor:
        """Mean over views.

        Raises:
            InvalidInputError: the images are smaller than 32 pixels.
        """
        network = step.networks[self.network]
        # It was trained on colours in [-1, 1].
        distances: Tensor = network(2 * step.render(self.views).rgb - 1, 2 * step.batch(self.views).rgb - 1)
        return distances.mean()
