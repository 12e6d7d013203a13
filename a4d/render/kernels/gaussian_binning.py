"""Sorting splats by depth and into the tiles of the image they overlap.

The order of the pairs of tile and splat is the same for any number of threads.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from a4d.kernel_cache import njit
from a4d.render.kernels.gaussian_splats import DEPTH

UNSIGNED = np.uint64
RADIX_BITS = np.uint32(11)
RADIX = 1 << 11
OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}


@njit(**OPTIONS)
def scatter_by_digit(items, keys, shift, sorted_items) -> None:
    """One stable pass of a radix sort: copy items to where the digit of their key at `shift` puts them."""
    starts = np.zeros(RADIX + 1, np.int64)
    mask = np.uint32(RADIX - 1)
    for item in items:
        starts[UNSIGNED((keys[UNSIGNED(item)] >> shift) & mask) + UNSIGNED(1)] += 1
    for digit in range(RADIX):
        starts[digit + 1] += starts[digit]
    for item in items:
        digit = UNSIGNED((keys[UNSIGNED(item)] >> shift) & mask)
        sorted_items[UNSIGNED(starts[digit])] = item
        starts[digit] += 1


@njit(**OPTIONS)
def sort_by_depth(splats, tile_counts) -> NDArray[np.int32]:
    """The visible splats, nearest first; equal depths keep their order.

    Args:
        splats: (N, 16).
        tile_counts: (N,) int32, 0 for splats that are not visible.

    Returns:
        (V,) int32 indices.
    """
    number = len(tile_counts)
    depths = np.empty(number, np.float32)
    visible = np.empty(number, np.int32)
    count = 0
    for i in range(number):
        if tile_counts[i] > 0:
            depths[i] = splats[i, DEPTH]
            visible[count] = i
            count += 1
    first, second = visible[:count], np.empty(count, np.int32)
    # The bits of positive floats sort as the floats do.
    keys = depths.view(np.uint32)
    scatter_by_digit(first, keys, np.uint32(0), second)
    scatter_by_digit(second, keys, RADIX_BITS, first)
    scatter_by_digit(first, keys, RADIX_BITS + RADIX_BITS, second)
    return second


@njit(**OPTIONS)
def rectangle(tile_rectangles, splat) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """The bounds of a splat's tiles, as unsigned numbers to index with."""
    row = tile_rectangles[UNSIGNED(splat)]
    return UNSIGNED(row[0]), UNSIGNED(row[1]), UNSIGNED(row[2]), UNSIGNED(row[3])


@njit(parallel=True, **OPTIONS)
def bin_splats(
    order, tile_rectangles, tile_counts, columns, rows, threads
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """List the splats of each tile, nearest first, by a counting sort.

    Every thread counts, then places, a contiguous share of the depth order.

    Args:
        order: (V,) from `sort_by_depth`.
        tile_rectangles: (N, 4) int32.
        tile_counts: (N,) int32.
        columns: tiles in a row.
        rows: tiles in a column.
        threads: shares of the work.

    Returns:
        (tiles + 1,) int64 where each tile's pairs begin; (P,) int32 the splat of each pair;
        (N + 1,) int64 where each splat's entries begin in the next; (P,) int32 the pairs of each splat.
    """
    number, tiles = len(tile_counts), columns * rows
    splat_starts = np.zeros(number + 1, np.int64)
    for i in range(number):
        splat_starts[i + 1] = splat_starts[i] + tile_counts[i]
    pairs = splat_starts[number]

    share = (len(order) + threads - 1) // threads
    places = np.zeros((threads, tiles), np.int64)
    for thread in prange(threads):
        for k in range(min(thread * share, len(order)), min((thread + 1) * share, len(order))):
            left, top, right, bottom = rectangle(tile_rectangles, order[k])
            for row in range(top, bottom):
                for column in range(left, right):
                    places[thread, row * UNSIGNED(columns) + column] += 1
    tile_starts = np.empty(tiles + 1, np.int64)
    place = 0
    for tile in range(tiles):
        tile_starts[tile] = place
        for thread in range(threads):
            count = places[thread, tile]
            places[thread, tile] = place
            place += count
    tile_starts[tiles] = place

    pair_splats, splat_pairs = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    for thread in prange(threads):
        for k in range(min(thread * share, len(order)), min((thread + 1) * share, len(order))):
            splat = order[k]
            entry = UNSIGNED(splat_starts[splat])
            left, top, right, bottom = rectangle(tile_rectangles, splat)
            for row in range(top, bottom):
                for column in range(left, right):
                    tile = row * UNSIGNED(columns) + column
                    pair = places[thread, tile]
                    places[thread, tile] = pair + 1
                    pair_splats[UNSIGNED(pair)] = splat
                    splat_pairs[entry] = pair
                    entry += UNSIGNED(1)
    return tile_starts, pair_splats, splat_starts, splat_pairs


@njit(parallel=True, **OPTIONS)
def gather_pairs(splat_starts, splat_pairs, pair_gradients, splat_gradients) -> None:
    """Sum the gradients of each splat over its tiles, in the order of the tiles.

    Args:
        splat_starts: (N + 1,) from `bin_splats`.
        splat_pairs: (P,) from `bin_splats`.
        pair_gradients: (P, 10 + C).
        splat_gradients: (N, 10 + C), written.
    """
    columns = pair_gradients.shape[1]
    for splat in prange(len(splat_starts) - 1):
        total = splat_gradients[splat]
        total[:] = np.float32(0)
        for entry in range(UNSIGNED(splat_starts[splat]), UNSIGNED(splat_starts[splat + 1])):
            part = pair_gradients[UNSIGNED(splat_pairs[entry])]
            for column in range(UNSIGNED(10)):
                total[column] += part[column]
            for column in range(UNSIGNED(10), UNSIGNED(columns)):
                total[column] += part[column]
