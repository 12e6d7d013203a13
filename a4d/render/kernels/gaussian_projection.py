"""From Gaussians to the splats one camera sees, with their colours, and the gradients of both.

The arithmetic is in double precision, which costs nothing in code that is bound by latency; only what the
rasterisation reads is stored in single precision. Small vectors are tuples, so that they live in registers.

The rules and their constants are those of `a4d.render.gaussians_reference`. They are repeated here because Numba's
cache of compiled kernels notices changes to this file only.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

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


@njit(**OPTIONS)
def write_footprint(view, camera_point, axes, scale, log2_opacity, splat) -> bool:
    """Fill in centre, falloff, opacity and extent of a splat; whether it reaches the image."""
    inverse_depth = 1 / camera_point[2]
    tangent_x, tangent_y = camera_point[0] * inverse_depth, camera_point[1] * inverse_depth
    x = view.focal_x * tangent_x + view.centre_x
    y = view.focal_y * tangent_y + view.centre_y
    gradient_x, gradient_y = pixel_gradients(view, tangent_x, tangent_y, inverse_depth)
    axes_x, axes_y = screen_axes(gradient_x, gradient_y, axes, scale)
    xx, xy, yy = dot(axes_x, axes_x), dot(axes_x, axes_y), dot(axes_y, axes_y)
    # The determinant of the dilated covariance as a sum of squares, which no rounding makes negative.
    normal = cross(axes_x, axes_y)
    determinant = dot(normal, normal) + view.dilation * (xx + yy) + view.dilation * view.dilation
    xx, yy = xx + view.dilation, yy + view.dilation
    squared_reach = 2 * (log2_opacity - LOG2_ALPHA_MIN) / LOG2_E
    half_width, half_height = math.sqrt(squared_reach * xx), math.sqrt(squared_reach * yy)
    splat[CENTRE_X], splat[CENTRE_Y] = x, y
    splat[FALLOFF_XX] = 0.5 * LOG2_E * yy / determinant
    splat[FALLOFF_XY] = -LOG2_E * xy / determinant
    splat[FALLOFF_YY] = 0.5 * LOG2_E * xx / determinant
    splat[LOG2_OPACITY] = log2_opacity
    splat[HALF_WIDTH], splat[HALF_HEIGHT] = half_width, half_height
    is_resolved = max(abs(x), abs(y)) < REACH_MAX and max(half_width, half_height) < REACH_MAX
    is_inside_x = x + half_width > 0 and x - half_width < view.width
    is_inside_y = y + half_height > 0 and y - half_height < view.height
    return is_resolved and is_inside_x and is_inside_y


@njit(**OPTIONS)
def write_colour(sh, direction, basis, count, splat) -> bool:
    """Fill in the colour of a splat; whether it is finite."""
    if count > 1:
        fill_sh_basis(direction, count, basis)
    is_finite = True
    for channel in range(3):
        value = unclipped_channel(sh, basis, count, channel)
        is_finite = is_finite and math.isfinite(value)
        splat[RED + channel] = max(value, 0.0)
    return is_finite


@njit(**OPTIONS)
def count_tiles(view, splat, tile_rectangle) -> int:
    """Fill in the first and one past the last column and row of tiles a splat overlaps; their number."""
    columns, rows = math.ceil(view.width / TILE_SIZE), math.ceil(view.height / TILE_SIZE)
    x, y, half_width, half_height = splat[CENTRE_X], splat[CENTRE_Y], splat[HALF_WIDTH], splat[HALF_HEIGHT]
    left = max(0, math.floor((x - half_width) / TILE_SIZE))
    top = max(0, math.floor((y - half_height) / TILE_SIZE))
    right = min(columns, math.floor((x + half_width) / TILE_SIZE) + 1)
    bottom = min(rows, math.floor((y + half_height) / TILE_SIZE) + 1)
    tile_rectangle[0], tile_rectangle[1], tile_rectangle[2], tile_rectangle[3] = left, top, right, bottom
    return max(right - left, 0) * max(bottom - top, 0)


@njit(parallel=True, **OPTIONS)
def project(camera, gaussians, log2_opacities, splats, tile_rectangles, tile_counts) -> None:
    """Write each Gaussian's splat and the tiles it overlaps.

    Args:
        camera: (19,) numbers for `read_view`.
        gaussians: means (N, 3) in the world in metres, quaternions (N, 4) wxyz, scales (N, 3) in metres, and of the
            harmonics only the coefficients to evaluate, (N, K, 3), K = 1, 4, 9 or 16.
        log2_opacities: (N,).
        splats: (N, 16) written for visible Gaussians.
        tile_rectangles: (N, 4) int32, written for visible Gaussians.
        tile_counts: (N,) int32, written; 0 for those that are skipped.
    """
    means, quaternions, scales, sh = gaussians
    number, coefficients = sh.shape[0], sh.shape[1]
    for chunk in prange((number + CHUNK - 1) // CHUNK):
        view, basis = read_view(camera), np.empty(16)
        basis[0] = 0.28209479177387814
        for i in range(chunk * CHUNK, min(number, (chunk + 1) * CHUNK)):
            tile_counts[i] = 0
            mean = (float(means[i, 0]), float(means[i, 1]), float(means[i, 2]))
            offset = combine(1.0, mean, -1.0, view.position)
            camera_point = (dot(view.rotation[0], offset), dot(view.rotation[1], offset), dot(view.rotation[2], offset))
            log2_opacity = float(log2_opacities[i])
            if not (camera_point[2] >= NEAR_DEPTH and log2_opacity >= LOG2_ALPHA_MIN):
                continue
            axes, _, _ = principal_axes(quaternions[i])
            scale = (float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2]))
            if not write_footprint(view, camera_point, axes, scale, log2_opacity, splats[i]):
                continue
            distance = math.sqrt(dot(offset, offset))
            direction = (offset[0] / distance, offset[1] / distance, offset[2] / distance)
            if not write_colour(sh[i], direction, basis, coefficients, splats[i]):
                continue
            splats[i, DEPTH] = camera_point[2]
            tile_counts[i] = count_tiles(view, splats[i], tile_rectangles[i])


@njit(**OPTIONS)
def backward_colour(sh, direction, distance, gradient, basis, slopes, grad_sh) -> Vector:
    """Add to the coefficients' gradients; the colour's gradient by the offset from the camera."""
    count = sh.shape[0]
    along_x, along_y, along_z = 0.0, 0.0, 0.0
    if count > 1:
        fill_sh_basis(direction, count, basis)
        fill_sh_slopes(direction, count, slopes)
    for channel in range(3):
        if unclipped_channel(sh, basis, count, channel) < 0:
            continue
        incoming = float(gradient[SUM_RED + channel])
        grad_sh[0, channel] += incoming * basis[0]
        for k in range(1, count):
            grad_sh[k, channel] += incoming * basis[k]
            weight = incoming * sh[k, channel]
            along_x += weight * slopes[k, 0]
            along_y += weight * slopes[k, 1]
            along_z += weight * slopes[k, 2]
    slope = (along_x, along_y, along_z)
    return combine(1 / distance, slope, -dot(slope, direction) / distance, direction)


@njit(**OPTIONS)
def backward_covariance(splat, gradient) -> tuple[Vector, tuple[float, float]]:
    """Gradients by the entries xx, xy (once) and yy of the screen covariance, and by the centre."""
    xx = 2 / LOG2_E * float(splat[FALLOFF_XX])
    xy = 1 / LOG2_E * float(splat[FALLOFF_XY])
    yy = 2 / LOG2_E * float(splat[FALLOFF_YY])
    centre_x = xx * gradient[SUM_X] + xy * gradient[SUM_Y]
    centre_y = xy * gradient[SUM_X] + yy * gradient[SUM_Y]
    # d loss / d covariance = inverse (sum of v p p^T / 2) inverse, p being pixels from the centre.
    first_x = xx * gradient[SUM_XX] + xy * gradient[SUM_XY]
    first_y = xx * gradient[SUM_XY] + xy * gradient[SUM_YY]
    second_x = xy * gradient[SUM_XX] + yy * gradient[SUM_XY]
    second_y = xy * gradient[SUM_XY] + yy * gradient[SUM_YY]
    grad_xx = 0.5 * (first_x * xx + first_y * xy)
    grad_xy = 0.5 * (first_x * xy + first_y * yy)
    grad_yy = 0.5 * (second_x * xy + second_y * yy)
    return (grad_xx, grad_xy, grad_yy), (centre_x, centre_y)


@njit(**OPTIONS)
def backward_mean(view, camera_point, grad_x, grad_y, grad_centre, grad_depth) -> Vector:
    """World gradient of the mean.

    `grad_x` and `grad_y` are the gradients by what `pixel_gradients` returned.
    """
    inverse_depth = 1 / camera_point[2]
    tangent_x, tangent_y = camera_point[0] * inverse_depth, camera_point[1] * inverse_depth
    clamped_x = clamp(tangent_x, view.tangent_left, view.tangent_right)
    clamped_y = clamp(tangent_y, view.tangent_top, view.tangent_bottom)
    scale_x, scale_y = view.focal_x * inverse_depth, view.focal_y * inverse_depth
    grad_scale_x = dot(grad_x, view.rotation[0]) - clamped_x * dot(grad_x, view.rotation[2])
    grad_scale_y = dot(grad_y, view.rotation[1]) - clamped_y * dot(grad_y, view.rotation[2])
    grad_tangent_x = view.focal_x * grad_centre[0]
    grad_tangent_y = view.focal_y * grad_centre[1]
    if clamped_x == tangent_x:
        grad_tangent_x -= scale_x * dot(grad_x, view.rotation[2])
    if clamped_y == tangent_y:
        grad_tangent_y -= scale_y * dot(grad_y, view.rotation[2])
    along_x, along_y = grad_tangent_x * inverse_depth, grad_tangent_y * inverse_depth
    along_z = grad_depth - along_x * tangent_x - along_y * tangent_y
    along_z -= (grad_scale_x * scale_x + grad_scale_y * scale_y) * inverse_depth
    return combine(1.0, combine(along_x, view.rotation[0], along_y, view.rotation[1]), along_z, view.rotation[2])


@njit(**OPTIONS)
def backward_rotation(unit, inverse_length, grad_axes, grad_quaternion) -> None:
    """Add the gradient by a quaternion of any length, given those by the columns of its rotation."""
    w, x, y, z = unit
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = grad_axes
    grad_w = 2 * (z * (a1 - b0) + y * (c0 - a2) + x * (b2 - c1))
    grad_x = 2 * (y * (a1 + b0) + z * (a2 + c0) + w * (b2 - c1) - 2 * x * (b1 + c2))
    grad_y = 2 * (x * (a1 + b0) + z * (b2 + c1) + w * (c0 - a2) - 2 * y * (a0 + c2))
    grad_z = 2 * (x * (a2 + c0) + y * (b2 + c1) + w * (a1 - b0) - 2 * z * (a0 + b1))
    radial = grad_w * w + grad_x * x + grad_y * y + grad_z * z
    grad_quaternion[0] += (grad_w - radial * w) * inverse_length
    grad_quaternion[1] += (grad_x - radial * x) * inverse_length
    grad_quaternion[2] += (grad_y - radial * y) * inverse_length
    grad_quaternion[3] += (grad_z - radial * z) * inverse_length


@njit(**OPTIONS)
def backward_shape(
    view, camera_point, quaternion, scale, grad_covariance, grad_quaternion, grad_log_scale
) -> tuple[Vector, Vector]:
    """Add the gradients of rotation and scale; those by what `pixel_gradients` returned."""
    inverse_depth = 1 / camera_point[2]
    gradient_x, gradient_y = pixel_gradients(
        view, camera_point[0] * inverse_depth, camera_point[1] * inverse_depth, inverse_depth
    )
    axes, unit, inverse_length = principal_axes(quaternion)
    axes_x, axes_y = screen_axes(gradient_x, gradient_y, axes, scale)
    grad_xx, grad_xy, grad_yy = grad_covariance
    grad_axes_x = combine(2 * grad_xx, axes_x, 2 * grad_xy, axes_y)
    grad_axes_y = combine(2 * grad_xy, axes_x, 2 * grad_yy, axes_y)
    for k in range(3):
        grad_log_scale[k] += grad_axes_x[k] * axes_x[k] + grad_axes_y[k] * axes_y[k]
    scaled_x = (grad_axes_x[0] * scale[0], grad_axes_x[1] * scale[1], grad_axes_x[2] * scale[2])
    scaled_y = (grad_axes_y[0] * scale[0], grad_axes_y[1] * scale[1], grad_axes_y[2] * scale[2])
    grad_axes = (
        combine(scaled_x[0], gradient_x, scaled_y[0], gradient_y),
        combine(scaled_x[1], gradient_x, scaled_y[1], gradient_y),
        combine(scaled_x[2], gradient_x, scaled_y[2], gradient_y),
    )
    backward_rotation(unit, inverse_length, grad_axes, grad_quaternion)
    grad_x = combine(1.0, combine(scaled_x[0], axes[0], scaled_x[1], axes[1]), scaled_x[2], axes[2])
    grad_y = combine(1.0, combine(scaled_y[0], axes[0], scaled_y[1], axes[1]), scaled_y[2], axes[2])
    return grad_x, grad_y


@njit(parallel=True, **OPTIONS)
def project_backward(camera, gaussians, splats, tile_counts, splat_gradients, gradients, grad_centres) -> None:
    """Add the gradients of one view to those of the Gaussians' parameters.

    Args:
        camera: (19,) numbers for `read_view`.
        gaussians: as given to `project`.
        splats: (N, 16) from `project`.
        tile_counts: (N,) from `project`.
        splat_gradients: (N, 10 or more) gradients from the rasterisation, for visible Gaussians.
        gradients: of means, quaternions, logarithms of scales, logarithms of opacities and sh; added to.
        grad_centres: (N, 2) gradients by the projected means in pixels; written for visible Gaussians.
    """
    means, quaternions, scales, sh = gaussians
    grad_means, grad_quaternions, grad_log_scales, grad_log_opacities, grad_sh = gradients
    number = means.shape[0]
    for chunk in prange((number + CHUNK - 1) // CHUNK):
        view, basis, slopes = read_view(camera), np.empty(16), np.empty((16, 3))
        basis[0] = 0.28209479177387814
        for i in range(chunk * CHUNK, min(number, (chunk + 1) * CHUNK)):
            if tile_counts[i] == 0:
                continue
            gradient = splat_gradients[i]
            mean = (float(means[i, 0]), float(means[i, 1]), float(means[i, 2]))
            offset = combine(1.0, mean, -1.0, view.position)
            distance = math.sqrt(dot(offset, offset))
            direction = (offset[0] / distance, offset[1] / distance, offset[2] / distance)
            camera_point = (dot(view.rotation[0], offset), dot(view.rotation[1], offset), dot(view.rotation[2], offset))
            scale = (float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2]))

            grad_log_opacities[i] += gradient[SUM]
            grad_covariance, grad_centre = backward_covariance(splats[i], gradient)
            grad_centres[i, 0], grad_centres[i, 1] = grad_centre
            grad_x, grad_y = backward_shape(
                view, camera_point, quaternions[i], scale, grad_covariance, grad_quaternions[i], grad_log_scales[i]
            )
            grad_depth = float(gradient[SUM_DEPTH])
            by_projection = backward_mean(view, camera_point, grad_x, grad_y, grad_centre, grad_depth)
            by_colour = backward_colour(sh[i], direction, distance, gradient, basis, slopes, grad_sh[i])
            for axis in range(3):
                grad_means[i, axis] += by_projection[axis] + by_colour[axis]
