"""Objectives about the image of a scene's normals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from a4d.objectives.objective import Objective, Step
from a4d.render.blur import blurred
from a4d.render.render import Channel


class NormalVariation(Objective):
    """Total variation of the image of normals, squared (Animate124's smoothness in the image plane)."""

    kind: Literal["normal-variation"] = "normal-variation"
    views: str

    @property
    def needs(self) -> frozenset[Channel]:
        """Normals."""
        return frozenset({"normal"})

    def __call__(self, step: Step) -> Tensor:
        """Mean squared difference of (n + 1) / 2 between neighbours in a row, plus that between those in a column."""
        shown = step.render(self.views, self.needs).channels["normal"] / 2
        return shown.diff(dim=1).square().mean() + shown.diff(dim=2).square().mean()


class NormalDetail(Objective):
    """Mean squared difference between the image of normals and itself, blurred (Animate124's smoothness in 2D)."""

    kind: Literal["normal-detail"] = "normal-detail"
    views: str
    deviation: float = Field(
        default=1.7, ge=0.25, lt=2, description="pixels, of the Gaussian blur; 1.7 is that of the released 9 x 9 kernel"
    )

    @property
    def needs(self) -> frozenset[Channel]:
        """Normals."""
        return frozenset({"normal"})

    def __call__(self, step: Step) -> Tensor:
        """Mean over views, pixels and axes, of (n + 1) / 2; 0 where all that is seen faces one way."""
        shown = step.render(self.views, self.needs).channels["normal"] / 2
        return (shown - blurred(shown, self.deviation)).square().mean()
