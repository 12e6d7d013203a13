"""The compact network's noise levels and its loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from a4d.priors.compact.examples import Batch
from a4d.priors.compact.network import Task
from a4d.priors.schedule import NoiseSchedule, noise_schedule

PURE_NOISE_SHARE = 0.25
SHIFT = {True: 4.0, False: 2.0}
"""Factor of the noise-to-signal ratio against the plain schedule, for moving and for still objects."""

Network = Callable[[Tensor, Tensor, Task], Tensor]


def compact_schedule() -> NoiseSchedule:
    """The cosine schedule, whose last step leaves 5e-5 of the signal, with v predicted."""
    return noise_schedule("cosine", prediction="v")


def draw_timesteps(
    schedule: NoiseSchedule,
    samples: int,
    is_moving: bool,
    generator: torch.Generator,
) -> Tensor:
    """(S,) timesteps: a quarter at pure noise, the others shifted toward noise."""
    share = torch.rand(samples, generator=generator)
    shifted = torch.atan(SHIFT[is_moving] * torch.tan(share * math.pi / 2)) * 2 / math.pi
    steps = (shifted * len(schedule)).long().clamp(0, len(schedule) - 1)
    return torch.where(torch.rand(samples, generator=generator) < PURE_NOISE_SHARE, len(schedule) - 1, steps)


def task_of(batch: Batch) -> Task:
    """The part of a batch that the network is told."""
    names = ("still", "known", "azimuth", "elevation", "phase", "moving", "words")
    return Task(**{name: batch[name] for name in names})


def noisy_levels(
    schedule: NoiseSchedule,
    t: Tensor,  # (S,)
    task: Task,
    frames: int,
) -> tuple[Tensor, Tensor]:
    """Signal and noise level (S, V, F) of each image; known pictures of a still object carry no noise."""
    clean = (task.known * (1 - task.moving[:, None]))[..., None].expand(-1, -1, frames)
    alpha, sigma = schedule.alpha(t, clean), schedule.sigma(t, clean)
    return torch.where(clean > 0, 1.0, alpha), torch.where(clean > 0, 0.0, sigma)


def diffusion_loss(
    network: Network,
    batch: Batch,
    generator: torch.Generator,
    schedule: NoiseSchedule,
    t: Tensor | None = None,  # (S,) drawn if absent
) -> tuple[str, Tensor]:
    """The velocity's squared error times min(1, 2 sigma²), which is the clean image's times min(1 / sigma², 2).

    Returns:
        what was trained, `moving` or `still`, and the mean over noisy images.
    """
    clean, task = batch["clean"], task_of(batch)
    is_moving = bool(task.moving[0] > 0)
    if t is None:
        t = draw_timesteps(schedule, len(clean), is_moving, generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    alpha, sigma = (level[..., None, None, None] for level in noisy_levels(schedule, t, task, clean.shape[2]))
    velocity = alpha * noise - sigma * clean
    predicted = network(alpha * clean + sigma * noise, sigma[..., 0, 0, 0], task)
    error = (predicted - velocity).square().mean((-3, -2, -1))
    level = sigma[..., 0, 0, 0]
    weight = (2 * level.square()).clamp_max(1) * (level > 0)
    return "moving" if is_moving else "still", (weight * error).sum() / (level > 0).sum()
