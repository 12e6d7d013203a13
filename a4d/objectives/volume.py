"""Objectives that make a field of density a thing with a surface: what is composited along rays besides colour."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from a4d.objectives.objective import Objective, Step
from a4d.render.render import Channel
from a4d.render.volume import binary_entropy


class Orientation(Objective):
    """How far what is seen faces away from the camera, by weight (Verbin et al. 2022, Ref-NeRF, equation 11).

    Weights carry no gradient, as in DreamFusion: it turns normals and does not thin out what faces away.
    """

    kind: Literal["orientation"] = "orientation"
    views: str

    @property
    def needs(self) -> frozenset[Channel]:
        """The channel of its name."""
        return frozenset({"orientation"})

    def __call__(self, step: Step) -> Tensor:
        """Mean over views and pixels; 0 for a surface that is seen from outside."""
        return step.render(self.views, self.needs).channels["orientation"].mean()


class Distortion(Objective):
    """How spread the weights of a ray are (Barron et al. 2022, Mip-NeRF 360, equation 15), in metres."""

    kind: Literal["distortion"] = "distortion"
    views: str

    @property
    def needs(self) -> frozenset[Channel]:
        """The channel of its name."""
        return frozenset({"distortion"})

    def __call__(self, step: Step) -> Tensor:
        """Mean over views and pixels; 0 where a ray stops at one point."""
        return step.render(self.views, self.needs).channels["distortion"].mean()


class OpacityEntropy(Objective):
    """Bits by which it is undecided what is opaque, which vanish where all is either solid or empty.

    Of a ray's coverage, for any scene; or the sum over the weights of its samples, for fields (Animate124).
    """

    kind: Literal["opacity-entropy"] = "opacity-entropy"
    views: str
    of: Literal["rays", "samples"] = Field(
        default="rays", description="coverage of pixels, or weights along their rays"
    )

    @property
    def needs(self) -> frozenset[Channel]:
        """Entropies along rays, where those are meant."""
        return frozenset({"entropy"}) if self.of == "samples" else frozenset()

    def __call__(self, step: Step) -> Tensor:
        """Mean over views and pixels."""
        render = step.render(self.views, self.needs)
        return (binary_entropy(render.alpha) if self.of == "rays" else render.channels["entropy"]).mean()
