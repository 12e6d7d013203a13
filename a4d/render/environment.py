"""Light from all directions, filtered beforehand for surfaces of every roughness.

The split-sum approximation (Karis 2013, Real Shading in Unreal Engine 4): what a rough surface reflects is the
environment averaged over the lobe of its microfacets, times a factor that depends on the angle and the roughness alone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from a4d.render import cubemap

ROUGHNESS = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0)
SIZES = (128, 64, 32, 16, 16, 16)
"""Of each prefiltered level: its roughness, and texels along the edge of a face; the first is the environment."""

SAMPLES = {0.1: 32, 0.2: 128}
"""Directions averaged for the narrow lobes."""

SOURCES = {0.4: 32, 0.7: 16, 1.0: 16}
"""Size of the cube that is averaged, texel by texel, for the wide lobes; the cosine lobe takes the smallest."""

IRRADIANCE_SIZE = 16
TABLE_SIZE = 64
TABLE_SAMPLES = 1024


@dataclass(frozen=True)
class EnvironmentLight:
    """An environment ready to light surfaces.

    Args:
        levels: (6, S, S, 3) linear radiance for each of `ROUGHNESS`, averaged over the mirror lobe.
        irradiance: (6, 16, 16, 3) linear, divided by π: what a white matt surface facing there sends out.
    """

    levels: tuple[Tensor, ...]
    irradiance: Tensor

    @classmethod
    def of(cls, cube: Tensor) -> EnvironmentLight:
        """Filter an environment, differentiable by it.

        Args:
            cube: (6, S, S, 3) linear radiance, not negative, S a power of two from 32.
        """
        pyramid = {cube.shape[1]: cube}
        while min(pyramid) > 8:
            finer = pyramid[min(pyramid)]
            pyramid[min(pyramid) // 2] = avg_pool2d(finer.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        texels = torch.cat([level.flatten(0, 2) for level in pyramid.values()])
        levels = [cube]
        for roughness, size in zip(ROUGHNESS[1:], SIZES[1:], strict=True):
            if roughness in SOURCES:
                source = pyramid[SOURCES[roughness]].flatten(0, 2)
                filtered = _lobe_matrix(roughness, size, SOURCES[roughness]).to(cube) @ source
            else:
                filtered = _gathered(texels, *_lobe_taps(roughness, size, SAMPLES[roughness], cube.shape[1]))
            levels.append(filtered.view(6, size, size, 3))
        irradiance = _lobe_matrix(None, IRRADIANCE_SIZE, 16).to(cube) @ pyramid[16].flatten(0, 2)
        return cls(tuple(levels), irradiance.view(6, IRRADIANCE_SIZE, IRRADIANCE_SIZE, 3))

    @classmethod
    def from_panorama(cls, panorama: Tensor, strength: float = 1.0, size: int = 128) -> EnvironmentLight:
        """Filter the picture of an HDR file, (H, 2H, 3) linear; see `cubemap.cube_from_panorama`."""
        return cls.of(cubemap.cube_from_panorama(panorama, size) * strength)

    def diffuse(self, normals: Tensor) -> Tensor:
        """(P, 3) what a white matt surface with normals (P, 3) sends out."""
        return cubemap.sample(self.irradiance, normals)

    def specular(self, directions: Tensor, roughness: Tensor) -> Tensor:
        """Radiance from mirror directions, averaged over the lobe.

        Args:
            directions: (P, 3).
            roughness: (P,) in [0, 1].

        Returns:
            (P, 3).
        """
        total = directions.new_zeros(len(directions), 3)
        for index, level in enumerate(self.levels):
            below, above = ROUGHNESS[max(index - 1, 0)], ROUGHNESS[min(index + 1, len(ROUGHNESS) - 1)]
            rising = (roughness - below) / (ROUGHNESS[index] - below) if index else torch.ones_like(roughness)
            last = index == len(ROUGHNESS) - 1
            falling = torch.ones_like(roughness) if last else (above - roughness) / (above - ROUGHNESS[index])
            share = torch.minimum(rising, falling).clamp(0, 1)
            chosen = (share.detach() > 0).nonzero()[:, 0]
            if len(chosen):
                part = cubemap.sample(level, directions[chosen]) * share[chosen, None]
                total = total.index_add(0, chosen, part)
        return total


@functools.lru_cache(maxsize=1)
def studio() -> EnvironmentLight:
    """The built-in environment, filtered."""
    return EnvironmentLight.of(studio_cube(SIZES[0]))


def studio_cube(size: int) -> Tensor:
    """(6, size, size, 3) a grey room with a large soft light above, one at each side, and a darker floor."""
    directions, _ = cubemap.texel_directions(size)
    lamps = normalize(torch.tensor([[0.3, 1.0, 0.4], [-1.0, 0.35, 0.6], [1.0, 0.2, -0.3]]), dim=-1)
    widths, strengths = torch.tensor([0.75, 0.9, 0.92]), torch.tensor([3.0, 1.6, 1.2])
    glow = torch.sigmoid((directions @ lamps.T - widths) * 40) * strengths
    room = 0.35 + 0.25 * directions[:, 1:2]
    tint = torch.tensor([[1.0, 0.98, 0.94], [0.94, 0.98, 1.0], [1.0, 1.0, 1.0]])
    return (room + glow @ tint).view(6, size, size, 3)


def sky_cube(size: int) -> Tensor:
    """(6, size, size, 3) a clear sky with a sun at the upper left in front, over brighter and darker ground.

    Its mean radiance is 0.5 and without colour, so that what is lit by it keeps its own.
    """
    directions, solid_angles = cubemap.texel_directions(size)
    height = directions[:, 1:2]
    horizon, zenith, ground = torch.tensor([[0.85, 0.88, 0.92], [0.25, 0.42, 0.75], [0.38, 0.34, 0.3]])
    sky = horizon + (zenith - horizon) * height.clamp(min=0).sqrt()
    toward_sun = (directions @ normalize(torch.tensor([-0.5, 0.75, 0.6]), dim=0)).clamp(min=0)[:, None]
    sun = 12 * torch.sigmoid((toward_sun - 0.985) * 400) + 0.8 * toward_sun**24
    radiance = sky + sun * torch.tensor([1.0, 0.95, 0.85])
    radiance = radiance + (ground - radiance) * torch.sigmoid(-height * 40)
    mean = (radiance * solid_angles[:, None]).sum(0) / solid_angles.sum()
    return (0.5 * radiance / mean).view(6, size, size, 3)


def specular_factors(cosine: Tensor, roughness: Tensor) -> tuple[Tensor, Tensor]:
    """Scale A and offset B of the reflectance F0 A + B of a GGX surface in a uniformly white environment.

    Args:
        cosine: (P,) between normal and viewer, in [0, 1].
        roughness: (P,) in [0, 1]; microfacets of width roughness².

    Returns:
        (P,) and (P,), differentiable by both.
    """
    table = specular_table().to(cosine)
    grid = torch.stack([cosine, roughness], dim=-1)[None, None] * 2 - 1
    sampled = grid_sample(table, grid, "bilinear", padding_mode="border", align_corners=True)
    return sampled[0, 0, 0], sampled[0, 1, 0]


@functools.lru_cache(maxsize=1)
def specular_table() -> Tensor:
    """(1, 2, R, N) A and B over roughness and cosine, both from 0 to 1, integrated over visible microfacet normals.

    Sampling them in proportion to how much of each the viewer sees (Heitz 2018) leaves the ratio of the
    height-correlated masking-shadowing to masking alone, a smooth function, to be averaged.
    """
    roughness = torch.linspace(0, 1, TABLE_SIZE, dtype=torch.float64).clamp(min=1e-3)[:, None, None]
    cosine = torch.linspace(0, 1, TABLE_SIZE, dtype=torch.float64).clamp(min=1e-4)[None, :, None]
    alpha = roughness**2
    first, second = _hammersley(TABLE_SAMPLES).double().unbind(-1)
    sine = (1 - cosine**2).sqrt()
    # Heitz 2018, listing 1, with the viewer in the x-z plane.
    stretched = torch.stack(torch.broadcast_tensors(alpha * sine, cosine), dim=-1)
    stretched = stretched / stretched.norm(dim=-1, keepdim=True)
    vx, vz = stretched.unbind(-1)
    radius, angle = first.sqrt(), 2 * math.pi * second
    t1, t2 = radius * angle.cos(), radius * angle.sin()
    t2 = (1 - vz) / 2 * (1 - t1**2).sqrt() + (1 + vz) / 2 * t2
    t3 = (1 - t1**2 - t2**2).clamp(min=0).sqrt()
    # In the frame of t1 = y, t2 = (-vz, 0, vx) and the stretched viewer.
    hx, hy, hz = alpha * (-vz * t2 + vx * t3), alpha * t1, (vx * t2 + vz * t3).clamp(min=0)
    length = (hx**2 + hy**2 + hz**2).sqrt()
    toward = (sine * hx + cosine * hz) / length
    light = 2 * toward * hz / length - cosine
    lit = light.clamp(min=1e-8)
    shadowed = lit * (alpha**2 + (1 - alpha**2) * cosine**2).sqrt()
    masked = cosine * (alpha**2 + (1 - alpha**2) * lit**2).sqrt()
    visible = 2 * lit * cosine / (shadowed + masked)
    only_masked = 2 * cosine / (cosine + (alpha**2 + (1 - alpha**2) * cosine**2).sqrt())
    weight = torch.where(light > 0, visible / only_masked, 0.0)
    fresnel = (1 - toward.clamp(0, 1)) ** 5
    table = torch.stack([(weight * (1 - fresnel)).mean(-1), (weight * fresnel).mean(-1)])
    return table[None].float()


def _hammersley(count: int) -> Tensor:
    """(count, 2) points spread evenly over the unit square."""
    index = np.arange(count, dtype=np.uint32)
    reversed_bits = sum(((index >> bit) & 1).astype(np.float64) / 2 ** (bit + 1) for bit in range(32))
    return torch.from_numpy(np.stack([(index + 0.5) / count, reversed_bits], axis=-1)).float()


@functools.lru_cache(maxsize=16)
def _lobe_taps(roughness: float, size: int, count: int, source: int) -> tuple[Tensor, Tensor]:
    """Where each texel of a level gathers from and how much: (6 size², 4 count) into the pyramid of a source cube.

    Half vectors follow the GGX distribution; each light direction reads the coarser level whose texels are about as
    large as the part of the lobe that the sample stands for (Krivanek and Colbert 2008).
    """
    normals, _ = cubemap.texel_directions(size)
    alpha = roughness**2
    first, second = _hammersley(count).unbind(-1)
    cosine = ((1 - first) / (1 + (alpha**2 - 1) * first)).sqrt()
    sine, angle = (1 - cosine**2).sqrt(), 2 * math.pi * second
    # With the viewer along the normal, the light's direction is the normal mirrored at the half vector.
    level = 2 * cosine**2 - 1
    useful = level > 0
    cosine, sine, angle, level = cosine[useful], sine[useful], angle[useful], level[useful]
    local = torch.stack([2 * cosine * sine * angle.cos(), 2 * cosine * sine * angle.sin(), level], dim=-1)
    density = alpha**2 / (math.pi * (cosine**2 * (alpha**2 - 1) + 1) ** 2) / 4
    solid = 1 / (count * density)
    texel = 4 * math.pi / (6 * source**2)
    depths = (0.5 * (solid / texel).log2() + 1).round().clamp(0, (source // 8).bit_length() - 1).long()
    helper = torch.where(normals[:, :1].abs() < 0.9, torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 1, 0]]))
    first_axis = normalize(torch.linalg.cross(helper, normals, dim=-1), dim=-1)
    frame = torch.stack([first_axis, torch.linalg.cross(normals, first_axis, dim=-1), normals], dim=-1)
    weights = level / level.sum()
    rows, shares = [], []
    for depth in depths.unique().tolist():
        own = depths == depth
        directions = torch.einsum("pij,sj->psi", frame, local[own])
        row, share = cubemap.taps(directions.reshape(-1, 3), source >> depth)
        start = sum(6 * (source >> finer) ** 2 for finer in range(depth))
        rows.append((row + start).view(len(normals), -1).int())
        shares.append((share.view(len(normals), -1, 4) * weights[own, None]).flatten(1))
    return torch.cat(rows, dim=1), torch.cat(shares, dim=1)


def _gathered(texels: Tensor, rows: Tensor, shares: Tensor) -> Tensor:
    """(P, 3) sums of texels (T, 3) at rows (P, K), weighted by shares (P, K), a part of them at a time."""
    total = texels.new_zeros(len(rows), 3)
    for start in range(0, rows.shape[1], 64):
        index, weights = (part[:, start : start + 64].to(texels.device) for part in (rows, shares))
        values = texels.index_select(0, index.flatten()).view(*index.shape, 3)
        total = total + (values * weights[..., None].to(texels)).sum(1)
    return total


@functools.lru_cache(maxsize=4)
def _lobe_matrix(roughness: float | None, size: int, source: int) -> Tensor:
    """(6 size², 6 source²) mean around each texel over the mirror lobe, or over the cosine lobe for None."""
    normals, _ = cubemap.texel_directions(size)
    directions, solid = cubemap.texel_directions(source)
    weights = (normals @ directions.T).clamp(min=0)
    if roughness is not None:
        # The half vector's squared cosine to the normal is (1 + n·l) / 2.
        weights = weights / ((1 + weights) / 2 * (roughness**4 - 1) + 1) ** 2
    weights = weights * solid
    return weights / weights.sum(1, keepdim=True)
