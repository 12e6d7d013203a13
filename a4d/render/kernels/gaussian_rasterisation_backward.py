"""Gradients of a blended image by each splat.

- The pass goes front to back, like the blending. It carries, per pixel, what all splats still to come contribute to the
  loss, so that nothing but the images of the forward pass is kept.
- Gradients are sums over pixels per pair of tile and splat, written in the order of the pairs; no two threads write to
  the same place, and the result does not depend on their number.
"""

import numpy as np
from numba import prange

from a4d.kernel_cache import njit
from a4d.render.kernels.gaussian_tiles import (
    AHEAD,
    ALPHA_MAX,
    BATCH,
    FEATURE_0,
    FEATURE_1,
    FEATURE_2,
    FEATURE_3,
    LOG2_ALPHA_MIN,
    ONE,
    OPTIONS,
    PIXEL_X,
    PIXEL_Y,
    PULL,
    SIGNALS,
    STRIDE,
    TILE,
    TRANSMITTANCE,
    TRANSMITTANCE_MIN,
    UNSIGNED,
    WEIGHT,
    ZERO,
    aligned_planes,
    clear,
    fill_pixel_coordinates,
    load_batch,
    open_pixels,
    planes_with,
    power_of_two,
    read_splat,
)

SHAPE_GRADIENTS, FEATURE_GRADIENTS = 6, 10
"""Of a pair: where the gradients of its colour and depth begin, and where those of its signals do."""


@njit(inline="always", **OPTIONS)
def blend_backward(planes, splat, sums) -> None:
    """Repeat `blend` on the transmittance and sum a splat's gradients over the tile's pixels.

    In this pass the feature planes hold the gradients of the loss by the blended features.
    """
    total, total_x, total_y = ZERO, ZERO, ZERO
    total_xx, total_xy, total_yy = ZERO, ZERO, ZERO
    total_0, total_1, total_2, total_3 = ZERO, ZERO, ZERO, ZERO
    for pixel in range(UNSIGNED(splat[12]), UNSIGNED(splat[13])):
        x = planes[PIXEL_X + pixel] - splat[0]
        y = planes[PIXEL_Y + pixel] - splat[1]
        exponent = splat[5] - (x * (splat[2] * x + splat[3] * y) + splat[4] * y * y)
        unclamped = power_of_two(exponent)
        alpha = min(unclamped, ALPHA_MAX)
        alpha = alpha if exponent >= LOG2_ALPHA_MIN else ZERO
        transmittance = planes[TRANSMITTANCE + pixel]
        remaining = transmittance * (ONE - alpha)
        is_open = remaining > TRANSMITTANCE_MIN
        weight = alpha * transmittance if is_open else ZERO
        planes[TRANSMITTANCE + pixel] = remaining if is_open else -abs(transmittance)

        gradient_0, gradient_1 = planes[FEATURE_0 + pixel], planes[FEATURE_1 + pixel]
        gradient_2, gradient_3 = planes[FEATURE_2 + pixel], planes[FEATURE_3 + pixel]
        contribution = weight * (
            splat[8] * gradient_0 + splat[9] * gradient_1 + splat[10] * gradient_2 + splat[11] * gradient_3
        )
        ahead = planes[AHEAD + pixel] - contribution
        planes[AHEAD + pixel] = ahead
        # d loss / d log alpha: more of this splat, and less of all behind it.
        gradient = contribution - ahead * (alpha / (ONE - alpha))
        gradient = gradient if is_open & (unclamped <= ALPHA_MAX) else ZERO
        total += gradient
        total_x += gradient * x
        total_y += gradient * y
        total_xx += gradient * x * x
        total_xy += gradient * x * y
        total_yy += gradient * y * y
        total_0 += weight * gradient_0
        total_1 += weight * gradient_1
        total_2 += weight * gradient_2
        total_3 += weight * gradient_3
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = total, total_x, total_y, total_xx, total_xy, total_yy
    sums[6], sums[7], sums[8], sums[9] = total_0, total_1, total_2, total_3


@njit(**OPTIONS)
def blend_signals_backward(planes, splat, values, sums) -> None:
    """Like `blend_backward`, with further features (C,) beside colour and depth."""
    first, last = UNSIGNED(splat[12]), UNSIGNED(splat[13])
    for pixel in range(first, last):
        planes[PULL + pixel] = ZERO
    for channel in range(UNSIGNED(4)):
        add_pull(planes, first, last, FEATURE_0 + channel * UNSIGNED(STRIDE), splat[UNSIGNED(8) + channel])
    for channel in range(UNSIGNED(len(values))):
        add_pull(planes, first, last, SIGNALS + channel * UNSIGNED(STRIDE), values[channel])
    total, total_x, total_y = ZERO, ZERO, ZERO
    total_xx, total_xy, total_yy = ZERO, ZERO, ZERO
    for pixel in range(first, last):
        x = planes[PIXEL_X + pixel] - splat[0]
        y = planes[PIXEL_Y + pixel] - splat[1]
        exponent = splat[5] - (x * (splat[2] * x + splat[3] * y) + splat[4] * y * y)
        unclamped = power_of_two(exponent)
        alpha = min(unclamped, ALPHA_MAX)
        alpha = alpha if exponent >= LOG2_ALPHA_MIN else ZERO
        transmittance = planes[TRANSMITTANCE + pixel]
        remaining = transmittance * (ONE - alpha)
        is_open = remaining > TRANSMITTANCE_MIN
        weight = alpha * transmittance if is_open else ZERO
        planes[TRANSMITTANCE + pixel] = remaining if is_open else -abs(transmittance)
        planes[WEIGHT + pixel] = weight
        contribution = weight * planes[PULL + pixel]
        ahead = planes[AHEAD + pixel] - contribution
        planes[AHEAD + pixel] = ahead
        gradient = contribution - ahead * (alpha / (ONE - alpha))
        gradient = gradient if is_open & (unclamped <= ALPHA_MAX) else ZERO
        total += gradient
        total_x += gradient * x
        total_y += gradient * y
        total_xx += gradient * x * x
        total_xy += gradient * x * y
        total_yy += gradient * y * y
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = total, total_x, total_y, total_xx, total_xy, total_yy
    for channel in range(UNSIGNED(4)):
        plane = FEATURE_0 + channel * UNSIGNED(STRIDE)
        sums[UNSIGNED(SHAPE_GRADIENTS) + channel] = weighted_sum(planes, first, last, plane)
    for channel in range(UNSIGNED(len(values))):
        plane = SIGNALS + channel * UNSIGNED(STRIDE)
        sums[UNSIGNED(FEATURE_GRADIENTS) + channel] = weighted_sum(planes, first, last, plane)


