"""Multi-resolution grid interpolation and its two gradients, in 2 to 4 dimensions.

Points are taken in chunks that keep a level's table in cache, and within a chunk in strips whose corner indices and
weights are built by vector instructions in scratch arrays of the first-level cache. Indices are unsigned: signed ones
may be negative to the compiler, which then emits wrap-around code and no vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit, prange

CHUNK = 4096
STRIP = 256

RELAXED = {"reassoc", "contract", "nsz", "arcp"}

U32, U64, F32 = np.uint32, np.uint64, np.float32


class GridKernels(NamedTuple):
    """The compiled functions for one number of features per entry; see `grid_kernels`."""

    forward: Callable[..., None]
    backward_table: Callable[..., None]
    backward_positions: Callable[..., None]


@njit(cache=True, nogil=True, error_model="numpy")
def _locate(positions, start, count, level, smooth, terms, factors, slopes):
    """Cell and fraction of each point: per axis and side, its index term, its weight and the weight's derivative."""
    # In double precision the product of two single ones is exact: every backend finds the same cell and fraction.
    scale = np.float64(level.scale)
    last = U32(level.resolution - U32(1))
    for axis in range(U64(positions.shape[1])):
        multiplier = level.multipliers[axis]
        for b in range(U64(count)):
            scaled = positions[start + b, axis] * scale + 0.5
            cell = min(U32(np.int32(scaled)), last)  # a NaN has no cell, but must not leave the table
            fraction = F32(scaled - np.float64(np.int32(cell)))
            slope = F32(1.0)
            if smooth:
                slope = F32(6.0) * fraction * (F32(1.0) - fraction)
                fraction = fraction * fraction * (F32(3.0) - F32(2.0) * fraction)
            term = U32(cell * multiplier)
            terms[axis, 0, b] = term
            terms[axis, 1, b] = U32(term + multiplier)
            factors[axis, 0, b] = F32(1.0) - fraction
            factors[axis, 1, b] = fraction
            slopes[axis, 0, b] = -slope * level.scale
            slopes[axis, 1, b] = slope * level.scale


@njit(cache=True, nogil=True, error_model="numpy")
def _corner_entries(terms, count, level, entries):
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
def _corner_weights(factors, count, weights):
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


