"""Structural similarity of two images and its gradient, with both Gaussian filters fused into one pass over the rows.

Images are (B, H, W * C): neighbours in x are C numbers apart, so that one vector loop filters all channels.
"""

import math
from typing import Any

import numpy as np
from numba import prange

from a4d.kernel_cache import njit

UNSIGNED = np.uint64
REACH = 5
"""Pixels to each side of the centre of the 11 x 11 window (Wang et al. 2004, section III.B), sigma 1.5 pixels."""
_EXPONENTIALS = [math.exp(-0.5 * (offset / 1.5) ** 2) for offset in range(REACH + 1)]
_TOTAL = _EXPONENTIALS[0] + 2 * sum(_EXPONENTIALS[1:])
WEIGHTS = np.array([value / _TOTAL for value in _EXPONENTIALS], np.float32)
W0, W1, W2, W3, W4, W5 = (np.float32(weight) for weight in WEIGHTS)
C1, C2 = np.float32(0.01**2), np.float32(0.03**2)
ONE, TWO, ZERO = np.float32(1), np.float32(2), np.float32(0)
BAND = 8
"""Rows that a thread takes at a time."""

OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "nogil": True,
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


@njit(inline="always", **OPTIONS)
def filter_row(rows, k, step) -> np.float32:
    """The window along x at position `k` of flat memory, `step` being the distance of neighbours."""
    return (
        W0 * rows[k]
        + W1 * (rows[k - step] + rows[k + step])
        + W2 * (rows[k - UNSIGNED(2) * step] + rows[k + UNSIGNED(2) * step])
        + W3 * (rows[k - UNSIGNED(3) * step] + rows[k + UNSIGNED(3) * step])
        + W4 * (rows[k - UNSIGNED(4) * step] + rows[k + UNSIGNED(4) * step])
        + W5 * (rows[k - UNSIGNED(5) * step] + rows[k + UNSIGNED(5) * step])
    )


@njit(**OPTIONS)
def add_moments(first, second, weight, rows, stride, margin) -> None:
    """Add a row's values, sum of squares and product to four rows of sums, each `stride` long with margins."""
    plane_1, plane_2, plane_3 = UNSIGNED(stride), UNSIGNED(2 * stride), UNSIGNED(3 * stride)
    for i in range(UNSIGNED(len(first))):
        k = i + UNSIGNED(margin)
        a, b = first[i], second[i]
        rows[k] += weight * a
        rows[plane_1 + k] += weight * b
        rows[plane_2 + k] += weight * (a * a + b * b)
        rows[plane_3 + k] += weight * (a * b)


@njit(**OPTIONS)
def compare_row(rows, stride, margin, channels, values, by_mean, by_square, by_product) -> None:
    """Similarity of a row from its four rows of sums over y, and its derivatives where there is room for them."""
    plane_1, plane_2, plane_3 = UNSIGNED(stride), UNSIGNED(2 * stride), UNSIGNED(3 * stride)
    step = UNSIGNED(channels)
    wants_derivatives = len(by_mean) > 0
    for i in range(UNSIGNED(len(values))):
        k = i + UNSIGNED(margin)
        mean_a, mean_b = filter_row(rows, k, step), filter_row(rows, plane_1 + k, step)
        squares = filter_row(rows, plane_2 + k, step) - mean_a * mean_a - mean_b * mean_b
        product = filter_row(rows, plane_3 + k, step) - mean_a * mean_b
        luminance, structure = TWO * mean_a * mean_b + C1, TWO * product + C2
        inverse_1, inverse_2 = ONE / (mean_a * mean_a + mean_b * mean_b + C1), ONE / (squares + C2)
        value = luminance * structure * inverse_1 * inverse_2
        values[i] = value
        if wants_derivatives:
            slope = TWO * luminance * inverse_1 * inverse_2
            by_product[i] = slope
            by_square[i] = -value * inverse_2
            by_mean[i] = (
                TWO * mean_b * structure * inverse_1 * inverse_2
                - TWO * mean_a * value * inverse_1
                - mean_b * slope
                + TWO * mean_a * value * inverse_2
            )


