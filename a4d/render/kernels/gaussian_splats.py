"""How a camera sees a Gaussian and its colour: what projecting and its gradients share, and the columns of a splat.

The arithmetic is in double precision, which costs nothing in code that is bound by latency; only what the
rasterisation reads is stored in single precision. Small vectors are tuples, so that they live in registers.

The rules and their constants are those of `a4d.render.gaussians_reference`, repeated here for the compiler.
"""

import math
from typing import Any, NamedTuple

from a4d.kernel_cache import njit

NEAR_DEPTH = 0.01
FRUSTUM_MARGIN = 0.15
LOG2_ALPHA_MIN = -math.log2(255)
REACH_MAX = 1e9
TILE_SIZE = 16
LOG2_E = 1.4426950408889634

# Columns of the (N, 16) array of splats, whose row is one cache line.
# alpha = 2 ** (LOG2_OPACITY - (XX * x * x + XY * x * y + YY * y * y)), x and y being pixels from the centre.
CENTRE_X, CENTRE_Y, FALLOFF_XX, FALLOFF_XY, FALLOFF_YY, LOG2_OPACITY, HALF_WIDTH, HALF_HEIGHT = range(8)
RED, GREEN, BLUE, DEPTH = range(8, 12)
SPLAT_COLUMNS = 16

# First columns of the gradients that the rasterisation hands back: the moments of d loss / d log alpha over
# pixels in x and y from the splat's centre, then the gradients of the four blended features.
SUM, SUM_X, SUM_Y, SUM_XX, SUM_XY, SUM_YY, SUM_RED, SUM_GREEN, SUM_BLUE, SUM_DEPTH = range(10)
SPLAT_GRADIENTS = 10

# NaN and infinity must stay what they are here: they decide which Gaussians are skipped.
OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "nogil": True,
    "fastmath": {"contract", "nsz"},
}
CHUNK = 256

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


class View(NamedTuple):
    """One camera: rows of camera_from_world's rotation, pixels, tangents within which it is linear, and dilation."""

    rotation: Matrix
    position: Vector
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float
    width: float
    height: float
    tangent_left: float
    tangent_right: float
    tangent_top: float
    tangent_bottom: float
    dilation: float


@njit(**OPTIONS)
def read_view(camera) -> View:
    """A view from its (19,) numbers: rotation by rows, position, fx, fy, cx, cy, width, height and dilation."""
    rotation = (
        (camera[0], camera[1], camera[2]),
        (camera[3], camera[4], camera[5]),
        (camera[6], camera[7], camera[8]),
    )
    fx, fy, cx, cy, width, height = camera[12], camera[13], camera[14], camera[15], camera[16], camera[17]
    margin_x, margin_y = FRUSTUM_MARGIN * width / fx, FRUSTUM_MARGIN * height / fy
    return View(
        rotation, (camera[9], camera[10], camera[11]), fx, fy, cx, cy, width, height,
        -cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y,
        camera[18],
    )  # fmt: skip


@njit(**OPTIONS)
def dot(a, b) -> float:
    """The scalar product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(**OPTIONS)
def cross(a, b) -> Vector:
    """The vector product of two vectors."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(**OPTIONS)
def combine(a, x, b, y) -> Vector:
    """The sum a * x + b * y of two scalars and two vectors."""
    return a * x[0] + b * y[0], a * x[1] + b * y[1], a * x[2] + b * y[2]


@njit(**OPTIONS)
def clamp(value, lower, upper) -> float:
    """The nearest number within bounds."""
    return min(max(value, lower), upper)


@njit(**OPTIONS)
def principal_axes(quaternion) -> tuple[Matrix, tuple[float, float, float, float], float]:
    """The columns of the rotation, the quaternion at unit length, and its former length's inverse."""
    w, x, y, z = float(quaternion[0]), float(quaternion[1]), float(quaternion[2]), float(quaternion[3])
    squared_length = w * w + x * x + y * y + z * z
    inverse_length = 1 / math.sqrt(squared_length) if squared_length > 1e-24 else math.nan
    w, x, y, z = w * inverse_length, x * inverse_length, y * inverse_length, z * inverse_length
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    third = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return (first, second, third), (w, x, y, z), inverse_length


@njit(**OPTIONS)
def pixel_gradients(view, tangent_x, tangent_y, inverse_depth) -> tuple[Vector, Vector]:
    """World gradients of the pixel coordinates, linearised no further out than the bounds of the view."""
    tangent_x = clamp(tangent_x, view.tangent_left, view.tangent_right)
    tangent_y = clamp(tangent_y, view.tangent_top, view.tangent_bottom)
    scale_x, scale_y = view.focal_x * inverse_depth, view.focal_y * inverse_depth
    gradient_x = combine(scale_x, view.rotation[0], -scale_x * tangent_x, view.rotation[2])
    gradient_y = combine(scale_y, view.rotation[1], -scale_y * tangent_y, view.rotation[2])
    return gradient_x, gradient_y