@cache
def grid_kernels(features: int) -> GridKernels:
    """Compiled kernels for a number of features per entry, which they must know to unroll over it.

    `positions` is (N, D) in [0, 1]; `table` and its gradient are (entries, features); `levels` are the (L,) records of
    a layout; `level_weights` is (L,), and a level of weight 0 is skipped; encoded features and their gradient are
    (N, L * features). All floats are single precision, all arrays contiguous. Outputs are overwritten, except that
    entries no point touches keep their gradient: hand in zeros.
    """
    options = {"parallel": True, "fastmath": RELAXED, "cache": True, "error_model": "numpy", "nogil": True}

    @njit(**options)
    def forward(positions, table, levels, level_weights, smooth, encoded):
        N, D = positions.shape
        for chunk in prange((N + CHUNK - 1) // CHUNK):
            terms, factors, slopes = (
                np.empty((D, 2, STRIP), U32),
                np.empty((D, 2, STRIP), F32),
                np.empty((D, 2, STRIP), F32),
            )
            entries, weights = np.empty((1 << D, STRIP), U32), np.empty((1 << D, STRIP), F32)
            sums = np.empty((features, STRIP), F32)
            for level in range(U64(len(levels))):
                channel = U64(level * U64(features))
                for start in range(U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK)), U64(STRIP)):
                    count = min(U64(STRIP), U64(N) - start)
                    sums[:] = F32(0.0)
                    if level_weights[level] != F32(0.0):
                        _locate(positions, start, count, levels[level], smooth, terms, factors, slopes)
                        _corner_entries(terms, count, levels[level], entries)
                        _corner_weights(factors, count, weights)
                        for corner in range(U64(1) << U64(D)):
                            for b in range(count):
                                weight, entry = weights[corner, b], U64(entries[corner, b])
                                for feature in range(U64(features)):
                                    sums[feature, b] += weight * table[entry, feature]
                    for b in range(count):
                        for feature in range(U64(features)):
                            encoded[start + b, channel + feature] = level_weights[level] * sums[feature, b]

    @njit(**options)
    def backward_table(positions, levels, level_weights, smooth, gradient, table_gradient, workers):
        # A level's entries belong to one worker, so that no two add to one number: no atomics, and the same sums in
        # the same order however many workers there are.
        N, D = positions.shape
        for worker in prange(workers):
            terms, factors, slopes = (
                np.empty((D, 2, STRIP), U32),
                np.empty((D, 2, STRIP), F32),
                np.empty((D, 2, STRIP), F32),
            )
            entries, weights = np.empty((1 << D, STRIP), U32), np.empty((1 << D, STRIP), F32)
            for chunk in range(U64(0), U64(N), U64(CHUNK)):
                for level in range(U64(worker), U64(len(levels)), U64(workers)):
                    if level_weights[level] == F32(0.0):
                        continue
                    channel = U64(level * U64(features))
                    for start in range(chunk, min(U64(N), chunk + U64(CHUNK)), U64(STRIP)):
                        count = min(U64(STRIP), U64(N) - start)
                        _locate(positions, start, count, levels[level], smooth, terms, factors, slopes)
                        _corner_entries(terms, count, levels[level], entries)
                        _corner_weights(factors, count, weights)
                        for b in range(count):
                            for corner in range(U64(1) << U64(D)):
                                weight = level_weights[level] * weights[corner, b]
                                entry = U64(entries[corner, b])
                                for feature in range(U64(features)):
                                    table_gradient[entry, feature] += weight * gradient[start + b, channel + feature]

    @njit(**options)
    def backward_positions(positions, table, levels, level_weights, smooth, gradient, position_gradient):
        N, D = positions.shape
        for chunk in prange((N + CHUNK - 1) // CHUNK):
            terms, factors, slopes = (
                np.empty((D, 2, STRIP), U32),
                np.empty((D, 2, STRIP), F32),
                np.empty((D, 2, STRIP), F32),
            )
            entries, weights = np.empty((1 << D, STRIP), U32), np.empty((1 << D, STRIP), F32)
            corner_gradients = np.empty((1 << D, STRIP), F32)
            inner = np.empty((features, STRIP), F32)
            sums = np.empty((D, CHUNK), F32)
            sums[:] = F32(0.0)
            chunk_start, chunk_end = U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))
            for level in range(U64(len(levels))):
                if level_weights[level] == F32(0.0):
                    continue
                channel = U64(level * U64(features))
                for start in range(chunk_start, chunk_end, U64(STRIP)):
                    count = min(U64(STRIP), U64(N) - start)
                    _locate(positions, start, count, levels[level], smooth, terms, factors, slopes)
                    _corner_entries(terms, count, levels[level], entries)
                    for b in range(count):
                        for feature in range(U64(features)):
                            inner[feature, b] = level_weights[level] * gradient[start + b, channel + feature]
                    for corner in range(U64(1) << U64(D)):
                        for b in range(count):
                            entry = U64(entries[corner, b])
                            total = F32(0.0)
                            for feature in range(U64(features)):
                                total += inner[feature, b] * table[entry, feature]
                            corner_gradients[corner, b] = total
                    for axis in range(U64(D)):
                        # Along one axis the weights' derivative is the product with that axis' factors exchanged.
                        for side in range(U64(2)):
                            for b in range(count):
                                kept = factors[axis, side, b]
                                factors[axis, side, b] = slopes[axis, side, b]
                                slopes[axis, side, b] = kept
                        _corner_weights(factors, count, weights)
                        for corner in range(U64(1) << U64(D)):
                            for b in range(count):
                                sums[axis, start - chunk_start + b] += weights[corner, b] * corner_gradients[corner, b]
                        for side in range(U64(2)):
                            for b in range(count):
                                factors[axis, side, b] = slopes[axis, side, b]
            for point in range(chunk_start, chunk_end):
                for axis in range(U64(D)):
                    position_gradient[point, axis] = sums[axis, point - chunk_start]

    return GridKernels(forward, backward_table, backward_positions)
