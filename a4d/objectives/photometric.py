"""Objectives that compare renders with observed images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from torch import Tensor

from a4d.config import Number, value_at, within
from a4d.errors import ConfigError
from a4d.objectives.objective import Objective, Step
from a4d.render.blur import blurred
from a4d.render.ssim import ssim

Norm = Literal["l1", "l2"]
Deviation = Annotated[Number, AfterValidator(within(0, 1024))]


def difference(rendered: Tensor, observed: Tensor, norm: Norm, deviation: float) -> Tensor:
    """Mean absolute (l1) or squared (l2) difference of images (B, H, W, C) after a Gaussian blur, in pixels."""
    residual = blurred(rendered - observed, deviation)
    return residual.abs().mean() if norm == "l1" else residual.square().mean()


class Photometric(Objective):
    """(1 - s) L1 + s (1 - SSIM) between the render and the observation over the same background.

    Kerbl et al. 2023, equation 7, with s = 0.2.
    """

    kind: Literal["photometric"] = "photometric"
    views: str
    ssim: float = Field(default=0.2, ge=0, le=1, description="share of the structural term")
    norm: Norm = Field(default="l1", description="mean absolute difference, or mean square")
    blur: Deviation = Field(
        default=0.0, description="pixels, deviation of the difference's Gaussian blur, but for SSIM"
    )

    def __call__(self, step: Step) -> Tensor:
        """Mean over views, pixels and channels.

        Raises:
            ConfigError: structure or blur is asked of pixels that are no neighbours.
        """
        if (self.ssim or self.blur) and step.batch(self.views).pixels is not None:
            raise ConfigError(f"views '{self.views}' show single pixels, without structure", "Set ssim and blur to 0")
        rendered, observed = step.render(self.views).rgb, step.batch(self.views).rgb
        plain = difference(rendered, observed, self.norm, value_at(self.blur, step.index))
        if self.ssim == 0:
            return plain
        return (1 - self.ssim) * plain + self.ssim * (1 - ssim(rendered, observed))


class Mask(Objective):
    """Mean absolute or squared difference between the rendered coverage and the observed alpha."""

    kind: Literal["mask"] = "mask"
    views: str
    norm: Norm = Field(default="l1", description="mean absolute difference, or mean square")
    blur: Deviation = Field(default=0.0, description="pixels, deviation of the difference's Gaussian blur")

    def __call__(self, step: Step) -> Tensor:
        """Mean over views and pixels."""
        observed = step.batch(self.views).rgba
        assert observed is not None
        return difference(
            step.render(self.views).alpha, observed[..., 3:], self.norm, value_at(self.blur, step.index)
        )  # fmt: skip
