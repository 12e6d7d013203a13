"""The objective that moves renders toward what a diffusion prior expects of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from a4d.config import Number, value_at
from a4d.errors import ConfigError
from a4d.objectives.asking import Answer, PriorObjective
from a4d.objectives.distillation import Distillation, distillation_gradient, specified_gradient
from a4d.objectives.objective import Step
from a4d.priors.camera_codes import angle_between_views
from a4d.priors.prediction import Wants
from a4d.priors.protocol import GuidanceForm
from a4d.priors.schedule import Weighting


class ScoreDistillation(PriorObjective):
    """Moves renders toward what a prior expects under a prompt, a picture or a camera; its value is a gradient's norm.

    The prior itself learns nothing by it.
    """

    kind: Literal["score-distillation"] = "score-distillation"
    weigh_by_angle: bool = Field(default=False, description="weigh a view by its angle from the reference over 180")
    form: Literal["noise", "x0"] = "noise"
    guidance_scale: Number
    guidance: GuidanceForm = "from-unconditional"
    guidance_rescale: float = Field(default=0.0, ge=0, le=1)
    x0_rescale: float = Field(default=0.0, ge=0, le=1)
    weighting: Weighting | None = None
    normalise: Literal["images", "samples"] = "images"
    clip: float | None = Field(default=None, gt=0)

    def wants(self, step: int) -> Wants:
        """The prediction without the prompt too, where guidance makes use of it."""
        return self._distillation(step).wants

    def __call__(self, step: Step) -> Tensor:
        """The norm of the latents' gradient, which goes back through the encoder to the scene.

        Raises:
            ConfigError: the views do not make whole samples of the prior, or a reference is missing.
        """
        answer, schedule = self.ask(step), step.prior(self.prior).schedule
        factors = self._factors(answer) if self.weigh_by_angle else None
        gradient = distillation_gradient(answer.prediction, schedule, self._distillation(step.index), factors)
        return specified_gradient(answer.prediction.latents, gradient)

    def _factors(self, answer: Answer) -> Tensor:
        if answer.reference is None:
            raise ConfigError(f"{self.label}: weigh_by_angle needs a reference")
        return angle_between_views(answer.seen_from, answer.reference) / 180

    def _distillation(self, step: int) -> Distillation:
        return Distillation(
            self.form,
            value_at(self.guidance_scale, step),
            self.guidance,
            self.guidance_rescale,
            self.x0_rescale,
            self.weighting,
            self.normalise,
            self.clip,
        )
