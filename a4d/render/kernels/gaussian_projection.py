"""From Gaussians to the splats one camera sees, with their colours."""

import math

import numpy as np
from numba import prange

from a4d.kernel_cache import njit
from a4d.render.kernels.gaussian_splats import (
    CENTRE_X,
    CENTRE_Y,
    CHUNK,
    DEPTH,
    FALLOFF_XX,
    FALLOFF_XY,
    FALLOFF_YY,
    HALF_HEIGHT,
    HALF_WIDTH,
    LOG2_ALPHA_MIN,
    LOG2_E,
    LOG2_OPACITY,
    NEAR_DEPTH,
    OPTIONS,
    REACH_MAX,
    RED,
    TILE_SIZE,
    combine,
    cross,
    dot,
    fill_sh_basis,
    pixel_gradients,
    principal_axes,
    read_view,
    screen_axes,
    unclipped_channel,
)


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
