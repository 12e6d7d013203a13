"""The state of a tile of 16 x 16 pixels while splats are blended into it, and the splats that are copied next to it.

- A tile's state is one scratch array of planes (transmittance, one plane per feature, pixel coordinates), so that the
  compiler can tell that reads and writes do not overlap. It fits in the first-level cache.
- Planes are indexed by unsigned integers only: a signed index might be negative, and the check for it would prevent
  vector code.
- Powers of two, not exponentials: a degree-5 polynomial and an addition to the exponent's bits.

The rules and their constants are those of `a4d.render.gaussians_reference`, repeated here for the compiler.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
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
def read_splat(batch, k) -> tuple[float, ...]:
    """The 14 numbers of a splat in a batch, as values that stay in registers."""
    row = k * COLUMNS
    return (
        batch[row], batch[row + UNSIGNED(1)], batch[row + UNSIGNED(2)], batch[row + UNSIGNED(3)],
        batch[row + UNSIGNED(4)], batch[row + UNSIGNED(5)], batch[row + UNSIGNED(6)], batch[row + UNSIGNED(7)],
        batch[row + UNSIGNED(8)], batch[row + UNSIGNED(9)], batch[row + UNSIGNED(10)], batch[row + UNSIGNED(11)],
        batch[row + FIRST_PIXEL], batch[row + LAST_PIXEL],
    )  # fmt: skip


@njit(inline="always", **OPTIONS)
def planes_with(base, channels) -> int:
    """How many planes a tile needs: `base`, or all where there are signals."""
    return 10 + channels if channels else base


@njit(**OPTIONS)
def clear(planes, first, count) -> None:
    """Fill `count` planes with zeros."""
    for k in range(first, first + UNSIGNED(count * STRIDE)):
        planes[k] = ZERO
