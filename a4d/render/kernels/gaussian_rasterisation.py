"""Blending splats into tiles of 16 x 16 pixels.

- Colour and depth are four features that the inner loop knows. Where there are signals, any number of further features,
  it leaves the weights in a plane instead, which all features are then blended by, one after the other.
- The inner loop runs over the rows of the tile that a splat reaches, without branches, and becomes vector code.
- The same lines stand in four loops, two of them in `gaussian_rasterisation_backward`: called from there, even inlined,
  they keep the compiler from making vector code.
"""

import numpy as np
from numba import prange

from a4d.kernel_cache import njit
from a4d.render.kernels.gaussian_tiles import (
    ALPHA_MAX,
    BATCH,
    FEATURE_0,
    FEATURE_1,
    FEATURE_2,
    FEATURE_3,
    INT,
    LOG2_ALPHA_MIN,
    ONE,
    OPTIONS,
    PIXEL_X,
    PIXEL_Y,
    PIXELS,
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
