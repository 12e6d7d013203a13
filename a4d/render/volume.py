"""Volume rendering: intervals along rays, where to look closer, and front-to-back compositing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.render import ray_march
from a4d.render.occupancy import Space

HASH_MULTIPLIERS = (73856093, 19349663, 83492791, 2654435761)
"""Odd numbers that mix the bits of a direction and of the step."""

LEAST_SHARE = 1e-5
"""Up to which a share of light counts as none, or all but which as all, where its entropy is asked for."""


@dataclass(frozen=True)
class Rays:
    """R rays, and the part of each that may hold something.

    Args:
        origins: (R, 3) world, metres.
        directions: (R, 3) of unit length.
        near: (R,) metres from the origin.
        far: (R,) metres from the origin; not above `near` where a ray misses.
    """

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, part: slice) -> Rays:
        return Rays(self.origins[part], self.directions[part], self.near[part], self.far[part])


@dataclass(frozen=True)
class Samples:
    """M intervals along rays; those of one ray stand together, front to back, and do not overlap.

    Args:
        ray: (M,) int64 index of the ray, ascending.
        start: (M,) metres from the ray's origin.
        width: (M,) metres.
    """

    ray: Tensor
    start: Tensor
    width: Tensor

    def __len__(self) -> int:
        return len(self.ray)

    @property
    def middle(self) -> Tensor:
        """(M,) metres from the ray's origin, where the interval is looked at."""
        return self.start + self.width / 2

    def points(self, rays: Rays) -> Tensor:
        """(M, 3) the middles in the world."""
        along = self.middle[:, None]
        return rays.origins.index_select(0, self.ray) + along * rays.directions.index_select(0, self.ray)

    def only(self, keep: Tensor) -> Samples:
        """Those whose entry of `keep`, (M,) bool, is set."""
        return Samples(self.ray[keep], self.start[keep], self.width[keep])


def rays_in_box(cameras: Cameras, bound: float) -> tuple[Rays, Tensor]:
    """Rays through all pixel centres, cut to the cube [-bound, bound]³ and to what lies before the camera.

    Returns:
        B * H * W rays; (B * H * W,) metres along a ray per metre of depth along the viewing axis.
    """
    origins, directions = (part.reshape(-1, 3) for part in cameras.rays())
    stretch = directions.norm(dim=-1)
    directions = directions / stretch[:, None]
    # A ray within a face's plane would give 0 / 0.
    inverse = 1 / torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    first, second = (-bound - origins) * inverse, (bound - origins) * inverse
    near = torch.minimum(first, second).amax(-1).clamp_min(0)
    far = torch.maximum(first, second).amin(-1)
    return Rays(origins, directions, near, far), stretch


def stateless_shifts(rays: Rays, step: int) -> Tensor:
    """(R,) numbers in [0, 1) that follow from each ray's direction and the step alone.

    A ray has the same shift in an image and in a patch of it, and when a graph is built anew on the way back.
    """
    bits = rays.directions.float().contiguous().view(torch.int32).long()
    mixed = torch.full_like(bits[:, 0], (step + 1) * HASH_MULTIPLIERS[3])
    for column, multiplier in zip(bits.unbind(-1), HASH_MULTIPLIERS, strict=False):
        mixed = (mixed ^ (column * multiplier)) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) >> 8).to(rays.near.dtype) / 2**24


def fixed_steps(
    rays: Rays,
    step: float,
    shift: Tensor | None = None,  # (R,) in [0, 1) of a step, by which the lattice starts early; None is 0
    occupancy: Space | None = None,
    times: Tensor | None = None,  # (R,) in [0, 1], which of the occupancy's times a ray sees; None is 0
) -> Samples:
    """Intervals of one length, cut off at `near` and `far`; those whose middle lies in an empty cell are left out."""
    shift = torch.zeros_like(rays.near) if shift is None else shift
    times = torch.zeros_like(rays.near) if times is None else times
    lattice = ray_march.Lattice(rays.origins, rays.directions, rays.near, rays.far, shift, times)
    ray, index = ray_march.march(lattice, step, occupancy)
    first = (rays.near - shift * step).index_select(0, ray)
    low, high = first + index * step, first + (index + 1) * step
    start = torch.maximum(low, rays.near.index_select(0, ray))
    end = torch.minimum(high, rays.far.index_select(0, ray))
    return Samples(ray, start, (end - start).clamp_min(0))


