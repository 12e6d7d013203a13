"""Kernel of openness: how many rays from points of a surface get away, through a balanced tree of triangles.

The nodes lie in heap order, the children of node n being 2n + 1 and 2n + 2; the leaves hold equally many triangles.
"""

import numpy as np
from numba import prange

from a4d.geometry.surfaces.vector_kernels import corners, cross, dot, less, row
from a4d.kernel_cache import njit

GRAZING = 0.1
"""Cosine to the normal below which a ray runs along the surface and says nothing of it."""


@njit(cache=True, error_model="numpy", nogil=True)
def _misses_box(point, direction, low, high, node) -> bool:
    """Whether a ray passes a node's box by."""
    first, last = 0.0, np.inf
    for axis in range(3):
        # A component of 0 gives infinities, which compare as they should.
        a = (low[node, axis] - point[axis]) / direction[axis]
        b = (high[node, axis] - point[axis]) / direction[axis]
        first, last = max(first, min(a, b)), min(last, max(a, b))
    return first > last


@njit(cache=True, error_model="numpy", nogil=True)
def _hits_triangle(point, direction, a, b, c) -> bool:
    """Whether a ray meets a triangle, from either side (Möller and Trumbore 1997)."""
    u, v, to_point = less(b, a), less(c, a), less(point, a)
    across, around = cross(direction, v), cross(to_point, u)
    determinant = dot(u, across)
    if abs(determinant) < 1e-300:
        return False
    first, second = dot(to_point, across) / determinant, dot(direction, around) / determinant
    return first >= 0 and second >= 0 and first + second <= 1 and dot(v, around) / determinant > 0


@njit(cache=True, error_model="numpy", nogil=True)
def _gets_away(point, direction, triangles, first_leaf, low, high, stack) -> bool:
    """Whether a ray meets no triangle at all."""
    leaf_size = len(triangles) // (first_leaf + 1)
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _misses_box(point, direction, low, high, node):
            continue
        if node < first_leaf:
            stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node + 2
            depth += 2
            continue
        start = (node - first_leaf) * leaf_size
        for index in range(start, start + leaf_size):
            a, b, c = corners(triangles, index)
            if _hits_triangle(point, direction, a, b, c):
                return False
    return True


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def shares_of_open_rays(points, normals, directions, triangles, boxes, shares) -> None:
    """Of the rays that leave points of a surface to its outside, the share that meets nothing.

    Args:
        points: (N, 3) float64, a little off the surface.
        normals: (N, 3) float64, unit.
        directions: (D, 3) float64, unit.
        triangles: (L K, 3, 3) float64, K for each of the L leaves, L a power of two.
        boxes: low (2L-1, 3) and high (2L-1, 3) corners of the nodes.
        shares: (N,) float64, filled.
    """
    low, high = boxes
    first_leaf = len(low) // 2
    for index in prange(len(points)):
        stack = np.empty(64, np.int64)
        sent, away = 0, 0
        point, normal = row(points, index), row(normals, index)
        for ray in range(len(directions)):
            direction = row(directions, ray)
            if dot(direction, normal) > GRAZING:
                sent += 1
                away += _gets_away(point, direction, triangles, first_leaf, low, high, stack)
        shares[index] = away / sent if sent > 0 else 0.0
