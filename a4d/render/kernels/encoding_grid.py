"""Multi-resolution grid interpolation and its two gradients, in 2 to 4 dimensions.

Points are taken in chunks that keep a level's table in cache, and within a chunk in strips whose corner entries and
weights are built by vector instructions in scratch arrays of the first-level cache. Indices are unsigned: signed ones
may be negative to the compiler, which then emits wrap-around code and no vector instructions.

Everywhere `positions` is (N, D) in [0, 1], `table` and its gradient are (entries, F), `levels` are the (L,) records of
a layout, `level_weights` is (L,), and encoded features and their gradient are (N, L * F); floats are single precision,
arrays contiguous. `channels` is a tuple of F zeros: its type carries F, so that loops over the features are unrolled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from a4d.kernel_cache import njit

CHUNK = 4096
STRIP = 256

# Sums may be reordered and fused with products; infinities and NaNs keep their meaning.
RELAXED = {"reassoc", "contract"}

U32, U64, F32 = np.uint32, np.uint64, np.float32

Arrays = tuple[NDArray[Any], ...]


@njit(cache=True, nogil=True, error_model="numpy")
def _locate_on_axis(column, scale, last, multiplier, smooth, terms, factors, slopes) -> None:
    """Along one axis and for both sides of a point's cell: index term, weight, and the weight's derivative."""
    # In double precision the product of two single ones is exact: every backend finds the same cell and fraction.
    exact_scale = np.float64(scale)
    for b in range(U64(len(column))):
        scaled = column[b] * exact_scale + 0.5
        cell = np.int32(scaled)
        terms[0, b] = U32(cell)
        factors[1, b] = F32(scaled - np.float64(cell))
    for b in range(U64(len(column))):
        term = U32(min(terms[0, b], last) * multiplier)  # a NaN has no cell, but must not leave the table
        terms[0, b] = term
        terms[1, b] = U32(term + multiplier)
    for b in range(U64(len(column))):
        fraction, slope = factors[1, b], F32(1.0)
        if smooth:
            slope = F32(6.0) * fraction * (F32(1.0) - fraction)
            fraction = fraction * fraction * (F32(3.0) - F32(2.0) * fraction)
        factors[0, b] = F32(1.0) - fraction
        factors[1, b] = fraction
        slopes[0, b] = -slope * scale
        slopes[1, b] = slope * scale


@njit(cache=True, nogil=True, error_model="numpy")
def _locate(columns, start, count, level, smooth, terms, factors, slopes) -> None:
    """Cell and fraction of each point: per axis and side, its index term, its weight and the weight's derivative."""
    last = U32(level.resolution - U32(1))
    for axis in range(U64(columns.shape[0])):
        # A function of its own, given plain numbers: only then are its loops vectorised.
        column = columns[axis, start : start + count]
        multiplier = level.multipliers[axis]
        _locate_on_axis(column, level.scale, last, multiplier, smooth, terms[axis], factors[axis], slopes[axis])


@njit(cache=True, nogil=True, error_model="numpy")
def _corner_entries(terms, count, level, entries) -> None:
    """The table entry of each corner; bit d of a corner's number is its side on axis d."""
    for b in range(U64(count)):
        entries[0, b] = terms[0, 0, b]
        entries[1, b] = terms[0, 1, b]
    for axis in range(U64(1), U64(terms.shape[0])):
        corners = U64(1) << axis
        for corner in range(corners):
            if level.hashed:
                for b in range(U64(count)):
                    entries[corner + corners, b] = entries[corner, b] ^ terms[axis, 1, b]
                    entries[corner, b] = entries[corner, b] ^ terms[axis, 0, b]
            else:
                for b in range(U64(count)):
                    entries[corner + corners, b] = U32(entries[corner, b] + terms[axis, 1, b])
                    entries[corner, b] = U32(entries[corner, b] + terms[axis, 0, b])
    first, size, mask = U32(level.offset), level.size, level.mask
    for corner in range(U64(entries.shape[0])):
        for b in range(U64(count)):
            entry = entries[corner, b] & mask
            entries[corner, b] = U32(first + (U32(entry - size) if entry >= size else entry))


@njit(cache=True, nogil=True, error_model="numpy")
def _corner_weights(factors, count, weights) -> None:
    """The product over the axes of each corner's factors."""
    for b in range(U64(count)):
        weights[0, b] = factors[0, 0, b]
        weights[1, b] = factors[0, 1, b]
    for axis in range(U64(1), U64(factors.shape[0])):
        corners = U64(1) << axis
        for corner in range(corners):
            for b in range(U64(count)):
                weights[corner + corners, b] = weights[corner, b] * factors[axis, 1, b]
                weights[corner, b] = weights[corner, b] * factors[axis, 0, b]


@njit(cache=True, nogil=True, error_model="numpy")
def _scratch(dimensions, channels) -> tuple[Arrays, Arrays, NDArray[np.float32]]:
    """Index terms, factors and slopes per axis and side; entries and weights per corner; a value per feature."""
    sides = (dimensions, 2, STRIP)
    corners = (1 << dimensions, STRIP)
    per_axis = np.empty(sides, U32), np.empty(sides, F32), np.empty(sides, F32)
    return per_axis, (np.empty(corners, U32), np.empty(corners, F32)), np.empty((len(channels), STRIP), F32)


