"""Steps of rays through an occupancy grid: counted first, so that they can then be written in parallel.

Everywhere `origins` and `directions` are (R, 3), `near`, `far`, `shift` and `times` (R,), all float64 and contiguous;
`occupied` is (T, X, Y, Z) bool over the cube [-bound, bound]³.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True, error_model="numpy")
def _cell(origin, direction, along, bound, resolution):
    scaled = ((origin + along * direction) / bound + 1.0) * (resolution / 2)
    return min(max(np.int64(scaled), 0), resolution - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _is_occupied(origin, direction, near, far, low, step, occupied, time_bin, bound):
    along = (max(low, near) + min(low + step, far)) / 2
    resolution = occupied.shape[1]
    x = _cell(origin[0], direction[0], along, bound, resolution)
    y = _cell(origin[1], direction[1], along, bound, resolution)
    z = _cell(origin[2], direction[2], along, bound, resolution)
    return occupied[time_bin, x, y, z]


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(origin, direction, near, far, shift, time, step, occupied, bound, kept, start):
    """Number of occupied steps; written to `kept` from `start` on, unless that is negative."""
    if not far > near:
        return 0
    time_bin = min(max(np.int64(time * len(occupied)), 0), len(occupied) - 1)
    found = 0
    for index in range(np.int64(np.ceil((far - near) / step + shift))):
        low = near + (index - shift) * step
        if _is_occupied(origin, direction, near, far, low, step, occupied, time_bin, bound):
            if start >= 0:
                kept[start + found] = index
            found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def count_steps(origins, directions, near, far, shift, times, step, occupied, bound, counts):
    """Number of occupied steps of every ray, into `counts` (R,)."""
    nowhere = np.empty(0, np.int64)
    for r in prange(len(near)):
        counts[r] = _walk(
            origins[r], directions[r], near[r], far[r], shift[r], times[r], step, occupied, bound, nowhere, -1
        )


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def write_steps(origins, directions, near, far, shift, times, step, occupied, bound, starts, kept):
    """Numbers of the occupied steps, into `kept` (M,); those of ray r from `starts[r]` on."""
    for r in prange(len(near)):
        _walk(origins[r], directions[r], near[r], far[r], shift[r], times[r], step, occupied, bound, kept, starts[r])
