"""The kernel that cuts polygons into triangles, ear by ear."""

import numpy as np

from a4d.kernel_cache import njit


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _turn(points, a, b, c) -> float:
    """Twice the signed area of a triangle."""
    return (points[b, 0] - points[a, 0]) * (points[c, 1] - points[a, 1]) - (points[c, 0] - points[a, 0]) * (
        points[b, 1] - points[a, 1]
    )


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _is_same(points, a, b) -> bool:
    return points[a, 0] == points[b, 0] and points[a, 1] == points[b, 1]


@njit(cache=True, error_model="numpy", nogil=True)
def _is_ear(points, before, after, tip, flat) -> bool:
    """Whether a corner is convex and nothing of the outline lies in the triangle that cutting it off would take."""
    a, c = before[tip], after[tip]
    if _turn(points, a, tip, c) <= flat:
        return False
    p = after[c]
    while p != a:
        # Only corners that are not convex can be the first to reach into the triangle.
        if (
            _turn(points, a, tip, p) >= -flat
            and _turn(points, tip, c, p) >= -flat
            and _turn(points, c, a, p) >= -flat
            and _turn(points, before[p], p, after[p]) <= flat
            and not (_is_same(points, p, a) or _is_same(points, p, tip) or _is_same(points, p, c))
        ):
            return False
        p = after[p]
    return True


@njit(cache=True, error_model="numpy", nogil=True)
def _cut_one(points, first, count, flat, before, after, triangles, filled) -> int:
    """Cut the polygon of the points `first` to `first + count`; the number of triangles after it."""
    for i in range(first, first + count):
        before[i], after[i] = i - 1, i + 1
    before[first], after[first + count - 1] = first + count - 1, first
    left, tip, tried = count, first, 0
    while left > 2 and tried <= 3 * left:
        # Where no ear is left, the outline touches or crosses itself: what has no area is dropped, then any convex
        # corner is cut.
        is_flat = tried > left and abs(_turn(points, before[tip], tip, after[tip])) <= flat
        is_forced = tried > 2 * left and _turn(points, before[tip], tip, after[tip]) > flat
        is_cut = is_forced or _is_ear(points, before, after, tip, flat)
        if _is_same(points, tip, after[tip]) or is_flat or is_cut:
            if is_cut:
                triangles[filled, 0], triangles[filled, 1], triangles[filled, 2] = before[tip], tip, after[tip]
                filled += 1
            after[before[tip]], before[after[tip]] = after[tip], before[tip]
            left, tried = left - 1, 0
            # Passing over the next corner spreads the triangles rather than making a fan of slivers.
            tip = after[after[tip]]
        else:
            tip, tried = after[tip], tried + 1
    return filled


@njit(cache=True, error_model="numpy", nogil=True)
def cut_ears(points, counts, flats, triangles) -> int:
    """Cut polygons that need not be convex.

    Args:
        points: (C, 2) float64 outlines one after the other, counter-clockwise.
        counts: (P,) int64 corners of each, summing to C.
        flats: (P,) float64 twice the area at or below which three corners of each count as a line.
        triangles: (at least C - 2 P, 3) int64 indices of points, filled from the front.

    Returns:
        How many were filled: C - 2 P, or less where an outline repeats points or has parts without area.
    """
    before, after = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
    first, filled = 0, 0
    for polygon in range(len(counts)):
        filled = _cut_one(points, first, counts[polygon], flats[polygon], before, after, triangles, filled)
        first += counts[polygon]
    return filled
