"""Product of six bilinearly interpolated planes and its gradients.

Everywhere `coordinates` is (N, 3) or (N, 4) in [0, 1], `space` and `time` are the flat parameters of the planes, and
`planes` are the (L, 6) records of a layout; encoded features and their gradient are (N, L * F). All floats are single
precision, all arrays contiguous. `channels` is a tuple of F zeros: its type carries F, so that loops over the features
are vectorised whole. A plane of one row is a line, and its second coordinate is not read.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

CHUNK = 512
PLANES = 6

RELAXED = {"reassoc", "contract", "nsz", "arcp"}

U32, U64, F32 = np.uint32, np.uint64, np.float32


@njit(cache=True, nogil=True, error_model="numpy")
def _cell(value, size):
    scaled = value * F32(size - U32(1))
    cell = min(U32(np.int32(scaled)), U32(size - U32(2)))  # a NaN has no cell, but must not leave the plane
    return U64(cell), scaled - F32(cell)


@njit(cache=True, nogil=True, error_model="numpy")
def _locate(coordinates, point, plane, features):
    """First parameter of the cell's lower corner, distance to the next row, and the fractions along both axes."""
    column, u = _cell(coordinates[point, plane.column_axis], plane.columns)
    corner = U64(plane.offset + column * U64(features))
    if plane.rows == U32(1):
        return corner, U64(0), u, F32(0.0)
    row, v = _cell(coordinates[point, plane.row_axis], plane.rows)
    return U64(corner + row * plane.row_step), plane.row_step, u, v


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _multiply(values, corner, row_step, u, v, channels, product):
    right = U64(len(channels))
    for c in range(U64(len(channels))):
        lower = values[corner + c] + u * (values[corner + right + c] - values[corner + c])
        upper = values[corner + row_step + c]
        upper += u * (values[corner + row_step + right + c] - upper)
        product[c] *= lower + v * (upper - lower)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def encode(coordinates, space, time, planes, channels, encoded):
    """The product over the planes of every level, into `encoded`."""
    N, F = len(coordinates), len(channels)
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        for level in range(len(planes)):
            for point in range(U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))):
                product = encoded[point, level * F : (level + 1) * F]
                product[:] = F32(1.0)
                for k in range(PLANES):
                    plane = planes[level, k]
                    corner, row_step, u, v = _locate(coordinates, point, plane, F)
                    _multiply(time if plane.timed else space, corner, row_step, u, v, channels, product)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _sample(values, corner, row_step, u, v, channels, sample, along_u, along_v):
    """A plane's value and its derivatives by the fractions."""
    right = U64(len(channels))
    for c in range(U64(len(channels))):
        lower, upper = values[corner + c], values[corner + row_step + c]
        lower_step = values[corner + right + c] - lower
        upper_step = values[corner + row_step + right + c] - upper
        along_u[c] = lower_step + v * (upper_step - lower_step)
        lower += u * lower_step
        upper += u * upper_step
        along_v[c] = upper - lower
        sample[c] = lower + v * (upper - lower)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _gradients_of_factors(samples, gradient, channels, gradients):
    """The gradient of each factor of a product: what arrives, times all other factors."""
    for c in range(U64(len(channels))):
        before = gradient[c]
        for k in range(PLANES):
            gradients[k, c] = before
            before *= samples[k, c]
        after = F32(1.0)
        for k in range(PLANES - 1, -1, -1):
            gradients[k, c] *= after
            after *= samples[k, c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _inner(first, second, channels):
    total = F32(0.0)
    for c in range(U64(len(channels))):
        total += first[c] * second[c]
    return total


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_points(coordinates, space, time, planes, channels, gradient, plane_gradients, coordinate_gradient):
    """Per point: the gradient of each plane's value, into (L, 6, N, F), and of the coordinates, like `coordinates`."""
    N, F = len(coordinates), len(channels)
    for chunk in prange((N + CHUNK - 1) // CHUNK):
        samples, gradients = np.empty((PLANES, F), F32), np.empty((PLANES, F), F32)
        along_u, along_v = np.empty((PLANES, F), F32), np.empty((PLANES, F), F32)
        for point in range(U64(chunk * CHUNK), U64(min(N, (chunk + 1) * CHUNK))):
            coordinate_gradient[point] = F32(0.0)
            for level in range(len(planes)):
                for k in range(PLANES):
                    plane = planes[level, k]
                    corner, row_step, u, v = _locate(coordinates, point, plane, F)
                    values = time if plane.timed else space
                    _sample(values, corner, row_step, u, v, channels, samples[k], along_u[k], along_v[k])
                arriving = gradient[point, level * F : (level + 1) * F]
                _gradients_of_factors(samples, arriving, channels, gradients)
                for k in range(PLANES):
                    plane = planes[level, k]
                    plane_gradients[level, k, point] = gradients[k]
                    slope = F32(plane.columns - U32(1)) * _inner(along_u[k], gradients[k], channels)
                    coordinate_gradient[point, plane.column_axis] += slope
                    if plane.rows > U32(1):
                        slope = F32(plane.rows - U32(1)) * _inner(along_v[k], gradients[k], channels)
                        coordinate_gradient[point, plane.row_axis] += slope


@njit(cache=True, nogil=True, error_model="numpy", fastmath=RELAXED)
def _add(gradient, corner, right, weight_left, weight_right, channels, values):
    for c in range(U64(len(channels))):
        values[corner + c] += weight_left * gradient[c]
        values[corner + right + c] += weight_right * gradient[c]


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def backward_planes(coordinates, planes, channels, plane_gradients, workers, space_gradient, time_gradient):
    """Add the planes' gradients to those of the flat parameters.

    A plane belongs to one worker: no atomics, and the same sums in the same order however many workers there are.
    """
    N, F = len(coordinates), len(channels)
    for worker in prange(workers):
        for task in range(worker, planes.size, workers):
            plane = planes[task // PLANES, task % PLANES]
            arriving = plane_gradients[task // PLANES, task % PLANES]
            values = time_gradient if plane.timed else space_gradient
            for point in range(U64(N)):
                corner, row_step, u, v = _locate(coordinates, point, plane, F)
                w = F32(1.0) - v
                _add(arriving[point], corner, U64(F), w * (F32(1.0) - u), w * u, channels, values)
                if plane.rows > U32(1):
                    _add(arriving[point], corner + row_step, U64(F), v * (F32(1.0) - u), v * u, channels, values)
