"""What an outline shows beside a hull: limbs that are elsewhere in other frames, so that the hull of all has none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.reconstruction.visual_hull import Occupancy

COLUMN = 32
"""Voxels of the hull nearest to a place beside its outline, whose mean depth is that of the place."""

LEAST_RADIUS = 0.87
"""Voxels from a corner to the centre: a ball of that radius holds the centre of one voxel wherever it is."""


def area_beside(
    hull: Occupancy,
    mask: Tensor,  # (H, W) coverage in [0, 1]
    camera: Cameras,  # one view
) -> float:
    """Square metres that an outline shows beside a hull, at the hull's distance."""
    beside = _beside(hull, mask, camera)
    return float(np.square(beside.depths / float(camera.intrinsics[0, 0])).sum())


def with_limbs(
    hull: Occupancy,
    mask: Tensor,  # (H, W) coverage in [0, 1]
    camera: Cameras,  # one view
) -> Occupancy:
    """A hull and what an outline shows beside it, as deep as it is wide.

    Each pixel becomes a ball that reaches to the outline's border, as far from the camera as the middle of the hull
    where it is nearest.
    """
    beside, focal = _beside(hull, mask, camera), float(camera.intrinsics[0, 0])
    origins, directions = (part[0].double().cpu().numpy()[beside.rows, beside.columns] for part in camera.rays())
    centres = origins + beside.depths[:, None] * directions
    widths = distance_transform_edt((mask > 0.5).cpu().numpy())[beside.rows, beside.columns]
    return _filled(hull, centres, widths * beside.depths / focal)


@dataclass(frozen=True)
class _Beside:
    """P pixels of an outline that no voxel of a hull covers.

    Args:
        rows: (P,) int64.
        columns: (P,) int64.
        depths: (P,) metres along the viewing axis, of the hull where it is nearest.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    depths: NDArray[np.float64]


def _beside(hull: Occupancy, mask: Tensor, camera: Cameras) -> _Beside:
    centres = hull.low + (hull.values.nonzero() + 0.5) * hull.spacing
    places, depths = (part[0].double().cpu().numpy() for part in camera.project(centres))
    rows, columns = (mask > 0.5).cpu().numpy().nonzero()
    pixels = np.stack([columns, rows], axis=1) + 0.5
    apart, nearest = cKDTree(places).query(pixels, k=range(1, min(COLUMN, len(places)) + 1))
    depth = depths[nearest].mean(axis=1)
    is_beside = apart[:, 0] * depth / float(camera.intrinsics[0, 0]) > hull.spacing
    return _Beside(rows[is_beside], columns[is_beside], depth[is_beside])


def _filled(hull: Occupancy, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> Occupancy:
    """The hull and all voxels whose centres are in one of P balls; (P, 3) and (P,), metres."""
    values = hull.values.cpu().numpy().copy()
    places = (centres - hull.low.double().cpu().numpy()) / hull.spacing - 0.5
    for place, radius in zip(places, np.maximum(radii / hull.spacing, LEAST_RADIUS), strict=True):
        first, end = np.floor(place - radius).astype(int), np.ceil(place + radius).astype(int) + 1
        box = tuple(slice(*ends) for ends in zip(first.clip(0), end.clip(0), strict=True))
        axes = np.ogrid[box]
        inside = sum((axis - middle) ** 2 for axis, middle in zip(axes, place, strict=True)) <= radius**2
        part = values[box]
        part |= inside[tuple(slice(length) for length in part.shape)]
    return replace(hull, values=torch.from_numpy(values).to(hull.values.device))
