"""From the gradients of the splats that one camera sees to those of the Gaussians."""

import math

import numpy as np
from numba import prange

from a4d.kernel_cache import njit
from a4d.render.kernels.gaussian_splats import (
    CHUNK,
    FALLOFF_XX,
    FALLOFF_XY,
    FALLOFF_YY,
    LOG2_E,
    OPTIONS,
    SUM,
    SUM_DEPTH,
    SUM_RED,
    SUM_X,
    SUM_XX,
    SUM_XY,
    SUM_Y,
    SUM_YY,
    Vector,
    clamp,
    combine,
    dot,
    fill_sh_basis,
    fill_sh_slopes,
    pixel_gradients,
    principal_axes,
    read_view,
    screen_axes,
    unclipped_channel,
)


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
