"""Kernels of depth fusion, parallel over image rows, voxel slabs and vertices."""

import numpy as np
from numba import prange

from a4d.kernel_cache import njit

STEEPEST = 6.0
"""Slope of a surface against the image plane beyond which a pixel is taken for a depth edge (80 degrees)."""


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def pixel_trust(depth, alpha, focal, trust) -> None:
    """Squared cosine to the viewing axis of the surface at each pixel; 0 at depth edges and where it is not opaque.

    Args:
        depth: (H, W) float32 metres.
        alpha: (H, W) float32.
        focal: pixels.
        trust: (H, W) float32, filled.
    """
    height, width = depth.shape
    for y in prange(height):
        for x in range(width):
            trust[y, x] = 0
            if alpha[y, x] < 0.75 or depth[y, x] <= 0:
                continue
            steepest = 0.0
            for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                i, j = y + dy, x + dx
                if 0 <= i < height and 0 <= j < width and alpha[i, j] >= 0.5:
                    steepest = max(steepest, abs(depth[i, j] - depth[y, x]) * focal / depth[y, x])
            if steepest < STEEPEST:
                trust[y, x] = 1 / (1 + steepest * steepest)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _between(image, x, y) -> float:
    """Bilinear value of an (H, W) image, constant beyond its outermost pixel centres."""
    height, width = image.shape
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    column, row = min(int(x), width - 2), min(int(y), height - 2)
    right, down = x - column, y - row
    upper = image[row, column] * (1 - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def integrate(view, grid, field) -> None:
    """Add what one view says about every voxel.

    Args:
        view: depth (H, W), trust (H, W), signed pixel distance to the outline (H, W), all float32; camera_from_world
            (4, 4) and intrinsics (4,), float64.
        grid: world position (3,) of the first voxel's centre, spacing in metres, truncation in voxels.
        field: (X, Y, Z) float32 each, updated: weighted sum of distances in voxels, positive in front of the surface;
            sum of weights; largest distance beyond an outline, minus infinity where no view has looked.
    """
    depth, trust, silhouette, pose, lens = view
    start, spacing, truncation = grid
    total, weight, outside = field
    height, width = depth.shape
    for i in prange(total.shape[0]):
        for j in range(total.shape[1]):
            px, py = start[0] + i * spacing, start[1] + j * spacing
            bx = pose[0, 0] * px + pose[0, 1] * py + pose[0, 3]
            by = pose[1, 0] * px + pose[1, 1] * py + pose[1, 3]
            bz = pose[2, 0] * px + pose[2, 1] * py + pose[2, 3]
            for k in range(total.shape[2]):
                pz = start[2] + k * spacing
                z = bz + pose[2, 2] * pz
                if z <= 1e-6:
                    continue
                u = (bx + pose[0, 2] * pz) / z * lens[0] + lens[2]
                v = (by + pose[1, 2] * pz) / z * lens[1] + lens[3]
                if not (0 <= u < width and 0 <= v < height):
                    continue
                column, row = int(u), int(v)
                # The largest of many views' values is taken: rounding to pixels would make it too large.
                beyond = -_between(silhouette, u - 0.5, v - 0.5) * z / (lens[0] * spacing)
                outside[i, j, k] = max(outside[i, j, k], beyond)
                if beyond > 0 or trust[row, column] <= 0:
                    continue
                distance = (depth[row, column] - z) / spacing
                # Behind the surface the view knows little: a thin part's other side may be there.
                certainty = min(1.0, (truncation + distance) / (truncation - 1))
                if certainty > 0:
                    share = certainty * trust[row, column]
                    total[i, j, k] += share * min(distance, truncation)
                    weight[i, j, k] += share


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def gather_colours(view, vertices, normals, tolerance, sums) -> None:
    """Add the colours that one view sees of the vertices.

    Args:
        view: depth (H, W), trust (H, W), sRGB (H, W, 3), all float32; camera_from_world (4, 4) and intrinsics (4,).
        vertices: (V, 3) float64, world.
        normals: (V, 3) float64, unit.
        tolerance: metres by which a vertex may lie behind the depth image and yet be seen.
        sums: (V, 3) weighted colours and (V,) weights, float32, updated.
    """
    depth, trust, rgb, pose, lens = view
    total, weight = sums
    height, width = depth.shape
    centre = -(np.ascontiguousarray(pose[:3, :3].T) @ np.ascontiguousarray(pose[:3, 3]))
    for n in prange(len(vertices)):
        px, py, pz = vertices[n]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if z <= 1e-6:
            continue
        u = (pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]) / z * lens[0] + lens[2]
        v = (pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]) / z * lens[1] + lens[3]
        if not (0 <= u < width and 0 <= v < height):
            continue
        column, row = int(u), int(v)
        if trust[row, column] <= 0 or abs(depth[row, column] - z) > tolerance:
            continue
        rx, ry, rz = centre[0] - px, centre[1] - py, centre[2] - pz
        cosine = (normals[n, 0] * rx + normals[n, 1] * ry + normals[n, 2] * rz) / np.sqrt(rx * rx + ry * ry + rz * rz)
        if cosine > 0.1:
            share = cosine**4
            weight[n] += share
            for channel in range(3):
                total[n, channel] += share * rgb[row, column, channel]