@njit(cache=True, nogil=True, error_model="numpy")
def _transpose(positions, start, end, columns) -> None:
    """Copy positions of a chunk, one row per axis."""
    for axis in range(U64(positions.shape[1])):
        for point in range(U64(start), U64(end)):
            columns[axis, point - U64(start)] = positions[point, axis]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _gather(table, entries, weights, count, channels, sums) -> None:
    """Sum of the corners' features by their weights."""
    sums[:] = F32(0.0)
    for corner in range(U64(entries.shape[0])):
        for b in range(U64(count)):
            weight, entry = weights[corner, b], U64(entries[corner, b])
            for channel in range(U64(len(channels))):
                sums[channel, b] += weight * table[entry, channel]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _scatter(values, entries, weights, count, channels, table) -> None:
    """Add values to the corners' features by their weights; the transpose of `_gather`."""
    for corner in range(U64(entries.shape[0])):
        for b in range(U64(count)):
            weight, entry = weights[corner, b], U64(entries[corner, b])
            for channel in range(U64(len(channels))):
                table[entry, channel] += weight * values[channel, b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _corner_products(values, table, entries, count, channels, products) -> None:
    """Inner product of values with the features of each corner."""
    for corner in range(U64(entries.shape[0])):
        for b in range(U64(count)):
            entry, total = U64(entries[corner, b]), F32(0.0)
            for channel in range(U64(len(channels))):
                total += values[channel, b] * table[entry, channel]
            products[corner, b] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _read_level(gradient, start, count, level, level_weight, channels, values) -> None:
    """One level's part of the gradient of encoded features, times its weight, one row per channel."""
    first = U64(level) * U64(len(channels))
    for b in range(U64(count)):
        for channel in range(U64(len(channels))):
            values[channel, b] = level_weight * gradient[start + b, first + channel]


@njit(cache=True, nogil=True, error_model="numpy")
def _write_level(sums, start, count, level, level_weight, channels, encoded) -> None:
    """One level's features, times its weight, into the encoded ones."""
    first = U64(level) * U64(len(channels))
    for b in range(U64(count)):
        for channel in range(U64(len(channels))):
            encoded[start + b, first + channel] = level_weight * sums[channel, b]


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def encode(positions, table, levels, level_weights, smooth, channels, encoded) -> None:
    """Interpolated features, into `encoded`; a level of weight 0 is filled with zeros."""
    N, D = positions.shape
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        (terms, factors, slopes), (entries, weights), sums = _scratch(D, channels)
        columns = np.empty((D, CHUNK), F32)
        begin, end = U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))
        _transpose(positions, begin, end, columns)
        for level in range(len(levels)):
            for start in range(begin, end, U64(STRIP)):
                count = min(U64(STRIP), end - start)
                sums[:] = F32(0.0)
                if level_weights[level] != F32(0.0):
                    _locate(columns, start - begin, count, levels[level], smooth, terms, factors, slopes)
                    _corner_entries(terms, count, levels[level], entries)
                    _corner_weights(factors, count, weights)
                    _gather(table, entries, weights, count, channels, sums)
                _write_level(sums, start, count, level, level_weights[level], channels, encoded)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_table(positions, levels, level_weights, smooth, channels, gradient, workers, table_gradient) -> None:
    """Add the table's gradient to `table_gradient`.

    A level's entries belong to one worker, so that no two threads add to one number: there are no atomics, and the sums
    are the same, in the same order, however many workers there are.
    """
    N, D = positions.shape
    for worker in prange(workers):
        (terms, factors, slopes), (entries, weights), values = _scratch(D, channels)
        columns = np.empty((D, CHUNK), F32)
        for begin in range(U64(0), U64(N), U64(CHUNK)):
            end = min(U64(N), begin + U64(CHUNK))
            _transpose(positions, begin, end, columns)
            for level in range(worker, len(levels), workers):
                if level_weights[level] == F32(0.0):
                    continue
                for start in range(begin, end, U64(STRIP)):
                    count = min(U64(STRIP), end - start)
                    _locate(columns, start - begin, count, levels[level], smooth, terms, factors, slopes)
                    _corner_entries(terms, count, levels[level], entries)
                    _corner_weights(factors, count, weights)
                    _read_level(gradient, start, count, level, level_weights[level], channels, values)
                    _scatter(values, entries, weights, count, channels, table_gradient)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_slopes(products, factors, slopes, count, weights, sums, first) -> None:
    """Along an axis the weights' derivative is the product with that axis' factors replaced by their slopes."""
    for axis in range(U64(factors.shape[0])):
        kept = factors[axis].copy()
        factors[axis] = slopes[axis]
        _corner_weights(factors, count, weights)
        factors[axis] = kept
        for corner in range(U64(weights.shape[0])):
            for b in range(U64(count)):
                sums[axis, first + b] += weights[corner, b] * products[corner, b]


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_positions(positions, table, levels, level_weights, smooth, channels, gradient, position_gradient) -> None:
    """The positions' gradient (N, D), into `position_gradient`."""
    N, D = positions.shape
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        (terms, factors, slopes), (entries, weights), values = _scratch(D, channels)
        products, sums, columns = np.empty_like(weights), np.zeros((D, CHUNK), F32), np.empty((D, CHUNK), F32)
        begin, end = U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))
        _transpose(positions, begin, end, columns)
        for level in range(len(levels)):
            if level_weights[level] == F32(0.0):
                continue
            for start in range(begin, end, U64(STRIP)):
                count = min(U64(STRIP), end - start)
                _locate(columns, start - begin, count, levels[level], smooth, terms, factors, slopes)
                _corner_entries(terms, count, levels[level], entries)
                _read_level(gradient, start, count, level, level_weights[level], channels, values)
                _corner_products(values, table, entries, count, channels, products)
                _add_slopes(products, factors, slopes, count, weights, sums, start - begin)
        for point in range(begin, end):
            for axis in range(U64(D)):
                position_gradient[point, axis] = sums[axis, point - begin]
