"""Blending splats into tiles of 16 x 16 pixels, and the gradients of the blended image by each splat.

What makes it fast, and what the code therefore looks like:

- A tile's state is one scratch array of planes (transmittance, one plane per feature, pixel coordinates), so that the
  compiler can tell that reads and writes do not overlap. It fits in the first-level cache.
- Colour and depth are four features that the inner loop knows. Where there are signals, any number of further features,
  it leaves the weights in a plane instead, which all features are then blended by, one after the other.
- The inner loop runs over the rows of the tile that a splat reaches, without branches, and becomes vector code. It is
  indexed by unsigned integers only: a signed index might be negative, and the check for it would prevent that.
- The same lines stand in four loops: called from there, even inlined, they keep the compiler from making vector code.
- Powers of two, not exponentials: a degree-5 polynomial and an addition to the exponent's bits.
- The backward pass also goes front to back. It carries, per pixel, what all splats still to come contribute to the
  loss, so that nothing but the images of the forward pass is kept.
- Gradients are sums over pixels per pair of tile and splat, written in the order of the pairs; no two threads write to
  the same place, and the result does not depend on their number.

The rules and their constants are those of `a4d.render.gaussians_reference`. They are repeated here because Numba's
cache of compiled kernels notices changes to this file only.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from a4d.kernel_cache import njit

FLOAT, INT, UNSIGNED = np.float32, np.int32, np.uint64

ALPHA_MAX = FLOAT(0.999)
LOG2_ALPHA_MIN = FLOAT(-math.log2(255))
TRANSMITTANCE_MIN = FLOAT(1e-4)
ZERO, HALF, ONE = FLOAT(0), FLOAT(0.5), FLOAT(1)

TILE = 16
PIXELS = TILE * TILE
# Planes lie a little more than a power of two apart, or the addresses of a pixel in all planes would share cache sets.
STRIDE = PIXELS + 16
TRANSMITTANCE = UNSIGNED(0)
FEATURE_0, FEATURE_1, FEATURE_2, FEATURE_3 = (UNSIGNED(k * STRIDE) for k in range(1, 5))
PIXEL_X, PIXEL_Y = UNSIGNED(5 * STRIDE), UNSIGNED(6 * STRIDE)
AHEAD = UNSIGNED(7 * STRIDE)
"""The plane of the contribution to the loss of the splats still to come."""
WEIGHT, PULL, SIGNALS = UNSIGNED(8 * STRIDE), UNSIGNED(9 * STRIDE), UNSIGNED(10 * STRIDE)
"""The planes of one splat's weights, of what the loss gains by them, and the first of the signals."""

# How many splats are copied next to the tile's state at a time, and the columns of a copy.
BATCH = 32
COLUMNS = UNSIGNED(16)
FIRST_PIXEL, LAST_PIXEL = UNSIGNED(12), UNSIGNED(13)
SHAPE_GRADIENTS, FEATURE_GRADIENTS = 6, 10
"""Of a pair: where the gradients of its colour and depth begin, and where those of its signals do."""

OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "nogil": True,
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}


@intrinsic
def float_of_bits(typing_context, bits) -> tuple[Any, Callable[..., Any]]:
    """The single-precision number with the bits of an integer."""

    def generate(context, builder, signature, arguments) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def bits_of_float(typing_context, number) -> tuple[Any, Callable[..., Any]]:
    """The bits of a single-precision number as an integer."""

    def generate(context, builder, signature, arguments) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@njit(inline="always", **OPTIONS)
def power_of_two(exponent) -> np.float32:
    """2 ** exponent to a relative 4e-6, for exponents up to 0; those below -30 count as -30."""
    exponent = min(max(exponent, FLOAT(-30)), ZERO)
    whole = INT(exponent - HALF)
    rest = exponent - FLOAT(whole)
    value = FLOAT(1.3390863e-3)
    value = value * rest + FLOAT(9.6179811e-3)
    value = value * rest + FLOAT(5.5503324e-2)
    value = value * rest + FLOAT(2.4022651e-1)
    value = value * rest + FLOAT(6.9314718e-1)
    value = value * rest + ONE
    return float_of_bits(INT(bits_of_float(value) + INT(whole << INT(23))))


@njit(inline="always", **OPTIONS)
def aligned_planes(count) -> NDArray[np.float32]:
    """Scratch memory for `count` planes, beginning at a cache line."""
    memory = np.empty(count * STRIDE + 16, np.float32)
    misalignment = (64 - (memory.ctypes.data & 63)) // 4 % 16
    return memory[misalignment : misalignment + count * STRIDE]