@njit(**OPTIONS)
def screen_axes(gradient_x, gradient_y, axes, scale) -> tuple[Vector, Vector]:
    """The principal axes, one standard deviation long, on the screen: their x and their y coordinates."""
    x = (dot(gradient_x, axes[0]) * scale[0], dot(gradient_x, axes[1]) * scale[1], dot(gradient_x, axes[2]) * scale[2])
    y = (dot(gradient_y, axes[0]) * scale[0], dot(gradient_y, axes[1]) * scale[1], dot(gradient_y, axes[2]) * scale[2])
    return x, y


@njit(**OPTIONS)
def fill_sh_basis(direction, count, basis) -> None:
    """The first `count` real spherical harmonics (1, 4, 9 or 16) of a unit vector."""
    x, y, z = direction
    basis[0] = 0.28209479177387814
    if count > 1:
        basis[1] = -0.4886025119029199 * y
        basis[2] = 0.4886025119029199 * z
        basis[3] = -0.4886025119029199 * x
    if count > 4:
        xx, yy, zz = x * x, y * y, z * z
        basis[4] = 1.0925484305920792 * x * y
        basis[5] = -1.0925484305920792 * y * z
        basis[6] = 0.31539156525252005 * (2 * zz - xx - yy)
        basis[7] = -1.0925484305920792 * x * z
        basis[8] = 0.5462742152960396 * (xx - yy)
        if count > 9:
            basis[9] = -0.5900435899266435 * y * (3 * xx - yy)
            basis[10] = 2.890611442640554 * x * y * z
            basis[11] = -0.4570457994644658 * y * (4 * zz - xx - yy)
            basis[12] = 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)
            basis[13] = -0.4570457994644658 * x * (4 * zz - xx - yy)
            basis[14] = 1.445305721320277 * z * (xx - yy)
            basis[15] = -0.5900435899266435 * x * (xx - 3 * yy)


@njit(**OPTIONS)
def fill_sh_slopes(direction, count, slopes) -> None:
    """Derivatives of the harmonics from index 1 on by x, y and z, as polynomials of a free vector."""
    x, y, z = direction
    slopes[1:4] = 0.0
    slopes[1, 1] = slopes[3, 0] = -0.4886025119029199
    slopes[2, 2] = 0.4886025119029199
    if count > 4:
        a, b, c = 1.0925484305920792, 0.31539156525252005, 0.5462742152960396
        slopes[4, 0], slopes[4, 1], slopes[4, 2] = a * y, a * x, 0.0
        slopes[5, 0], slopes[5, 1], slopes[5, 2] = 0.0, -a * z, -a * y
        slopes[6, 0], slopes[6, 1], slopes[6, 2] = -2 * b * x, -2 * b * y, 4 * b * z
        slopes[7, 0], slopes[7, 1], slopes[7, 2] = -a * z, 0.0, -a * x
        slopes[8, 0], slopes[8, 1], slopes[8, 2] = 2 * c * x, -2 * c * y, 0.0
    if count > 9:
        a, b, c, d, e = 0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277
        xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
        slopes[9, 0], slopes[9, 1], slopes[9, 2] = -6 * a * xy, -3 * a * (xx - yy), 0.0
        slopes[10, 0], slopes[10, 1], slopes[10, 2] = b * yz, b * xz, b * xy
        slopes[11, 0], slopes[11, 1], slopes[11, 2] = 2 * c * xy, -c * (4 * zz - xx - 3 * yy), -8 * c * yz
        slopes[12, 0], slopes[12, 1], slopes[12, 2] = -6 * d * xz, -6 * d * yz, 3 * d * (2 * zz - xx - yy)
        slopes[13, 0], slopes[13, 1], slopes[13, 2] = -c * (4 * zz - 3 * xx - yy), 2 * c * xy, -8 * c * xz
        slopes[14, 0], slopes[14, 1], slopes[14, 2] = 2 * e * xz, -2 * e * yz, e * (xx - yy)
        slopes[15, 0], slopes[15, 1], slopes[15, 2] = -3 * a * (xx - yy), 6 * a * xy, 0.0


@njit(**OPTIONS)
def unclipped_channel(sh, basis, count, channel) -> float:
    """One channel of a colour before negative values are cut."""
    value = 0.5
    for k in range(count):
        value += basis[k] * sh[k, channel]
    return value
