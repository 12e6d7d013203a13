"""Which texels of a cube map lie around directions, and their bilinear shares: `cubemap.taps` in one pass."""

import math

from numba import prange

from a4d.kernel_cache import njit


@njit(cache=True, error_model="numpy", nogil=True)
def _face_of(x, y, z) -> tuple[int, float, float]:
    """The face that a direction meets, in the order +x, -x, +y, -y, +z, -z, and right and down on it."""
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        if x < 0:
            return 1, z / ax, -y / ax
        return 0, -z / ax, -y / ax
    if ay >= az:
        if y < 0:
            return 3, x / ay, -z / ay
        return 2, x / ay, z / ay
    if z < 0:
        return 5, -x / az, -y / az
    return 4, x / az, -y / az


@njit(cache=True, error_model="numpy", nogil=True)
def _direction(face, right, down) -> tuple[float, float, float]:
    """The direction, not normalised, of a place on a face's plane, also beyond its edges."""
    if face == 0:
        return 1.0, -down, -right
    if face == 1:
        return -1.0, -down, right
    if face == 2:
        return right, 1.0, down
    if face == 3:
        return right, -1.0, -down
    if face == 4:
        return right, -down, 1.0
    return -right, -down, -1.0


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def taps(directions, size, rows, shares) -> None:
    """Four texels around each direction.

    Args:
        directions: (P, 3) of any length but zero.
        size: texels along a face's edge.
        rows: (P, 4) int64, filled; into the (6 size²) texels.
        shares: (P, 4) float32, filled; they sum to 1.
    """
    for index in prange(len(directions)):
        face, right, down = _face_of(directions[index, 0], directions[index, 1], directions[index, 2])
        x, y = (right + 1) * (size / 2) - 0.5, (down + 1) * (size / 2) - 0.5
        low_x, low_y = math.floor(x), math.floor(y)
        part_x, part_y = x - low_x, y - low_y
        for tap in range(4):
            dx, dy = tap & 1, tap >> 1
            u, v = (low_x + dx + 0.5) * (2 / size) - 1, (low_y + dy + 0.5) * (2 / size) - 1
            # Beyond the edge the neighbouring face's texel is nearest; within, this finds the texel itself.
            ray_x, ray_y, ray_z = _direction(face, u, v)
            there, u, v = _face_of(ray_x, ray_y, ray_z)
            column = min(max(int((u + 1) * (size / 2)), 0), size - 1)
            row = min(max(int((v + 1) * (size / 2)), 0), size - 1)
            rows[index, tap] = (there * size + row) * size + column
            shares[index, tap] = (part_x if dx else 1 - part_x) * (part_y if dy else 1 - part_y)
