"""Sampling from any prior: deterministic DDIM steps with joint guidance, images that are given, and FreeInit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import ConfigError
from a4d.priors.protocol import Prior, Query, denoise_guided
from a4d.priors.sampling_settings import Spacing
from a4d.priors.schedule import NoiseSchedule

SampleShape = tuple[int, int, int, int, int, int]
"""Samples, views, frames, channels, height and width of latents."""


@dataclass(frozen=True)
class Known:
    """Images of a batch that are given: they stay clean while the others are sampled around them.

    Args:
        latents: (B, C, h, w), read where the mask says so.
        mask: (B,) bool, true where an image is given.
    """

    latents: Tensor
    mask: Tensor

    def pasted(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) with the given images in their places."""
        return torch.where(self.mask.view(-1, 1, 1, 1), self.latents.to(latents), latents)


def known_first_frames(
    latents: Tensor,  # (S x V, C, h, w) of frame 0 of every view
    frames: int,
) -> Known:
    """Frame 0 of every view as what is known of clips."""
    mask = (torch.arange(frames, device=latents.device) == 0).repeat(len(latents))
    return Known(latents.repeat_interleave(frames, dim=0), mask)


@dataclass(frozen=True)
class FreeInit:
    """FreeInit (Wu et al. 2023): sample again from noise that keeps the low frequencies of the last result.

    Args:
        iterations: how often is sampled, the first time included.
        order: of the Butterworth filter.
        spatial: d_s, the frequency at which its response along height and width is 1/2, as a share of Nyquist's.
        temporal: d_t, the same along frames.
    """

    iterations: int = 3
    order: int = 4
    spatial: float = 0.25
    temporal: float = 0.25

    def low_pass(self, frames: int, height: int, width: int) -> Tensor:
        """(F, h, w) float64 response over frequencies as `fftshift` orders them.

        Along an odd number of samples the response is centred half a bin beside zero, as in the published code and
        in what was tuned with it.
        """
        t, y, x = (2 * torch.arange(count, dtype=torch.float64) / count - 1 for count in (frames, height, width))
        t = t * (self.spatial / self.temporal)
        square = t.view(-1, 1, 1) ** 2 + y.view(-1, 1) ** 2 + x**2
        return 1 / (1 + (square / self.spatial**2) ** self.order)

    def mix(
        self,
        low: Tensor,  # (..., F, h, w)
        high: Tensor,  # (..., F, h, w)
    ) -> Tensor:
        """The low frequencies of one and the high frequencies of the other, (..., F, h, w)."""
        axes = (-3, -2, -1)
        response = torch.fft.ifftshift(self.low_pass(*low.shape[-3:]).to(low))
        spectrum = torch.fft.fftn(low, dim=axes) * response + torch.fft.fftn(high, dim=axes) * (1 - response)
        return torch.fft.ifftn(spectrum, dim=axes).real


def sampling_timesteps(schedule: NoiseSchedule, steps: int, spacing: Spacing = "leading") -> list[int]:
    """Decreasing timesteps.

    Args:
        schedule: of T timesteps.
        steps: at most T.
        spacing: `leading` counts up from timestep 1 and may leave out the noisiest, as Stable Diffusion and what
            descends from it are sampled; `trailing` counts down from the noisiest that holds any signal, as schedules
            that end in pure noise need it (Lin et al. 2023, section 3.3).

    Raises:
        ConfigError: there are not that many.
    """
    total = len(schedule)
    if not 1 <= steps <= total:
        raise ConfigError(f"{steps} sampling steps are not between 1 and {total}")
    if spacing == "leading":
        return [min(step * (total // steps) + 1, total - 1) for step in reversed(range(steps))]
    last = int((schedule.alphas_cumprod > 0).nonzero().max())
    return [min(round(total - step * total / steps) - 1, last) for step in range(steps)]


def ddim_step(
    schedule: NoiseSchedule,
    latents: Tensor,  # (B, C, h, w) at timestep t
    noise: Tensor,  # (B, C, h, w) predicted
    t: int,
    following: int | None,
) -> Tensor:
    """Latents (B, C, h, w) at the following, lower timestep, or clean where there is none (Song et al. 2021, eta 0)."""
    clean = schedule.clean_from_noise(latents, noise, torch.tensor([t]))
    return clean if following is None else schedule.add_noise(clean, noise, torch.tensor([following]))


@torch.no_grad()
def sample(
    prior: Prior,
    query: Query,
    known: Known | None,
    shape: SampleShape,
    steps: int,
    guidance_scale: float,
    generator: torch.Generator,
    free_init: FreeInit | None = None,
    spacing: Spacing = "leading",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Draw samples from a prior.

    Args:
        prior: of any modality; how its model is told which images are given is its own affair.
        query: conditionings, and cameras and times of the B = S x V x F images.
        known: what is given; it is pasted again after every step.
        shape: of the latents.
        steps: of the sampler.
        guidance_scale: s in u + s (c - u), for prompt and image together.
        generator: on the CPU, so that every device draws the same.
        free_init: None samples once.
        spacing: of the timesteps.
        report: is told how many passes through the model are done, and of how many.

    Returns:
        (B, C, h, w) float32 latents, with what was known in its place.

    Raises:
        ConfigError: FreeInit is asked for where views differ in which frames are known.
    """
    samples, views, frames = shape[:3]
    device = next(iter(query.conditional.tensors.values())).device
    size = (samples * views * frames, *shape[3:])

    def draw() -> Tensor:
        return torch.randn(size, generator=generator).to(device)

    if known is None:
        known = Known(torch.zeros(1, 1, 1, 1, device=device), torch.zeros(1, dtype=torch.bool, device=device))
    timesteps = sampling_timesteps(prior.schedule, steps, spacing)
    rounds = free_init.iterations if free_init else 1
    noise = latents = draw()
    for turn in range(rounds):
        if free_init and turn:
            latents = _restarted(free_init, prior.schedule, latents, noise, draw(), known, shape)
        latents = known.pasted(latents)
        for index, (t, following) in enumerate(zip(timesteps, [*timesteps[1:], None], strict=True)):
            levels = torch.full((samples,), t, device=device)
            predicted, _ = denoise_guided(prior, latents, levels, query, guidance_scale)
            latents = known.pasted(ddim_step(prior.schedule, latents, predicted, t, following))
            report(turn * steps + index + 1, rounds * steps)
    return latents


def _restarted(
    free_init: FreeInit,
    schedule: NoiseSchedule,
    latents: Tensor,  # (B, C, h, w) sampled
    noise: Tensor,  # (B, C, h, w) of the first round
    fresh: Tensor,  # (B, C, h, w)
    known: Known,
    shape: SampleShape,
) -> Tensor:
    """Noise (B, C, h, w) for the next round; of frames that are known it is not used, nor are they filtered."""
    samples, views, frames = shape[:3]
    given = known.mask.expand(len(latents)).view(-1, frames)
    if not torch.equal(given, given[:1].expand_as(given)):
        raise ConfigError("FreeInit needs the same frames to be known in every view")
    free = ~given[0]

    def clips(batch: Tensor) -> Tensor:
        return batch.view(samples * views, frames, *shape[3:])[:, free].transpose(1, 2)

    diffused = schedule.add_noise(latents, noise, torch.tensor([len(schedule) - 1]))
    mixed = free_init.mix(clips(diffused), clips(fresh))
    restarted = fresh.clone().view(samples * views, frames, *shape[3:])
    restarted[:, free] = mixed.transpose(1, 2)
    return restarted.view_as(latents)