@njit(parallel=True, **OPTIONS)
def compare(first, second, channels, values, derivatives) -> None:
    """Similarity at each pixel; beyond their border, images are zero.

    Args:
        first: (B, H, W * C) float32.
        second: (B, H, W * C) float32.
        channels: C.
        values: (B, H, W * C) float32, written.
        derivatives: (3, B, H, W * C) float32, written: by the filtered values, squares and products of the first image;
            of no length where they are not wanted.
    """
    count, height, length = first.shape
    bands = (height + BAND - 1) // BAND
    margin = REACH * channels
    stride = length + 2 * margin
    nothing = np.empty(0, np.float32)
    for task in prange(count * bands):
        image, band = task // bands, task % bands
        rows = np.zeros(4 * stride, np.float32)
        for y in range(band * BAND, min(height, (band + 1) * BAND)):
            rows[:] = ZERO
            for other in range(max(0, y - REACH), min(height, y + REACH + 1)):
                add_moments(first[image, other], second[image, other], WEIGHTS[abs(other - y)], rows, stride, margin)
            if derivatives.shape[3] > 0:
                by_mean, by_square, by_product = derivatives[0, image], derivatives[1, image], derivatives[2, image]
                compare_row(rows, stride, margin, channels, values[image, y], by_mean[y], by_square[y], by_product[y])
            else:
                compare_row(rows, stride, margin, channels, values[image, y], nothing, nothing, nothing)


@njit(**OPTIONS)
def add_derivatives(upstream, by_mean, by_square, by_product, weight, rows, stride, margin) -> None:
    """Add a row's derivatives, times the gradient of the loss, to three rows of sums."""
    plane_1, plane_2 = UNSIGNED(stride), UNSIGNED(2 * stride)
    for i in range(UNSIGNED(len(upstream))):
        k = i + UNSIGNED(margin)
        weighted = weight * upstream[i]
        rows[k] += weighted * by_mean[i]
        rows[plane_1 + k] += weighted * by_square[i]
        rows[plane_2 + k] += weighted * by_product[i]


@njit(**OPTIONS)
def gradient_row(rows, stride, margin, channels, first, second, gradient) -> None:
    """Gradient of a row of the first image from its three rows of sums over y."""
    plane_1, plane_2 = UNSIGNED(stride), UNSIGNED(2 * stride)
    step = UNSIGNED(channels)
    for i in range(UNSIGNED(len(gradient))):
        k = i + UNSIGNED(margin)
        gradient[i] = (
            filter_row(rows, k, step)
            + TWO * first[i] * filter_row(rows, plane_1 + k, step)
            + second[i] * filter_row(rows, plane_2 + k, step)
        )


@njit(parallel=True, **OPTIONS)
def compare_backward(first, second, channels, derivatives, upstream, gradient) -> None:
    """Gradient of the loss by the first image.

    Args:
        first: (B, H, W * C) float32.
        second: (B, H, W * C) float32.
        channels: C.
        derivatives: (3, B, H, W * C) float32 from `compare`.
        upstream: (B, H, W * C) float32 gradient of the loss by the similarities.
        gradient: (B, H, W * C) float32, written.
    """
    count, height, length = first.shape
    bands = (height + BAND - 1) // BAND
    margin = REACH * channels
    stride = length + 2 * margin
    for task in prange(count * bands):
        image, band = task // bands, task % bands
        rows = np.zeros(3 * stride, np.float32)
        for y in range(band * BAND, min(height, (band + 1) * BAND)):
            rows[:] = ZERO
            for other in range(max(0, y - REACH), min(height, y + REACH + 1)):
                add_derivatives(
                    upstream[image, other],
                    derivatives[0, image, other],
                    derivatives[1, image, other],
                    derivatives[2, image, other],
                    WEIGHTS[abs(other - y)],
                    rows,
                    stride,
                    margin,
                )
            gradient_row(rows, stride, margin, channels, first[image, y], second[image, y], gradient[image, y])
