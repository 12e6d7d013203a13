"""Kernels of signed distances: nearest point and winding number through a balanced tree of triangles.

The nodes lie in heap order, the children of node n being 2n + 1 and 2n + 2; the leaves hold equally many triangles.
"""

import numpy as np
from numba import prange

from a4d.geometry.surfaces.vector_kernels import along, corners, dot, less, row
from a4d.kernel_cache import njit

OPENING = 2.5
"""A node farther away than so many of its radii counts as one dipole."""


@njit(cache=True, error_model="numpy", nogil=True)
def _squared_to_segment(q, a, b) -> float:
    """Squared distance of a point to the segment between two others."""
    side, to_point = less(b, a), less(q, a)
    length = dot(side, side)
    share = min(max(dot(to_point, side) / length, 0.0), 1.0) if length > 0 else 0.0
    rest = less(to_point, along((0.0, 0.0, 0.0), side, share))
    return dot(rest, rest)


@njit(cache=True, error_model="numpy", nogil=True)
def _squared_to_triangle(q, a, b, c) -> float:
    """Squared distance of a point to a triangle; one without area is its sides."""
    u, v, to_point = less(b, a), less(c, a), less(q, a)
    uu, uv, vv = dot(u, u), dot(u, v), dot(v, v)
    pu, pv = dot(to_point, u), dot(to_point, v)
    determinant = uu * vv - uv * uv
    if determinant > 1e-12 * uu * vv:
        s, t = (vv * pu - uv * pv) / determinant, (uu * pv - uv * pu) / determinant
        if s >= 0 and t >= 0 and s + t <= 1:
            rest = less(to_point, along(along((0.0, 0.0, 0.0), u, s), v, t))
            return dot(rest, rest)
    return min(_squared_to_segment(q, a, b), _squared_to_segment(q, b, c), _squared_to_segment(q, c, a))


@njit(cache=True, error_model="numpy", nogil=True)
def _squared_to_box(q, low, high, node) -> float:
    """Squared distance of a point to a node's box, 0 inside."""
    below, above = less(row(low, node), q), less(q, row(high, node))
    x, y, z = max(below[0], above[0], 0.0), max(below[1], above[1], 0.0), max(below[2], above[2], 0.0)
    return x * x + y * y + z * z


@njit(cache=True, error_model="numpy", nogil=True)
def _solid_angle(q, a, b, c) -> float:
    """Twice the tangent's argument of Van Oosterom and Strackee (1983); positive seen from the triangle's back."""
    a, b, c = less(a, q), less(b, q), less(c, q)
    la, lb, lc = np.sqrt(dot(a, a)), np.sqrt(dot(b, b)), np.sqrt(dot(c, c))
    volume = (
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    return 2 * np.arctan2(volume, la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb)


@njit(cache=True, error_model="numpy", nogil=True)
def _nearest(q, triangles, first_leaf, low, high, stack) -> tuple[float, int]:
    """Squared distance to the nearest triangle, and its index."""
    leaf_size = len(triangles) // (first_leaf + 1)
    best, nearest = np.inf, -1
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _squared_to_box(q, low, high, node) >= best:
            continue
        if node >= first_leaf:
            start = (node - first_leaf) * leaf_size
            for index in range(start, start + leaf_size):
                a, b, c = corners(triangles, index)
                squared = _squared_to_triangle(q, a, b, c)
                if squared < best:
                    best, nearest = squared, index
            continue
        left, right = 2 * node + 1, 2 * node + 2
        if _squared_to_box(q, low, high, left) < _squared_to_box(q, low, high, right):
            left, right = right, left
        stack[depth], stack[depth + 1] = left, right
        depth += 2
    return best, nearest


@njit(cache=True, error_model="numpy", nogil=True)
def _winding_number(q, triangles, first_leaf, centres, radii, moments, stack) -> float:
    """How often the surface goes around a point; distant nodes count as dipoles (Barill et al. 2018)."""
    leaf_size = len(triangles) // (first_leaf + 1)
    total = 0.0
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        offset = less(row(centres, node), q)
        squared = dot(offset, offset)
        if squared > (OPENING * radii[node]) ** 2:
            total += dot(offset, row(moments, node)) / (squared * np.sqrt(squared))
        elif node >= first_leaf:
            start = (node - first_leaf) * leaf_size
            for index in range(start, start + leaf_size):
                a, b, c = corners(triangles, index)
                total += _solid_angle(q, a, b, c)
        else:
            stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node + 2
            depth += 2
    return total / (4 * np.pi)


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def signed_distances(points, triangles, boxes, dipoles, distances) -> None:
    """Distances to the nearest triangle, negative where the winding number is nearer to ±1 than to 0.

    Args:
        points: (N, 3) float64.
        triangles: (L K, 3, 3) float64, K for each of the L leaves, L a power of two.
        boxes: low (2L-1, 3) and high (2L-1, 3) corners of the nodes.
        dipoles: centres (2L-1, 3), radii (2L-1,) and summed area vectors (2L-1, 3) of the nodes.
        distances: (N,) float64, filled.
    """
    low, high = boxes
    centres, radii, moments = dipoles
    first_leaf = len(radii) // 2
    for index in prange(len(points)):
        stack = np.empty(64, np.int64)
        point = row(points, index)
        distance = np.sqrt(_nearest(point, triangles, first_leaf, low, high, stack)[0])
        winding = _winding_number(point, triangles, first_leaf, centres, radii, moments, stack)
        distances[index] = -distance if abs(winding) > 0.5 else distance


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def nearest_triangles(points, triangles, boxes, distances, nearest) -> None:
    """Distances to the nearest triangle, and which it is.

    Args:
        points: (N, 3) float64.
        triangles: (L K, 3, 3) float64, K for each of the L leaves, L a power of two.
        boxes: low (2L-1, 3) and high (2L-1, 3) corners of the nodes.
        distances: (N,) float64, filled.
        nearest: (N,) int64, filled with rows of triangles.
    """
    low, high = boxes
    first_leaf = len(low) // 2
    for index in prange(len(points)):
        stack = np.empty(64, np.int64)
        squared, found = _nearest(row(points, index), triangles, first_leaf, low, high, stack)
        distances[index] = np.sqrt(squared)
        nearest[index] = found
