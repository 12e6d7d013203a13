"""Objectives that compare renders with observed images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from a4d.objectives.objective import Objective, Step
from a4d.render.ssim import ssim


class Photometric(Objective):
    """(1 - s) L1 + s (1 - SSIM) between the render and the observation over the same background.

    Kerbl et al. 2023, equation 7, with s = 0.2.
    """

    kind: Literal["photometric"] = "photometric"
    views: str
    ssim: float = Field(default=0.2, ge=0, le=1, description="share of the structural term")

    def __call__(self, step: Step) -> Tensor:
        """Mean over views, pixels and channels."""
        rendered, observed = step.render(self.views).rgb, step.batch(self.views).rgb
        absolute = (rendered - observed).abs().mean()
        if self.ssim == 0:
            return absolute
        return (1 - self.ssim) * absolute + self.ssim * (1 - ssim(rendered, observed))


class Mask(Objective):
    """Mean absolute difference between the rendered coverage and the observed alpha."""

    kind: Literal["mask"] = "mask"
    views: str

    def __call__(self, step: Step) -> Tensor:
        """Mean over views and pixels."""
        observed = step.batch(self.views).rgba
        assert observed is not None
        return (step.render(self.views).alpha - observed[..., 3:]).abs().mean()