def _before(optical: Tensor, ray: Tensor) -> Tensor:
    """Sum over the samples before each one on the same ray, (M,); float64, since it is a difference of long sums."""
    cumulated = optical.cumsum(0) - optical
    is_first = torch.ones_like(ray, dtype=torch.bool)
    is_first[1:] = ray[1:] != ray[:-1]
    segment = is_first.cumsum(0) - 1
    return cumulated - cumulated[is_first].index_select(0, segment)


def transmittance(samples: Samples, density: Tensor) -> Tensor:
    """Share of light that passes from each interval's start to the ray's origin.

    Args:
        samples: M intervals.
        density: (M,) per metre.

    Returns:
        (M,) in [0, 1].
    """
    return torch.exp(-_before((density * samples.width).double(), samples.ray)).to(density.dtype)


def compositing_weights(samples: Samples, density: Tensor) -> Tensor:
    """Share of each interval in its ray's colour: what it stops of the light that passes all before it.

    Max 1995, equation 3 of NeRF (Mildenhall et al. 2020): exact where density is constant within intervals.

    Args:
        samples: M intervals.
        density: (M,) per metre.

    Returns:
        (M,) whose sum over a ray is its alpha.
    """
    return transmittance(samples, density) * -torch.expm1(-density * samples.width)


def distortion(samples: Samples, weights: Tensor) -> Tensor:
    """How far the weights of each ray are spread (Barron et al. 2022, equation 15), over unnormalised distances.

    Args:
        samples: M intervals.
        weights: (M,) from `compositing_weights`.

    Returns:
        (M,) metres, whose sum over a ray is the sum over pairs of samples of both weights and their distance, plus a
        third of the sum of squared weights times widths.
    """
    double, middle = weights.double(), samples.middle.double()
    pairs = 2 * double * (middle * _before(double, samples.ray) - _before(double * middle, samples.ray))
    return (pairs + double.square() * samples.width / 3).to(weights.dtype)


def binary_entropy(shares: Tensor) -> Tensor:
    """Bits of coins that fall on one side with chances in [0, 1], of any shape; 0, without a gradient, at the ends."""
    bounded = shares.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    bits = -(bounded * bounded.log2() + (1 - bounded) * (1 - bounded).log2())
    return torch.where((shares > LEAST_SHARE) & (shares < 1 - LEAST_SHARE), bits, 0)


def accumulate(
    samples: Samples,
    weights: Tensor,  # (M,)
    values: Tensor,  # (M, C)
    count: int,
) -> Tensor:
    """Weighted sums over each of `count` rays, (count, C); 0 for a ray without samples."""
    return values.new_zeros(count, values.shape[1]).index_add(0, samples.ray, weights[:, None] * values)


def in_light(samples: Samples, density: Tensor, least: float) -> Tensor:
    """(M,) bool: whether at least this share of light reaches the interval from the ray's origin."""
    return transmittance(samples, density) >= least


def subdivide(samples: Samples, weights: Tensor, count: int) -> Samples:
    """Importance sampling: share `count` intervals per ray out in proportion to the weights of coarse ones.

    Every coarse interval is split into at least one part and none is widened, so that the sum over parts approximates
    the same integral as before, finer where the ray's colour comes from.

    Args:
        samples: M coarse intervals.
        weights: (M,) their shares in the ray's colour, without gradient.
        count: intervals of a ray whose weights add up to 1, besides one for each coarse interval.
    """
    parts = 1 + (weights * count).floor().long()
    index = torch.repeat_interleave(torch.arange(len(samples), device=parts.device), parts)
    place = torch.arange(len(index), device=parts.device) - (parts.cumsum(0) - parts).index_select(0, index)
    width = (samples.width / parts).index_select(0, index)
    return Samples(samples.ray[index], samples.start[index] + place * width, width)
