"""Noise schedules of diffusion models, and the conversions between the three things that such a model may predict.

Convention: a noisy sample is `alpha * clean + sigma * noise` with `alpha = sqrt(alphas_cumprod[t])` and
`sigma = sqrt(1 - alphas_cumprod[t])`; timesteps are integers from 0 (almost clean) to T - 1 (almost noise).
Schedules are tables in float64; what is computed from them has the sample's dtype and device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from a4d.errors import InvalidInputError

BetaSchedule = Literal["linear", "scaled-linear", "cosine"]
Prediction = Literal["epsilon", "v", "x0"]
Weighting = Literal["uniform", "variance", "signal-variance", "inverse-variance", "noise-to-signal"]

_DIFFUSERS_BETAS: dict[str, BetaSchedule] = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "cosine",
}
_DIFFUSERS_PREDICTIONS: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}


@dataclass(frozen=True)
class NoiseSchedule:
    """How much signal is left at each timestep, and what the model predicts.

    Args:
        alphas_cumprod: (T,) float64, decreasing in [0, 1].
        prediction: the model's output.
    """

    alphas_cumprod: Tensor
    prediction: Prediction = "epsilon"

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def timestep(self, share: float) -> int:
        """The timestep at a share of the schedule in [0, 1]: the share of T rounded down, T - 1 at most."""
        # The tiny surplus keeps 0.29 * 1000 from becoming 289.
        return min(max(int(share * len(self) + 1e-6), 0), len(self) - 1)

    def alpha(self, t: Tensor, like: Tensor) -> Tensor:
        """Signal level at timesteps (B,), shaped (B, 1, ...) to multiply `like` (B, ...)."""
        return self._level(self.alphas_cumprod.sqrt(), t, like)

    def sigma(self, t: Tensor, like: Tensor) -> Tensor:
        """Noise level at timesteps (B,), shaped (B, 1, ...) to multiply `like` (B, ...)."""
        return self._level((1 - self.alphas_cumprod).sqrt(), t, like)

    def add_noise(
        self,
        clean: Tensor,  # (B, ...)
        noise: Tensor,  # (B, ...) standard normal
        t: Tensor,  # (B,) integer timesteps
    ) -> Tensor:
        """The noisy sample (B, ...)."""
        return self.alpha(t, clean) * clean + self.sigma(t, clean) * noise

    def clean_from_noise(
        self,
        noisy: Tensor,  # (B, ...)
        noise: Tensor,  # (B, ...) predicted
        t: Tensor,  # (B,)
    ) -> Tensor:
        """The clean sample (B, ...) that the predicted noise implies; infinite where no signal is left."""
        return (noisy - self.sigma(t, noisy) * noise) / self.alpha(t, noisy)

    def noise_from_clean(
        self,
        noisy: Tensor,  # (B, ...)
        clean: Tensor,  # (B, ...) predicted
        t: Tensor,  # (B,)
    ) -> Tensor:
        """The noise (B, ...) that the predicted clean sample implies."""
        return (noisy - self.alpha(t, noisy) * clean) / self.sigma(t, noisy)

    def velocity(
        self,
        clean: Tensor,  # (B, ...)
        noise: Tensor,  # (B, ...)
        t: Tensor,  # (B,)
    ) -> Tensor:
        """The v target `alpha * noise - sigma * clean` (B, ...) of Salimans and Ho 2022, section 4."""
        return self.alpha(t, clean) * noise - self.sigma(t, clean) * clean

    def noise_from_output(
        self,
        output: Tensor,  # (B, ...) of the model
        noisy: Tensor,  # (B, ...)
        t: Tensor,  # (B,)
    ) -> Tensor:
        """The predicted noise (B, ...), whichever of epsilon, v or x0 the model predicts."""
        if self.prediction == "v":
            return self.alpha(t, noisy) * output + self.sigma(t, noisy) * noisy
        if self.prediction == "x0":
            return self.noise_from_clean(noisy, output, t)
        return output

    def weight(self, weighting: Weighting, t: Tensor, like: Tensor) -> Tensor:
        """The factor w(t) of a distillation gradient, shaped (B, 1, ...) to multiply `like`.

        `variance` is 1 - a with a = alphas_cumprod (DreamFusion, section 3), `signal-variance` sqrt(a) (1 - a) and
        `inverse-variance` 1 / (1 - a) (Fantasia3D), `noise-to-signal` sqrt((1 - a) / a), with which the noise form
        equals the unweighted x0 form.
        """
        a = self.alphas_cumprod
        table = {
            "uniform": torch.ones_like(a),
            "variance": 1 - a,
            "signal-variance": a.sqrt() * (1 - a),
            "inverse-variance": 1 / (1 - a),
            "noise-to-signal": ((1 - a) / a).sqrt(),
        }[weighting]
        return self._level(table, t, like)

    @staticmethod
    def _level(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
        values = table.to(like.device)[t.to(like.device)].to(like.dtype)
        return values.view(-1, *[1] * (like.ndim - 1))


def noise_schedule(
    betas: BetaSchedule = "scaled-linear",
    start: float = 0.00085,
    end: float = 0.012,
    steps: int = 1000,
    prediction: Prediction = "epsilon",
    zero_terminal_snr: bool = False,
) -> NoiseSchedule:
    """A schedule from the law of its betas.

    Args:
        betas: `linear`; `scaled-linear`, linear in the square root (latent diffusion); or `cosine` (Nichol and Dhariwal
            2021, equation 17, betas capped at 0.999), for which `start` and `end` mean nothing.
        start: first beta.
        end: last beta.
        steps: number of training timesteps T.
        prediction: what the model predicts.
        zero_terminal_snr: shift and scale the signal level so that the last step is pure noise (Lin et al. 2023,
            algorithm 1).
    """
    if betas == "linear":
        table = torch.linspace(start, end, steps, dtype=torch.float64)
    elif betas == "scaled-linear":
        table = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    else:
        share = torch.arange(steps + 1, dtype=torch.float64) / steps
        level = torch.cos((share + 0.008) / 1.008 * torch.pi / 2) ** 2
        table = (1 - level[1:] / level[:-1]).clamp_max(0.999)
    alphas_cumprod = (1 - table).cumprod(0)
    if zero_terminal_snr:
        signal = alphas_cumprod.sqrt()
        alphas_cumprod = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    return NoiseSchedule(alphas_cumprod, prediction)


def schedule_from_diffusers(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule that a diffusers `scheduler_config.json` describes, whatever sampler it names.

    Raises:
        InvalidInputError: betas or a prediction type of another family of models.
    """
    betas = config.get("beta_schedule", "linear")
    prediction = config.get("prediction_type", "epsilon")
    if betas not in _DIFFUSERS_BETAS or prediction not in _DIFFUSERS_PREDICTIONS or config.get("trained_betas"):
        raise InvalidInputError(f"the noise schedule '{betas}' with prediction '{prediction}' is not supported")
    return noise_schedule(
        _DIFFUSERS_BETAS[betas],
        config.get("beta_start", 0.0001),
        config.get("beta_end", 0.02),
        config.get("num_train_timesteps", 1000),
        _DIFFUSERS_PREDICTIONS[prediction],
        bool(config.get("rescale_betas_zero_snr", False)),
    )
