"""The objective that teaches a prior's adapter what this scene's renders look like."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import mse_loss

from a4d.objectives.asking import PriorObjective
from a4d.objectives.objective import Step
from a4d.priors.prediction import Wants


class Denoising(PriorObjective):
    """The loss that diffusion models are trained with, on the renders of a step, for what of the prior learns.

    Mean square between the noise in the renders and the noise that the prior predicts (Ho et al. 2020, equation 14).
    The renders are taken as they are: the scene learns nothing by it.
    """

    kind: Literal["denoising"] = "denoising"

    def wants(self, step: int) -> Wants:
        """A graph into the prior."""
        return Wants(into_model=True)

    def __call__(self, step: Step) -> Tensor:
        """Mean over images that carry noise, channels and pixels.

        Raises:
            ConfigError: the views do not make whole samples of the prior, or a reference is missing.
        """
        prediction = self.ask(step).prediction
        mask = prediction.is_noisy
        return mse_loss(prediction.conditional[mask], prediction.noise[mask])
