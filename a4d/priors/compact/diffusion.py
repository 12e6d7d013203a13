"""The compact network's noise levels and its loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from a4d.priors.compact.examples import WAY_STRIDE, Batch
from a4d.priors.compact.network import SHOWN, Output, Task
from a4d.priors.compact.sources import other_views
from a4d.priors.schedule import NoiseSchedule, noise_schedule

PURE_NOISE_SHARE = 0.25
SHIFT = {True: 3.0, False: 2.0}
"""Factor of the noise-to-signal ratio against the plain schedule, for moving and for still objects."""

ROUNDED = 0.02
"""Half image widths below which the flow's error counts as its square."""

FLOW_WEIGHT = 0.5
"""Of the error of the ways to the sources, in half image widths, beside that of the clean image."""

Network = Callable[[Tensor, Tensor, Task], Output]


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
    return Task(**{name: batch[name].float() if name == "still" else batch[name] for name in names})


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
    """The error of the clean image, and of the ways to the sources where the batch knows them.

    The first is the velocity's squared error times min(1, 2 sigma²), which is the clean image's times
    min(1 / sigma², 2). The second teaches what pictures alone teach slowly, since a warp's gradient sees no further
    than a few pixels.

    Returns:
        what was trained, `moving` or `still`, and the mean over noisy images.
    """
    clean, task = batch["clean"].float(), task_of(batch)
    is_moving = bool(task.moving[0] > 0)
    if t is None:
        t = draw_timesteps(schedule, len(clean), is_moving, generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=on_device(generator, clean.device), device=clean.device)
    alpha, sigma = (level[..., None, None, None] for level in noisy_levels(schedule, t, task, clean.shape[2]))
    velocity = alpha * noise - sigma * clean
    output = network(alpha * clean + sigma * noise, sigma[..., 0, 0, 0], task)
    error = (output.velocity - velocity).square().mean((-3, -2, -1))
    level = sigma[..., 0, 0, 0]
    weight = (2 * level.square()).clamp_max(1) * (level > 0)
    loss = (weight * error).sum() / (level > 0).sum()
    if "way" in batch:
        loss = loss + FLOW_WEIGHT * flow_loss(output.way, batch, level > 0)
    return "moving" if is_moving else "still", loss


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """The generator itself on the CPU, else one on the device that follows from it."""
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


def flow_loss(
    way: Tensor,  # (S, V, F, 6, 2, H, W) half image widths
    batch: Batch,  # with `way` (S, V, F, 4, 2, H/2, W/2) and `visible` (S, V, F, 4, H/2, W/2)
    asked: Tensor,  # (S, V, F) bool
) -> Tensor:
    """The mean distance of the ways to the view itself and the three others from the true ones, where there are any."""
    own = batch["known"][..., None]
    there = torch.cat([own, other_views(batch["known"], batch["azimuth"])[1]], dim=-1) > 0
    counted = batch["visible"] & (there[:, :, None] & asked[..., None])[..., None, None]
    apart = (way[:, :, :, SHOWN, :, ::WAY_STRIDE, ::WAY_STRIDE] - batch["way"]).square().sum(-3)
    # Smooth near zero, linear far out: a pixel between two limbs has no right answer.
    distance = (apart + ROUNDED**2).sqrt() - ROUNDED
    return (distance * counted).sum() / counted.sum().clamp_min(1)