@njit(**OPTIONS)
def fill_pixel_coordinates(planes) -> None:
    """Coordinates of the pixel centres from the tile's corner."""
    for pixel in range(PIXELS):
        planes[PIXEL_X + UNSIGNED(pixel)] = FLOAT(pixel % TILE) + HALF
        planes[PIXEL_Y + UNSIGNED(pixel)] = FLOAT(pixel // TILE) + HALF


@njit(**OPTIONS)
def open_pixels(planes, width, height) -> None:
    """Transmittance 1 within the image's share of a tile; pixels beyond it are marked as ended."""
    for y in range(TILE):
        for x in range(TILE):
            planes[y * TILE + x] = ONE if x < width and y < height else -ONE


@njit(**OPTIONS)
def load_batch(splats, pair_splats, first, last, tile_x, tile_y, batch) -> None:
    """Copy the splats of the pairs `first` to `last`, relative to the tile, with the range of pixels each may touch."""
    for k in range(UNSIGNED(last - first)):
        splat = UNSIGNED(pair_splats[UNSIGNED(first) + k])
        row = k * COLUMNS
        for column in range(UNSIGNED(12)):
            batch[row + column] = splats[splat, column]
        batch[row] -= FLOAT(tile_x)
        batch[row + UNSIGNED(1)] -= FLOAT(tile_y)
        centre, half_height = batch[row + UNSIGNED(1)], batch[row + UNSIGNED(7)]
        top = min(max(centre - half_height + HALF, ZERO), FLOAT(TILE))
        bottom = min(max(centre + half_height + HALF, ZERO), FLOAT(TILE))
        batch[row + FIRST_PIXEL] = FLOAT(INT(top) * TILE)
        batch[row + LAST_PIXEL] = FLOAT(INT(bottom) * TILE)


@njit(inline="always", **OPTIONS)
def blend(planes, splat) -> None:
    """Put one splat (its 14 numbers) behind what a tile shows already.

    The transmittance of a pixel that has ended is kept with a negative sign.
    """
    for pixel in range(UNSIGNED(splat[12]), UNSIGNED(splat[13])):
        x = planes[PIXEL_X + pixel] - splat[0]
        y = planes[PIXEL_Y + pixel] - splat[1]
        exponent = splat[5] - (x * (splat[2] * x + splat[3] * y) + splat[4] * y * y)
        alpha = min(power_of_two(exponent), ALPHA_MAX)
        alpha = alpha if exponent >= LOG2_ALPHA_MIN else ZERO
        transmittance = planes[TRANSMITTANCE + pixel]
        remaining = transmittance * (ONE - alpha)
        is_open = remaining > TRANSMITTANCE_MIN
        weight = alpha * transmittance if is_open else ZERO
        planes[TRANSMITTANCE + pixel] = remaining if is_open else -abs(transmittance)
        planes[FEATURE_0 + pixel] += weight * splat[8]
        planes[FEATURE_1 + pixel] += weight * splat[9]
        planes[FEATURE_2 + pixel] += weight * splat[10]
        planes[FEATURE_3 + pixel] += weight * splat[11]


@njit(**OPTIONS)
def blend_signals(planes, splat, values) -> None:
    """Like `blend`, with further features (C,) beside colour and depth."""
    first, last = UNSIGNED(splat[12]), UNSIGNED(splat[13])
    for pixel in range(first, last):
        x = planes[PIXEL_X + pixel] - splat[0]
        y = planes[PIXEL_Y + pixel] - splat[1]
        exponent = splat[5] - (x * (splat[2] * x + splat[3] * y) + splat[4] * y * y)
        alpha = min(power_of_two(exponent), ALPHA_MAX)
        alpha = alpha if exponent >= LOG2_ALPHA_MIN else ZERO
        transmittance = planes[TRANSMITTANCE + pixel]
        remaining = transmittance * (ONE - alpha)
        is_open = remaining > TRANSMITTANCE_MIN
        planes[WEIGHT + pixel] = alpha * transmittance if is_open else ZERO
        planes[TRANSMITTANCE + pixel] = remaining if is_open else -abs(transmittance)
    for channel in range(UNSIGNED(4)):
        add_weights(planes, first, last, FEATURE_0 + channel * UNSIGNED(STRIDE), splat[UNSIGNED(8) + channel])
    for channel in range(UNSIGNED(len(values))):
        add_weights(planes, first, last, SIGNALS + channel * UNSIGNED(STRIDE), values[channel])


@njit(inline="always", **OPTIONS)
def add_weights(planes, first, last, plane, value) -> None:
    """Add a splat's value of one feature to the feature's plane, by weight."""
    for pixel in range(first, last):
        planes[plane + pixel] += planes[WEIGHT + pixel] * value


@njit(inline="always", **OPTIONS)
def read_splat(batch, k) -> tuple[float, ...]:
    """The 14 numbers of a splat in a batch, as values that stay in registers."""
    row = k * COLUMNS
    return (
        batch[row], batch[row + UNSIGNED(1)], batch[row + UNSIGNED(2)], batch[row + UNSIGNED(3)],
        batch[row + UNSIGNED(4)], batch[row + UNSIGNED(5)], batch[row + UNSIGNED(6)], batch[row + UNSIGNED(7)],
        batch[row + UNSIGNED(8)], batch[row + UNSIGNED(9)], batch[row + UNSIGNED(10)], batch[row + UNSIGNED(11)],
        batch[row + FIRST_PIXEL], batch[row + LAST_PIXEL],
    )  # fmt: skip


@njit(**OPTIONS)
def count_open(planes) -> int:
    """How many pixels of a tile have not ended."""
    count = INT(0)
    for pixel in range(UNSIGNED(PIXELS)):
        count += INT(planes[TRANSMITTANCE + pixel] > ZERO)
    return count


@njit(**OPTIONS)
def store_tile(planes, tile_x, tile_y, background, images) -> None:
    """Write a tile's pixels to the images."""
    colours, alphas, depths, signals = images
    for y in range(min(TILE, colours.shape[0] - tile_y)):
        for x in range(min(TILE, colours.shape[1] - tile_x)):
            pixel = UNSIGNED(y * TILE + x)
            transmittance = abs(planes[TRANSMITTANCE + pixel])
            alpha = ONE - transmittance
            colours[tile_y + y, tile_x + x, 0] = planes[FEATURE_0 + pixel] + transmittance * background[0]
            colours[tile_y + y, tile_x + x, 1] = planes[FEATURE_1 + pixel] + transmittance * background[1]
            colours[tile_y + y, tile_x + x, 2] = planes[FEATURE_2 + pixel] + transmittance * background[2]
            alphas[tile_y + y, tile_x + x] = alpha
            depths[tile_y + y, tile_x + x] = planes[FEATURE_3 + pixel] / alpha if alpha > ZERO else ZERO
            for channel in range(UNSIGNED(signals.shape[2])):
                signals[tile_y + y, tile_x + x, channel] = planes[SIGNALS + channel * UNSIGNED(STRIDE) + pixel]


@njit(inline="always", **OPTIONS)
def planes_with(base, channels) -> int:
    """How many planes a tile needs: `base`, or all where there are signals."""
    return 10 + channels if channels else base


@njit(**OPTIONS)
def clear(planes, first, count) -> None:
    """Fill `count` planes with zeros."""
    for k in range(first, first + UNSIGNED(count * STRIDE)):
        planes[k] = ZERO


@njit(parallel=True, **OPTIONS)
def rasterise(pairs, signals, background, images, pair_ends) -> None:
    """Blend all splats over a background.

    Args:
        pairs: splats (N, 16) from `project`; where the pairs of each tile begin (tiles + 1,) and the splat of each pair
            (P,) from `bin_splats`; the tiles (tiles,) int64, the fullest first, dealt to the threads in turn; the
            number of threads.
        signals: (N, C) float32, further features of the splats; C may be 0.
        background: (3,) float32.
        images: colours (H, W, 3), alphas (H, W), mean depths (H, W) and signals by weight (H, W, C) float32; written.
        pair_ends: (tiles,) int64, written: one past the last pair before which all pixels of a tile had ended.
    """
    splats, tile_starts, pair_splats, tile_order, threads = pairs
    splats, tile_starts, pair_splats, tile_order, threads = pairs
    height, width = images[1].shape
    channels = signals.shape[1]
    columns = (width + TILE - 1) // TILE
    for thread in prange(threads):
        planes = aligned_planes(planes_with(7, channels))
        batch = np.empty(BATCH * 16, np.float32)
        fill_pixel_coordinates(planes)
        for place in range(thread, len(tile_order), threads):
            tile = tile_order[place]
            tile_x, tile_y = (tile % columns) * TILE, (tile // columns) * TILE
            open_pixels(planes, width - tile_x, height - tile_y)
            clear(planes, FEATURE_0, 4)
            clear(planes, SIGNALS, channels)
            first, end = tile_starts[tile], tile_starts[tile + 1]
            while first < end:
                last = min(end, first + BATCH)
                load_batch(splats, pair_splats, first, last, tile_x, tile_y, batch)
                for k in range(UNSIGNED(last - first)):
                    if channels:
                        blend_signals(planes, read_splat(batch, k), signals[pair_splats[UNSIGNED(first) + k]])
                    else:
                        blend(planes, read_splat(batch, k))
                first = last
                if count_open(planes) == 0:
                    break
            pair_ends[tile] = first
            store_tile(planes, tile_x, tile_y, background, images)


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
