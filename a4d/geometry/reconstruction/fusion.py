"""Fusion of depth images from known cameras into one closed mesh, through a truncated signed distance field.

Curless and Levoy (1996) average the distances along all rays near the surface; here what no ray ever saw the inside of
is filled, and the silhouettes carve what lies beside the object, so that the surface is closed whatever was rendered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import marching_cubes
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction import fusion_kernels
from a4d.geometry.reconstruction.depth_views import DepthView, PreparedView, prepared_view, vertex_colours
from a4d.geometry.surfaces.parts import SMALLEST, without_scraps
from a4d.geometry.surfaces.smoothing import taubin

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FusionSettings:
    """How depth images become a surface.

    Args:
        resolution: voxels along the longest side of the bounds.
        truncation: distance around the surface in which depths are averaged, in voxels.
        smoothing: rounds of Taubin smoothing; 0 leaves the surface as extracted.
        smallest_part: share of the largest part's volume below which others are dropped; see `without_scraps`.
    """

    resolution: int = 128
    truncation: float = 3.0
    smoothing: int = 3
    smallest_part: float = SMALLEST


def fuse(
    views: Iterable[DepthView],
    bounds: Tensor,  # (2, 3) lowest and highest corner of the object's box, world, metres
    settings: FusionSettings | None = None,
) -> Mesh:
    """Fuse depth images of an object into a closed, coloured mesh.

    Args:
        views: around the object; each sees it whole or cut by its frame. Pixels at depth edges are not used.
        bounds: the surface is closed where it leaves the box.
        settings: resolution and clean-up.

    Returns:
        A closed mesh, wound outward, with vertex colours.

    Raises:
        InvalidInputError: there is no view, or the views leave nothing inside the bounds.
    """
    settings = settings or FusionSettings()
    prepared = [prepared_view(view) for view in views]
    if not prepared:
        raise InvalidInputError("there are no views to fuse")
    low, high = bounds.double().cpu().numpy()
    spacing = float((high - low).max()) / settings.resolution
    field = _distance_field(prepared, low, high, spacing, settings)
    vertices, faces = _surface(field, settings)
    vertices = low + (vertices - 0.5) * spacing
    mesh = Mesh(torch.from_numpy(vertices.astype(np.float32)), torch.from_numpy(faces))
    mesh = without_scraps(mesh, settings.smallest_part)
    mesh = taubin(mesh, settings.smoothing)
    colours = vertex_colours(mesh, prepared, 1.5 * spacing)
    return Mesh(mesh.vertices, mesh.faces, torch.from_numpy(colours))


def _distance_field(
    views: list[PreparedView],
    low: NDArray[np.float64],  # (3,)
    high: NDArray[np.float64],  # (3,)
    spacing: float,
    settings: FusionSettings,
) -> Floats:
    """Signed distance in voxels at their centres, negative inside, between plus and minus the truncation."""
    counts = tuple(int(n) for n in np.ceil((high - low) / spacing - 1e-6))
    total, weight = np.zeros(counts, np.float32), np.zeros(counts, np.float32)
    outside = np.full(counts, -np.inf, np.float32)
    for view in views:
        fusion_kernels.integrate(
            (view.depth, view.trust, view.silhouette, view.pose, view.lens),
            (low + spacing / 2, spacing, settings.truncation),
            (total, weight, outside),
        )
    inside = np.float32(-settings.truncation)
    mean = np.where(weight > 0, total / np.maximum(weight, 1e-9), inside)
    # A voxel in no frame at all is no part of the object.
    field = np.where(np.isinf(outside), -inside, np.clip(np.maximum(mean, outside), inside, -inside))
    if not (field < 0).any():
        raise InvalidInputError("the views leave nothing inside the bounds", "Check the cameras and the alpha channel")
    return np.asarray(field, np.float32)


def _surface(field: Floats, settings: FusionSettings) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices in voxels (a voxel's centre is at + 0.5) and faces of the zero set, closed at the border."""
    closed = np.pad(field, 1, constant_values=settings.truncation)
    closed[np.abs(closed) < 1e-4] = 1e-4
    vertices, faces, _, _ = marching_cubes(closed, 0.0, gradient_direction="descent")
    return vertices.astype(np.float64), faces.astype(np.int64)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    camera = turntable(1, 0.0, 3.0, 40.0, 16)
    view = DepthView(torch.full((16, 16), 3.0), torch.ones(16, 16), torch.ones(16, 16, 3), camera)
    fuse([view], torch.tensor([[-0.5] * 3, [0.5] * 3]), FusionSettings(resolution=8))
