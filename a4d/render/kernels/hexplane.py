"""Product of six bilinearly interpolated planes and its gradients.

Everywhere `coordinates` is (N, 3) or (N, 4) in [0, 1], `space` and `time` are the flat parameters of the planes, and
`planes` are the (L, 6) records of a layout; encoded features and their gradient are (N, L * F). All floats are single
precision, all arrays contiguous. `channels` is a tuple of F zeros: its type carries F, so that loops over the features
are vectorised whole. A plane of one row is a line, and its second coordinate is not read.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from a4d.kernel_cache import njit

CHUNK = 512
STRIP = 32
PLANES = 6

# Sums may be reordered and fused with products; infinities and NaNs keep their meaning.
RELAXED = {"reassoc", "contract"}

U32, U64, F32 = np.uint32, np.uint64, np.float32


@njit(cache=True, nogil=True, error_model="numpy")
def _locate_on_axis(coordinates, start, count, axis, size, step, corners, fractions) -> None:
    """Add the cell's share of the first parameter's index, and write the fraction within the cell."""
    for b in range(U64(count)):
        scaled = coordinates[start + b, axis] * F32(size - U32(1))
        cell = min(U32(np.int32(scaled)), U32(size - U32(2)))  # a NaN has no cell, but must not leave the plane
        corners[b] += U64(cell) * step
        fractions[b] = scaled - F32(np.int32(cell))


@njit(cache=True, nogil=True, error_model="numpy")
def _locate(coordinates, start, count, plane, features, corners, us, vs) -> None:
    """Per point the first parameter of its cell and the fractions along columns and rows; 0 along a line's one row."""
    corners[:] = plane.offset
    vs[:] = F32(0.0)
    _locate_on_axis(coordinates, start, count, plane.column_axis, plane.columns, U64(features), corners, us)
    if plane.rows > U32(1):
        _locate_on_axis(coordinates, start, count, plane.row_axis, plane.rows, plane.row_step, corners, vs)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _sample(values, corners, row_step, us, vs, count, channels, samples, along_us, along_vs) -> None:
    """A plane's features and their derivatives by the fractions."""
    right = U64(len(channels))
    for b in range(U64(count)):
        corner, u, v = corners[b], us[b], vs[b]
        for c in range(U64(len(channels))):
            lower, upper = values[corner + c], values[corner + row_step + c]
            lower_step = values[corner + right + c] - lower
            upper_step = values[corner + row_step + right + c] - upper
            lower += u * lower_step
            upper += u * upper_step
            samples[b, c] = lower + v * (upper - lower)
            along_us[b, c] = lower_step + v * (upper_step - lower_step)
            along_vs[b, c] = upper - lower


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _sample_line(values, corners, us, count, channels, samples, along_us) -> None:
    """A line's features and their derivatives by the fraction."""
    right = U64(len(channels))
    for b in range(U64(count)):
        corner, u = corners[b], us[b]
        for c in range(U64(len(channels))):
            step = values[corner + right + c] - values[corner + c]
            samples[b, c] = values[corner + c] + u * step
            along_us[b, c] = step


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _multiply(values, corners, row_step, us, vs, count, channels, products) -> None:
    """Multiply by a plane's features."""
    right = U64(len(channels))
    for b in range(U64(count)):
        corner, u, v = corners[b], us[b], vs[b]
        for c in range(U64(len(channels))):
            lower, upper = values[corner + c], values[corner + row_step + c]
            lower += u * (values[corner + right + c] - lower)
            upper += u * (values[corner + row_step + right + c] - upper)
            products[b, c] *= lower + v * (upper - lower)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _multiply_line(values, corners, us, count, channels, products) -> None:
    """Multiply by a line's features."""
    right = U64(len(channels))
    for b in range(U64(count)):
        corner, u = corners[b], us[b]
        for c in range(U64(len(channels))):
            products[b, c] *= values[corner + c] + u * (values[corner + right + c] - values[corner + c])


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def encode(coordinates, space, time, planes, channels, encoded) -> None:
    """The product over the planes of every level, into `encoded`."""
    N, F = len(coordinates), len(channels)
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        corners, us, vs = np.empty(STRIP, U64), np.empty(STRIP, F32), np.empty(STRIP, F32)
        products = np.empty((STRIP, F), F32)
        end = U64(min(N, (chunk + 1) * CHUNK))
        for level in range(len(planes)):
            for start in range(U64(chunk * CHUNK), end, U64(STRIP)):
                count = min(U64(STRIP), end - start)
                products[:] = F32(1.0)
                for k in range(PLANES):
                    plane = planes[level, k]
                    values = time if plane.timed else space
                    _locate(coordinates, start, count, plane, F, corners, us, vs)
                    if plane.rows > U32(1):
                        _multiply(values, corners, plane.row_step, us, vs, count, channels, products)
                    else:
                        _multiply_line(values, corners, us, count, channels, products)
                encoded[start : start + count, level * F : (level + 1) * F] = products[:count]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _gradients_of_factors(samples, gradient, start, count, first, channels, gradients) -> None:
    """The gradient of each factor of a product: what arrives, times all other factors."""
    for b in range(U64(count)):
        for c in range(U64(len(channels))):
            before, after = gradient[start + b, first + c], F32(1.0)
            for k in range(U64(PLANES)):
                gradients[k, b, c] = before
                before *= samples[k, b, c]
            for k in range(U64(PLANES)):
                factor = U64(PLANES - 1) - k
                gradients[factor, b, c] *= after
                after *= samples[factor, b, c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _add_inner_products(first, second, count, channels, scale, axis, start, sums) -> None:
    """Add the scaled inner products over the features to one column of sums."""
    for b in range(U64(count)):
        total = F32(0.0)
        for c in range(U64(len(channels))):
            total += first[b, c] * second[b, c]
        sums[start + b, axis] += scale * total


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_points(coordinates, space, time, planes, channels, gradient, plane_gradients, coordinate_gradient) -> None:
    """Per point: the gradient of each plane's value, into (L, 6, N, F), and of the coordinates, like `coordinates`."""
    N, F = len(coordinates), len(channels)
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        corners, us, vs = np.empty(STRIP, U64), np.empty(STRIP, F32), np.empty(STRIP, F32)
        samples, gradients = np.empty((PLANES, STRIP, F), F32), np.empty((PLANES, STRIP, F), F32)
        along_us, along_vs = np.empty((PLANES, STRIP, F), F32), np.empty((PLANES, STRIP, F), F32)
        begin, end = U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))
        coordinate_gradient[begin:end] = F32(0.0)
        for level in range(len(planes)):
            for start in range(begin, end, U64(STRIP)):
                count = min(U64(STRIP), end - start)
                for k in range(PLANES):
                    plane = planes[level, k]
                    values = time if plane.timed else space
                    _locate(coordinates, start, count, plane, F, corners, us, vs)
                    if plane.rows > U32(1):
                        step, slopes = plane.row_step, along_vs[k]
                        _sample(values, corners, step, us, vs, count, channels, samples[k], along_us[k], slopes)
                    else:
                        _sample_line(values, corners, us, count, channels, samples[k], along_us[k])
                _gradients_of_factors(samples, gradient, start, count, U64(level * F), channels, gradients)
                plane_gradients[level, :, start : start + count] = gradients[:, :count]
                for k in range(PLANES):
                    plane = planes[level, k]
                    for axis, size, slopes in (
                        (plane.column_axis, plane.columns, along_us[k]),
                        (plane.row_axis, plane.rows, along_vs[k]),
                    ):
                        if size > U32(1):
                            scale = F32(size - U32(1))
                            _add_inner_products(
                                slopes, gradients[k], count, channels, scale, axis, start, coordinate_gradient
                            )


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _scatter(gradients, start, corners, row_step, us, vs, count, channels, values) -> None:
    """Add a row of cells' gradients to their left and right vertices; the fractions `vs` weigh the row itself."""
    right = U64(len(channels))
    for b in range(U64(count)):
        corner = corners[b] + row_step
        left_weight, right_weight = vs[b] * (F32(1.0) - us[b]), vs[b] * us[b]
        for c in range(U64(len(channels))):
            values[corner + c] += left_weight * gradients[start + b, c]
        for c in range(U64(len(channels))):
            values[corner + right + c] += right_weight * gradients[start + b, c]


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_planes(coordinates, planes, channels, plane_gradients, workers, space_gradient, time_gradient) -> None:
    """Add the planes' gradients to those of the flat parameters.

    A plane belongs to one worker: no atomics, and the same sums in the same order however many workers there are.
    """
    N, F = len(coordinates), len(channels)
    for worker in prange(workers):
        corners, us, vs = np.empty(STRIP, U64), np.empty(STRIP, F32), np.empty(STRIP, F32)
        for task in range(worker, planes.size, workers):
            plane = planes[task // PLANES, task % PLANES]
            gradients = plane_gradients[task // PLANES, task % PLANES]
            values = time_gradient if plane.timed else space_gradient
            for start in range(U64(0), U64(N), U64(STRIP)):
                count = min(U64(STRIP), U64(N) - start)
                _locate(coordinates, start, count, plane, F, corners, us, vs)
                if plane.rows > U32(1):
                    _scatter(gradients, start, corners, plane.row_step, us, vs, count, channels, values)
                _scatter(gradients, start, corners, U64(0), us, F32(1.0) - vs, count, channels, values)
