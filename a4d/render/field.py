"""Images of a field: rays are marched through it, and whatever it says of the points on them is composited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from pydantic import Field as ConfigField
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from a4d.config import Config
from a4d.geometry.cameras import Cameras
from a4d.render.occupancy import Space
from a4d.render.render import Channel, Render, Wants
from a4d.render.volume import (
    Rays,
    Samples,
    accumulate,
    binary_entropy,
    compositing_weights,
    distortion,
    fixed_steps,
    in_light,
    rays_in_box,
    stateless_shifts,
    subdivide,
)

RAYS = 2**15
"""Rays that are marched at once."""

RAY_CHANNELS: frozenset[Channel] = frozenset({"position", "orientation", "entropy", "distortion"})
"""What marching gives of any field; all else it asks of the field."""


class SamplingConfig(Config):
    """Where rays look at the field."""

    steps: int = ConfigField(default=256, ge=8, le=4096, description="along the cube's diagonal")
    importance: int = ConfigField(
        default=0, ge=0, le=1024, description="further intervals per ray, where its colour forms"
    )
    least_light: float = ConfigField(default=1e-3, ge=0, lt=1, description="share of light below which a ray stops")
    jitter: bool = ConfigField(default=True, description="shift the steps of each ray by chance while optimising")
    recompute: bool = ConfigField(
        default=False, description="keep the graph of 32,768 rays at a time, each part anew on the way back"
    )


class Field(Protocol):
    """A volume in the cube [-bound, bound]³, as functions of position and time."""

    @property
    def bound(self) -> float:
        """Half of the cube's side, metres."""

    def density(self, points: Tensor, times: Tensor) -> Tensor:
        """(M,) per metre at points (M, 3) in the world and times (M,) in [0, 1]."""

    def signals(self, points: Tensor, times: Tensor, directions: Tensor, wants: frozenset[str]) -> Mapping[str, Tensor]:
        """What is composited, at points (M, 3) that rays of directions (M, 3), unit length, look at.

        Returns:
            `density` (M,) per metre and `rgb` (M, 3) sRGB in any case; and (M, C) for each of the names in `wants`, of
            which `normal` is of unit length and points to where density falls.
        """


@dataclass(frozen=True)
class Marching:
    """Where rays look at a field.

    Args:
        sampling: how finely.
        occupancy: where it may hold something; None is everywhere.
        shift: a step of the optimisation by which the rays' intervals are shifted, or None where they are not.
    """

    sampling: SamplingConfig
    occupancy: Space | None = None
    shift: int | None = None

    @torch.no_grad()
    def samples(self, field: Field, rays: Rays, times: Tensor) -> Samples:
        """Occupied intervals that light reaches, more of them where a ray's colour forms if that is asked for.

        Args:
            field: what is looked at.
            rays: R.
            times: (R,) in [0, 1].
        """
        step = 2 * 3**0.5 * field.bound / self.sampling.steps
        shift = None if self.shift is None else stateless_shifts(rays, self.shift)
        samples = fixed_steps(rays, step, shift, self.occupancy, times)
        density = field.density(samples.points(rays), times.index_select(0, samples.ray))
        keep = in_light(samples, density, self.sampling.least_light)
        if not self.sampling.importance:
            return samples.only(keep)
        weights = compositing_weights(samples, density)
        return subdivide(samples.only(keep), weights[keep], self.sampling.importance)


def render_field(
    field: Field,
    cameras: Cameras,
    times: Tensor | None,  # (B,) in [0, 1]; None is 0
    background: Tensor | None,  # (B, 3) or (3,) sRGB; None is black
    marching: Marching,
    wants: Wants = (),
) -> Render:
    """Images of a field from B cameras (NeRF: Mildenhall et al. 2020, equation 3), differentiable by the field.

    Args:
        field: what is seen, in its cube alone.
        cameras: B.
        times: which moment each camera sees.
        background: what shows through where alpha is below 1.
        marching: where rays look at it.
        wants: further channels: `RAY_CHANNELS`, and what the field itself gives. The gradients of normals, orientation
            and what else the field gives do not reach it through the weights.
    """
    count, pixels = len(cameras), cameras.height * cameras.width
    rays, stretch = rays_in_box(cameras, field.bound)
    times = rays.near.new_zeros(count) if times is None else times
    ray_times = times.repeat_interleave(pixels)
    parts = [slice(start, start + RAYS) for start in range(0, len(rays), RAYS)]
    march = partial(checkpoint, _march, use_reentrant=False) if marching.sampling.recompute else _march
    marched = [march(field, rays[part], ray_times[part], marching, frozenset(wants)) for part in parts]
    shape = (count, cameras.height, cameras.width, -1)
    images = {name: torch.cat([each[name] for each in marched]) for name in marched[0]}
    rgb, alpha, along = images.pop("colour").split([3, 1, 1], dim=1)
    depth = along / torch.where(alpha > 0, alpha, 1) / stretch[:, None]
    if background is not None:
        behind = background.expand(count, 3).repeat_interleave(pixels, dim=0)
        rgb = rgb + (1 - alpha) * behind
    channels = {name: image.view(shape) for name, image in images.items()}
    return Render(rgb.view(shape), alpha.view(shape), depth.view(shape), channels)


def _march(field: Field, rays: Rays, times: Tensor, marching: Marching, wants: frozenset[str]) -> dict[str, Tensor]:
    """`colour` (R, 5): sRGB, alpha, mean distance times alpha; and (R, C) for each of the channels."""
    samples = marching.samples(field, rays, times)
    points, directions = samples.points(rays), rays.directions.index_select(0, samples.ray)
    asked = wants - RAY_CHANNELS | ({"normal"} if "orientation" in wants else frozenset())
    signals = field.signals(points, times.index_select(0, samples.ray), directions, asked)
    weights = compositing_weights(samples, signals["density"])
    seen = [torch.ones_like(weights)[:, None], samples.middle[:, None].to(weights.dtype)]
    colour = accumulate(samples, weights, torch.cat([signals["rgb"], *seen], dim=1), len(rays))
    channels = {"colour": colour}
    for name in sorted(wants):
        if name == "position":
            channels[name] = accumulate(samples, weights, points, len(rays))
        elif name == "orientation":
            away = (signals["normal"] * directions).sum(-1, keepdim=True).clamp_min(0).square()
            channels[name] = accumulate(samples, weights.detach(), away, len(rays))
        elif name in RAY_CHANNELS:
            of_samples = binary_entropy(weights) if name == "entropy" else distortion(samples, weights)
            channels[name] = accumulate(samples, torch.ones_like(weights), of_samples[:, None], len(rays))
        else:
            channels[name] = accumulate(samples, weights.detach(), signals[name], len(rays))
    return channels
