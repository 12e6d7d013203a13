"""Kernels of the visual hull, parallel over voxel slabs and points."""

import numpy as np
from numba import prange

from a4d.kernel_cache import njit


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _project(pose, lens, x, y, z) -> tuple[float, float, float]:
    """Pixel coordinates of a world point, and its depth in metres."""
    depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
    u = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) / depth * lens[0] + lens[2]
    v = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) / depth * lens[1] + lens[3]
    return u, v, depth


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def carve(masks, sizes, poses, lenses, start, spacing, tolerated, framed, weights, values) -> None:
    """Decide which voxels are full.

    Args:
        masks: (B, H, W) bool; of each, what is beyond its size does not count.
        sizes: (B, 2) int64 height and width.
        poses: (B, 4, 4) float64 camera_from_world.
        lenses: (B, 4) float64 intrinsics.
        start: (3,) world position of the first voxel's centre.
        spacing: metres.
        tolerated: share of the views' weight that may show background where a full voxel is.
        framed: share of the views' weight that must have a full voxel in their frame.
        weights: (B,) float64 of the views.
        values: (X, Y, Z) bool, filled.
    """
    views, whole = len(masks), weights.sum()
    for i in prange(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                seen, missed = 0.0, 0.0
                for n in range(views):
                    x, y, z = start[0] + i * spacing, start[1] + j * spacing, start[2] + k * spacing
                    u, v, depth = _project(poses[n], lenses[n], x, y, z)
                    height, width = sizes[n, 0], sizes[n, 1]
                    if depth <= 0 or not (0 <= u < width and 0 <= v < height):
                        continue
                    seen += weights[n]
                    x0, y0 = max(int(np.floor(u - 0.5)), 0), max(int(np.floor(v - 0.5)), 0)
                    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
                    if not (masks[n, y0, x0] or masks[n, y0, x1] or masks[n, y1, x0] or masks[n, y1, x1]):
                        missed += weights[n]
                        if missed > tolerated * whole:
                            break
                values[i, j, k] = seen > 0 and seen >= framed * whole and missed <= tolerated * seen


@njit(cache=True, error_model="numpy", nogil=True)
def splat_depth(points, pose, lens, spacing, nearest) -> None:
    """Draw points as squares that overlap their neighbours.

    Args:
        points: (P, 3) float64, world.
        pose: (4, 4) camera_from_world.
        lens: (4,) intrinsics.
        spacing: metres between neighbouring points.
        nearest: (H, W) float64 depth, lowered where a point is nearer.
    """
    height, width = nearest.shape
    for n in range(len(points)):
        u, v, depth = _project(pose, lens, points[n, 0], points[n, 1], points[n, 2])
        if depth <= 0:
            continue
        radius = 0.75 * spacing * lens[0] / depth
        for row in range(max(0, int(np.ceil(v - radius - 0.5))), min(height, int(np.floor(v + radius - 0.5)) + 1)):
            for column in range(max(0, int(np.ceil(u - radius - 0.5))), min(width, int(u + radius - 0.5) + 1)):
                nearest[row, column] = min(nearest[row, column], depth)


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def gather_colours(points, normals, pose, lens, tolerance, nearest, picture, total) -> None:
    """Add the colours that one view sees of the points.

    Args:
        points: (P, 3) float64, world.
        normals: (P, 3) float64, unit.
        pose: (4, 4) camera_from_world.
        lens: (4,) intrinsics.
        tolerance: metres by which a point may lie behind the z-buffer and yet be seen.
        nearest: (H, W) float64 z-buffer.
        picture: (H, W, 3) float32 sRGB.
        total: (P, 4) float64 weighted colours and weights, updated.
    """
    height, width = nearest.shape
    centre = -(np.ascontiguousarray(pose[:3, :3].T) @ np.ascontiguousarray(pose[:3, 3]))
    for n in prange(len(points)):
        u, v, depth = _project(pose, lens, points[n, 0], points[n, 1], points[n, 2])
        if depth <= 0 or not (0 <= u < width and 0 <= v < height) or depth > nearest[int(v), int(u)] + tolerance:
            continue
        toward = centre - points[n]
        cosine = np.dot(normals[n], toward) / np.sqrt(np.dot(toward, toward))
        if cosine > 0.1:
            for channel in range(3):
                total[n, channel] += cosine * cosine * picture[int(v), int(u), channel]
            total[n, 3] += cosine * cosine
