"""Where the Gaussians of an articulated scene begin: on what is known of its shape."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.reconstruction.visual_hull import Occupancy
from a4d.scenes.articulated.bones import farthest_points
from a4d.scenes.initialise import discs_at_points, gaussians_on_asset, gaussians_on_surface
from a4d.scenes.seed import Seed


def discs_of(seed: Seed, count: int, opacity: float, size: float, generator: torch.Generator) -> Gaussians:
    """Flat Gaussians on the seed's surface, or those that it has.

    Args:
        seed: with Gaussians, a surface or a solid.
        count: Gaussians on the surface; of a solid's, no more than it has places for.
        opacity: of every one, in (0, 1).
        size: radius over the mean distance to the nearest three.
        generator: of their places on a mesh, on the CPU.

    Raises:
        ConfigError: the seed has no shape.
    """
    if seed.gaussians is not None:
        return seed.gaussians
    if seed.asset is not None:
        return gaussians_on_asset(seed.asset, count, opacity, size, generator)
    if seed.mesh is not None:
        return gaussians_on_surface(seed.mesh, count, opacity, generator)
    if seed.solid is None:
        raise ConfigError("an articulated scene begins from a shape", "Set seed.kind to visual-hull, or give a mesh")
    return _on_solid(seed.solid, seed.colours, count, opacity, size)


def _on_solid(solid: Occupancy, colours: Tensor | None, count: int, opacity: float, size: float) -> Gaussians:
    """Evenly spread over the border of a solid, half a voxel further out than the voxels' centres."""
    points, normals = solid.surface()
    chosen = farthest_points(points, count)
    places = points[chosen] + 0.5 * solid.spacing * normals[chosen]
    seen = places.new_full((len(chosen), 3), 0.5) if colours is None else colours[chosen]
    return discs_at_points(places, normals[chosen], seen, opacity, size)
