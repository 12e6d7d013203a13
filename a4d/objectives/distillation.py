"""Score distillation: the gradient that moves rendered images toward what a diffusion prior expects of them.

One function for every modality: with a multi-view prior it is canonical score distillation (AnimatableDreamer), with a
multi-view video prior and the x0 form it is Animate3D's 4D-SDS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from a4d.priors.prediction import Prediction, Wants, predict
from a4d.priors.protocol import GuidanceForm, Prior, Query, guide, match_deviation
from a4d.priors.schedule import NoiseSchedule, Weighting


@dataclass(frozen=True)
class Request(Query):
    """What S samples of B images are said to show, and how much each sample counts.

    Args:
        factors: (S,) by which each sample's gradient is multiplied; None is 1.
    """

    factors: Tensor | None = None


@dataclass(frozen=True)
class Distillation:
    """How a prior's prediction becomes a gradient on latents z.

    Args:
        form: `noise` is w(t) (predicted - added noise) (DreamFusion, equation 3); `x0` is w(t) (z - predicted clean
            latents), the gradient of half their squared distance (MVDream, section 3.3). Without `x0_rescale` the two
            differ by the factor sigma / alpha alone.
        guidance_scale: strength of classifier-free guidance.
        guidance: which prediction guidance starts from.
        guidance_rescale: share in [0, 1] to which guided noise takes the conditional's standard deviation.
        x0_rescale: the same for the predicted clean latents, in the x0 form.
        weighting: w(t); None is `variance` in the noise form and `uniform` in the x0 form.
        normalise: divide by the number of noisy `images`, or by the number of `samples`, which makes a longer clip
            weigh more.
        clip: largest absolute value of a gradient's element; None leaves it alone.
    """

    form: Literal["noise", "x0"] = "noise"
    guidance_scale: float = 100.0
    guidance: GuidanceForm = "from-unconditional"
    guidance_rescale: float = 0.0
    x0_rescale: float = 0.0
    weighting: Weighting | None = None
    normalise: Literal["images", "samples"] = "images"
    clip: float | None = None

    @property
    def wants(self) -> Wants:
        """What it needs of a prediction: none without the prompt where guidance adds nothing."""
        neutral = 1.0 if self.guidance == "from-unconditional" else 0.0
        return Wants(unconditional=self.guidance_scale != neutral)


def sample_timesteps(
    schedule: NoiseSchedule,
    shares: tuple[float, float],
    samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(S,) uniform timesteps between two shares of the schedule, both ends included."""
    low, high = sorted(schedule.timestep(share) for share in shares)
    return torch.randint(low, high + 1, (samples,), generator=generator)


def score_distillation(
    prior: Prior,
    rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1], ordered samples, views, frames
    t: Tensor,  # (S,) integer timesteps
    request: Request,
    distillation: Distillation,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A scalar whose gradient is the distillation gradient, and whose value is that gradient's norm on the latents.

    There is no loss with this gradient, so its size is what can be watched. The prior's own weights get no gradient.
    Values of several priors may be weighted and added, and the sum sent back once: each carries its own gradient.

    Args:
        prior: what is asked.
        rgb: renders, with their graph.
        t: noise level of each sample.
        request: conditionings and views.
        distillation: the form of the gradient.
        generator: draws the noise and the encoder's sample, on the CPU so that every device draws the same; without
            one the encoder returns its mean.
    """
    return latent_distillation(prior, prior.encode(rgb, generator), t, request, distillation, generator)


def latent_distillation(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w), ordered samples, views, frames
    t: Tensor,  # (S,) integer timesteps
    request: Request,
    distillation: Distillation,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`score_distillation` of latents that no encoder has made, with their graph."""
    return specified_gradient(latents, latent_gradient(prior, latents.detach(), t, request, distillation, generator))


def latent_gradient(
    prior: Prior,
    latents: Tensor,  # (B, C, h, w) clean
    t: Tensor,  # (S,)
    request: Request,
    distillation: Distillation,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The distillation gradient (B, C, h, w) on latents, zero in frames that the prior conditions on."""
    prediction = predict(prior, latents, t, request, distillation.wants, generator)
    return distillation_gradient(prediction, prior.schedule, distillation, request.factors)


@torch.no_grad()
def distillation_gradient(
    prediction: Prediction,
    schedule: NoiseSchedule,
    distillation: Distillation,
    factors: Tensor | None = None,  # (S,)
) -> Tensor:
    """The gradient (B, C, h, w) on the clean latents of a prediction, zero in frames that the prior conditions on."""
    latents, mask, samples = prediction.latents.detach(), prediction.is_noisy, len(prediction.t)
    noisy_count = int(mask.sum()) // samples
    conditional = prediction.conditional.detach()
    guided = conditional
    if prediction.unconditional is not None and distillation.wants.unconditional:
        guided = guide(conditional, prediction.unconditional, distillation.guidance_scale, distillation.guidance)
    guided, conditional, noisy = guided[mask], conditional[mask], prediction.noisy.detach()[mask]
    if distillation.guidance_rescale:
        guided = match_deviation(guided, conditional, distillation.guidance_rescale, noisy_count)
    t = prediction.t_of_image[mask]
    if distillation.form == "noise":
        difference = guided - prediction.noise[mask]
    else:
        clean = schedule.clean_from_noise(noisy, guided, t)
        if distillation.x0_rescale:
            reference = schedule.clean_from_noise(noisy, conditional, t)
            clean = match_deviation(clean, reference, distillation.x0_rescale, noisy_count)
        difference = latents[mask] - clean
    weighting = distillation.weighting or ("variance" if distillation.form == "noise" else "uniform")
    divisor = samples * noisy_count if distillation.normalise == "images" else samples
    gradient = torch.zeros_like(latents)
    gradient[mask] = schedule.weight(weighting, t, difference) * difference / divisor
    if factors is not None:
        gradient *= factors.to(gradient).repeat_interleave(len(latents) // samples).view(-1, 1, 1, 1)
    return gradient if distillation.clip is None else gradient.clamp(-distillation.clip, distillation.clip)


def specified_gradient(latents: Tensor, gradient: Tensor) -> Tensor:
    """The norm of a gradient on latents, which sends that gradient back."""
    value: Tensor = _SpecifiedGradient.apply(latents, gradient)
    return value


class _SpecifiedGradient(torch.autograd.Function):
    """The norm of a gradient, which sends that gradient back."""

    @staticmethod
    def forward(context: Any, latents: Tensor, gradient: Tensor) -> Tensor:
        context.save_for_backward(gradient)
        return gradient.float().norm() if gradient.dtype != torch.float64 else gradient.norm()

    @staticmethod
    def backward(context: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        (gradient,) = context.saved_tensors
        return gradient * outputs[0].to(gradient), None