@njit(inline="always", **OPTIONS)
def add_pull(planes, first, last, plane, value) -> None:
    """Add what the loss gains per weight of a splat by one feature, whose plane holds the gradients."""
    for pixel in range(first, last):
        planes[PULL + pixel] += planes[plane + pixel] * value


@njit(inline="always", **OPTIONS)
def weighted_sum(planes, first, last, plane) -> np.float32:
    """Sum of a plane by a splat's weights."""
    total = ZERO
    for pixel in range(first, last):
        total += planes[WEIGHT + pixel] * planes[plane + pixel]
    return total


@njit(**OPTIONS)
def load_tile(planes, tile_x, tile_y, images, gradients) -> None:
    """Fill the feature planes with the loss's gradients, and the plane of what is ahead with its starting value."""
    colours, alphas, depths, signals = images
    by_colour, by_alpha, by_depth, by_signals = gradients
    clear(planes, FEATURE_0, 4)
    clear(planes, AHEAD, 1)
    clear(planes, SIGNALS, signals.shape[2])
    for y in range(min(TILE, colours.shape[0] - tile_y)):
        for x in range(min(TILE, colours.shape[1] - tile_x)):
            pixel = UNSIGNED(y * TILE + x)
            row, column = tile_y + y, tile_x + x
            alpha, depth = alphas[row, column], depths[row, column]
            by_depth_sum = by_depth[row, column] / alpha if alpha > ZERO else ZERO
            planes[FEATURE_0 + pixel] = by_colour[row, column, 0]
            planes[FEATURE_1 + pixel] = by_colour[row, column, 1]
            planes[FEATURE_2 + pixel] = by_colour[row, column, 2]
            planes[FEATURE_3 + pixel] = by_depth_sum
            ahead = by_depth[row, column] * depth
            ahead -= (by_alpha[row, column] - by_depth_sum * depth) * (ONE - alpha)
            for channel in range(3):
                ahead += by_colour[row, column, channel] * colours[row, column, channel]
            for channel in range(UNSIGNED(signals.shape[2])):
                gradient = by_signals[row, column, channel]
                planes[SIGNALS + channel * UNSIGNED(STRIDE) + pixel] = gradient
                ahead += gradient * signals[row, column, channel]
            planes[AHEAD + pixel] = ahead


@njit(parallel=True, **OPTIONS)
def rasterise_backward(pairs, signals, images, pair_ends, gradients, pair_gradients) -> None:
    """Gradients of the loss by each pair of tile and splat.

    Args:
        pairs: as given to `rasterise`.
        signals: as given to `rasterise`.
        images: that `rasterise` wrote.
        pair_ends: (tiles,) that `rasterise` wrote.
        gradients: float32 gradients of the loss by the images, of their shapes.
        pair_gradients: (P, 10 + C) float32, written: six moments of the gradient by the logarithm of alpha in x and y
            from the splat's centre (1, x, y, xx, xy, yy), then the gradients of the four features and of the signals.
    """
    splats, tile_starts, pair_splats, tile_order, threads = pairs
    height, width = images[1].shape
    channels = signals.shape[1]
    columns = (width + TILE - 1) // TILE
    for thread in prange(threads):
        planes = aligned_planes(planes_with(8, channels))
        batch = np.empty(BATCH * 16, np.float32)
        fill_pixel_coordinates(planes)
        for place in range(thread, len(tile_order), threads):
            tile = tile_order[place]
            tile_x, tile_y = (tile % columns) * TILE, (tile // columns) * TILE
            open_pixels(planes, width - tile_x, height - tile_y)
            load_tile(planes, tile_x, tile_y, images, gradients)
            first, end = tile_starts[tile], pair_ends[tile]
            while first < end:
                last = min(end, first + BATCH)
                load_batch(splats, pair_splats, first, last, tile_x, tile_y, batch)
                for k in range(UNSIGNED(last - first)):
                    pair = UNSIGNED(first) + k
                    if channels:
                        values = signals[pair_splats[pair]]
                        blend_signals_backward(planes, read_splat(batch, k), values, pair_gradients[pair])
                    else:
                        blend_backward(planes, read_splat(batch, k), pair_gradients[pair])
                first = last
            pair_gradients[end : tile_starts[tile + 1]] = ZERO
