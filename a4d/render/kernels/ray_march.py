"""Steps of rays through an occupancy grid: counted first, so that they can then be written in parallel.

Everywhere `rays` is (R, 10) float64: origin, direction, near, far, shift and time; `occupied` is (T, X, Y, Z) bool over
the cube [-bound, bound]³.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from a4d.kernel_cache import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _cell(ray, axis, along, bound, resolution) -> int:
    """The cell along an axis in which a place on a ray lies."""
    scaled = ((ray[axis] + along * ray[3 + axis]) / bound + 1.0) * (resolution / 2)
    return min(max(np.int64(scaled), 0), resolution - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _is_occupied(ray, along, occupied, bound) -> bool:
    """Whether the cell of a place on a ray is occupied at its time."""
    bins, resolution = occupied.shape[:2]
    time_bin = min(max(np.int64(ray[9] * bins), 0), bins - 1)
    x = _cell(ray, 0, along, bound, resolution)
    y = _cell(ray, 1, along, bound, resolution)
    z = _cell(ray, 2, along, bound, resolution)
    return occupied[time_bin, x, y, z]


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(ray, step, occupied, bound, kept, start) -> int:
    """Number of occupied steps; written to `kept` from `start` on, unless that is negative."""
    near, far, shift = ray[6], ray[7], ray[8]
    found = 0
    if not far > near:
        return found
    for index in range(np.int64(np.ceil((far - near) / step + shift))):
        low = near + (index - shift) * step
        if _is_occupied(ray, (max(low, near) + min(low + step, far)) / 2, occupied, bound):
            if start >= 0:
                kept[start + found] = index
            found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def count_steps(rays, step, occupied, bound, counts) -> None:
    """Number of occupied steps of every ray, into `counts` (R,)."""
    nowhere = np.empty(0, np.int64)
    for r in prange(len(rays)):
        counts[r] = _walk(rays[r], step, occupied, bound, nowhere, -1)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def write_steps(rays, step, occupied, bound, starts, kept) -> None:
    """Numbers of the occupied steps, into `kept` (M,); those of ray r from `starts[r]` on."""
    for r in prange(len(rays)):
        _walk(rays[r], step, occupied, bound, kept, starts[r])
