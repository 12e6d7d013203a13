"""Rays against balls, boxes, cylinders, cones and capsules, each intersected in its own affine frame.

Everywhere `primitives` is (N, 12) float64: the 3x4 matrix `local_from_world`, row by row, of which the renderer needs
no more to shade a point, and `looks` is (N, 9) float64: two colours, the pattern, its frequency and the shape's extent
(half the length of a capsule's axis in radii; unused otherwise).
"""

from __future__ import annotations

import numpy as np

from a4d.kernel_cache import njit

BALL, BOX, CYLINDER, CONE, CAPSULE = range(5)
PLAIN, STRIPES, CHECKS, SPOTS = range(4)

_FAR = 1e30


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _roots(a, b, c) -> tuple[float, float]:
    """Smaller and larger root of a t² + 2 b t + c, or a pair of far numbers."""
    inside = b * b - a * c
    if inside <= 0.0 or a < 1e-12:
        return _FAR, _FAR
    root = np.sqrt(inside)
    return (-b - root) / a, (-b + root) / a


@njit(cache=True, nogil=True, error_model="numpy")
def _hit_ball(o, d, centre, normal) -> float:
    """The unit ball around (0, centre, 0)."""
    y = o[1] - centre
    near, _ = _roots(
        d[0] * d[0] + d[1] * d[1] + d[2] * d[2],
        o[0] * d[0] + y * d[1] + o[2] * d[2],
        o[0] * o[0] + y * y + o[2] * o[2] - 1.0,
    )
    if near <= 0.0 or near >= _FAR:
        return _FAR
    normal[0], normal[1], normal[2] = o[0] + near * d[0], y + near * d[1], o[2] + near * d[2]
    return near


@njit(cache=True, nogil=True, error_model="numpy")
def _hit_box(o, d, normal) -> float:
    """The cube from -1 to 1."""
    low, high, axis = -_FAR, _FAR, 0
    for k in range(3):
        if abs(d[k]) < 1e-12:
            if abs(o[k]) > 1.0:
                return _FAR
            continue
        first, second = (-1.0 - o[k]) / d[k], (1.0 - o[k]) / d[k]
        if first > second:
            first, second = second, first
        if first > low:
            low, axis = first, k
        high = min(high, second)
    if low >= high or low <= 0.0:
        return _FAR
    normal[:] = 0.0
    normal[axis] = -np.sign(d[axis])
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def _hit_tube(o, d, extent, normal) -> float:
    """A cylinder of radius 1 about the y axis, open, from -extent to extent."""
    near, _ = _roots(d[0] * d[0] + d[2] * d[2], o[0] * d[0] + o[2] * d[2], o[0] * o[0] + o[2] * o[2] - 1.0)
    if near <= 0.0 or near >= _FAR or abs(o[1] + near * d[1]) > extent:
        return _FAR
    normal[0], normal[1], normal[2] = o[0] + near * d[0], 0.0, o[2] + near * d[2]
    return near


@njit(cache=True, nogil=True, error_model="numpy")
def _hit_disc(o, d, height, normal) -> float:
    """The unit disc at a height, seen from outside."""
    if abs(d[1]) < 1e-12:
        return _FAR
    near = (height - o[1]) / d[1]
    x, z = o[0] + near * d[0], o[2] + near * d[2]
    if near <= 0.0 or x * x + z * z > 1.0:
        return _FAR
    normal[0], normal[1], normal[2] = 0.0, np.sign(height), 0.0
    return near


@njit(cache=True, nogil=True, error_model="numpy")
def _hit_cone(o, d, normal) -> float:
    """The side of a cone with its apex at y = 1 and a base of radius 1 at y = -1."""
    w, dw = (1.0 - o[1]) / 2, -d[1] / 2
    a = d[0] * d[0] + d[2] * d[2] - dw * dw
    b = o[0] * d[0] + o[2] * d[2] - w * dw
    c = o[0] * o[0] + o[2] * o[2] - w * w
    inside = b * b - a * c
    if inside <= 0.0 or abs(a) < 1e-12:
        return _FAR
    root = np.sqrt(inside)
    first, second = (-b - root) / a, (-b + root) / a
    if first > second:
        first, second = second, first
    for near in (first, second):
        y = o[1] + near * d[1]
        if near > 0.0 and -1.0 <= y <= 1.0:
            normal[0], normal[1], normal[2] = o[0] + near * d[0], (1.0 - y) / 4, o[2] + near * d[2]
            return near
    return _FAR


@njit(cache=True, nogil=True, error_model="numpy")
def _hit(shape, extent, o, d, normal, spare) -> float:
    """The ray parameter at which a unit primitive is entered; its normal in local axes, not normalised."""
    if shape == BALL:
        return _hit_ball(o, d, 0.0, normal)
    if shape == BOX:
        return _hit_box(o, d, normal)
    best = _hit_cone(o, d, normal) if shape == CONE else _hit_tube(o, d, extent if shape == CAPSULE else 1.0, normal)
    for end in (-1.0, 1.0):
        if shape == CAPSULE:
            near = _hit_ball(o, d, end * extent, spare)
        elif shape == CONE and end > 0:
            break
        else:
            near = _hit_disc(o, d, end, spare)
        if near < best:
            best = near
            normal[:] = spare
    return best


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _in_pattern(pattern, frequency, x, y, z) -> bool:
    """Whether a local point has the second colour."""
    if pattern == STRIPES:
        return np.int64(np.floor(y * frequency)) % 2 == 0
    if pattern == CHECKS:
        cell = np.floor(x * frequency) + np.floor(y * frequency) + np.floor(z * frequency)
        return np.int64(cell) % 2 == 0
    if pattern == SPOTS:
        a = x * frequency - np.floor(x * frequency) - 0.5
        b = y * frequency - np.floor(y * frequency) - 0.5
        c = z * frequency - np.floor(z * frequency) - 0.5
        return a * a + b * b + c * c < 0.14
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _screen_box(local_from_world, extent, camera, width, height, box) -> None:
    """The pixels, as low and exclusive high x and y, that the cube around a primitive can touch."""
    matrix = np.ascontiguousarray(local_from_world.reshape(3, 4))
    inverse = np.linalg.inv(matrix[:, :3])
    box[0], box[1], box[2], box[3] = _FAR, -_FAR, _FAR, -_FAR
    for corner in range(8):
        x = 1.0 if corner & 1 else -1.0
        y = extent if corner & 2 else -extent
        z = 1.0 if corner & 4 else -1.0
        lx, ly, lz = x - matrix[0, 3], y - matrix[1, 3], z - matrix[2, 3]
        wx = inverse[0, 0] * lx + inverse[0, 1] * ly + inverse[0, 2] * lz - camera[9]
        wy = inverse[1, 0] * lx + inverse[1, 1] * ly + inverse[1, 2] * lz - camera[10]
        wz = inverse[2, 0] * lx + inverse[2, 1] * ly + inverse[2, 2] * lz - camera[11]
        depth = camera[2] * wx + camera[5] * wy + camera[8] * wz
        if depth <= 1e-6:
            box[0], box[1], box[2], box[3] = 0.0, width, 0.0, height
            return
        u = (camera[0] * wx + camera[3] * wy + camera[6] * wz) / depth * camera[12] + camera[14]
        v = (camera[1] * wx + camera[4] * wy + camera[7] * wz) / depth * camera[13] + camera[15]
        box[0], box[1] = min(box[0], u), max(box[1], u)
        box[2], box[3] = min(box[2], v), max(box[3], v)
    box[0], box[1] = max(np.floor(box[0]), 0.0), min(np.ceil(box[1]), width)
    box[2], box[3] = max(np.floor(box[2]), 0.0), min(np.ceil(box[3]), height)


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(shape, index, local, look, camera, light, samples, depths, colours, hits) -> None:
    """One primitive into the supersampled depths (h, w), colours (h, w, 3) and hits (h, w, 4) of one image."""
    height, width = depths.shape[0] // samples, depths.shape[1] // samples
    box, o, d, normal, spare = np.empty(4), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    extent = look[8] + 1.0 if shape == CAPSULE else 1.0
    _screen_box(local, extent, camera, float(width), float(height), box)
    for k in range(3):
        o[k] = (
            local[4 * k] * camera[9] + local[4 * k + 1] * camera[10] + local[4 * k + 2] * camera[11] + local[4 * k + 3]
        )
    for row in range(np.int64(box[2]) * samples, np.int64(box[3]) * samples):
        down = ((row + 0.5) / samples - camera[15]) / camera[13]
        for column in range(np.int64(box[0]) * samples, np.int64(box[1]) * samples):
            right = ((column + 0.5) / samples - camera[14]) / camera[12]
            wx = camera[0] * right + camera[1] * down + camera[2]
            wy = camera[3] * right + camera[4] * down + camera[5]
            wz = camera[6] * right + camera[7] * down + camera[8]
            for k in range(3):
                d[k] = local[4 * k] * wx + local[4 * k + 1] * wy + local[4 * k + 2] * wz
            near = _hit(shape, look[8], o, d, normal, spare)
            if near >= depths[row, column]:
                continue
            depths[row, column] = near
            for k in range(3):
                hits[row, column, k] = o[k] + near * d[k]
            hits[row, column, 3] = index
            # A normal is a covector: it goes to the world by the transpose of local_from_world.
            nx = local[0] * normal[0] + local[4] * normal[1] + local[8] * normal[2]
            ny = local[1] * normal[0] + local[5] * normal[1] + local[9] * normal[2]
            nz = local[2] * normal[0] + local[6] * normal[1] + local[10] * normal[2]
            facing = (nx * light[0] + ny * light[1] + nz * light[2]) / np.sqrt(nx * nx + ny * ny + nz * nz)
            brightness = light[3] + (1.0 - light[3]) * (0.5 + 0.5 * facing)
            hit = hits[row, column]
            second = _in_pattern(look[6], look[7], hit[0], hit[1], hit[2])
            for k in range(3):
                colours[row, column, k] = brightness * (look[3 + k] if second else look[k])


@njit(cache=True, nogil=True, error_model="numpy")
def draw_primitives(shapes, primitives, looks, cameras, light, samples, rgba, surface) -> None:
    """Images of the same primitives in several poses from several sides, with straight alpha.

    `shapes` (N,), `primitives` (T, N, 12), `looks` (N, 9), `cameras` (V, 16) rotation of world_from_camera row by row,
    position, fx, fy, cx, cy; `light` direction and the share of light that is everywhere; into `rgba` (V, T, H, W, 4).
    Into `surface` (V, T, H, W, 4), unless it is empty, goes a point that the pixel sees, in the frame of its primitive,
    and that primitive's index, -1 where there is none.
    """
    views, times, height, width = rgba.shape[:4]
    depths = np.empty((height * samples, width * samples))
    colours = np.empty((height * samples, width * samples, 3))
    hits = np.empty((height * samples, width * samples, 4))
    for view in range(views):
        for time in range(times):
            depths[:] = _FAR
            for n in range(len(shapes)):
                _draw(shapes[n], n, primitives[time, n], looks[n], cameras[view], light, samples, depths, colours, hits)
            for row in range(height):
                for column in range(width):
                    if surface.size:
                        surface[view, time, row, column, 3] = -1.0
                    count = 0
                    red, green, blue = 0.0, 0.0, 0.0
                    for i in range(row * samples, (row + 1) * samples):
                        for j in range(column * samples, (column + 1) * samples):
                            if depths[i, j] < _FAR:
                                count += 1
                                if surface.size:
                                    surface[view, time, row, column] = hits[i, j]
                                red += colours[i, j, 0]
                                green += colours[i, j, 1]
                                blue += colours[i, j, 2]
                    pixel = rgba[view, time, row, column]
                    scale = 1.0 / max(count, 1)
                    pixel[0], pixel[1], pixel[2] = red * scale, green * scale, blue * scale
                    pixel[3] = count / (samples * samples)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _project(matrix, point, camera, pixel) -> None:
    """Pixel of a point in a primitive's frame."""
    x = matrix[0, 0] * point[0] + matrix[0, 1] * point[1] + matrix[0, 2] * point[2] + matrix[0, 3] - camera[9]
    y = matrix[1, 0] * point[0] + matrix[1, 1] * point[1] + matrix[1, 2] * point[2] + matrix[1, 3] - camera[10]
    z = matrix[2, 0] * point[0] + matrix[2, 1] * point[1] + matrix[2, 2] * point[2] + matrix[2, 3] - camera[11]
    depth = camera[2] * x + camera[5] * y + camera[8] * z
    pixel[0] = (camera[0] * x + camera[3] * y + camera[6] * z) / depth * camera[12] + camera[14]
    pixel[1] = (camera[1] * x + camera[4] * y + camera[7] * z) / depth * camera[13] + camera[15]


@njit(cache=True, nogil=True, error_model="numpy")
def find_correspondences(surface, rest_surface, moved, rest, cameras, tolerance, flow, visible) -> None:
    """Where each surface point of moving images is in the images at rest.

    `surface` (V, T, H, W, 4) and `rest_surface` (V, H, W, 4) as drawn, `moved` (T, N, 4, 4) and `rest` (N, 4, 4) world
    from primitives, `cameras` (V, 16), `tolerance` in metres within which two points are the same; into `flow`
    (V, T, V, 2, H, W) the way in pixels to the same point at rest, in the view after next by the third index, and into
    `visible` (V, T, V, H, W) whether it is seen there.
    """
    views, times, height, width = surface.shape[:4]
    here, there = np.empty(2), np.empty(2)
    for view in range(views):
        for time in range(times):
            for row in range(height):
                for column in range(width):
                    point = surface[view, time, row, column]
                    if point[3] < 0.0:
                        visible[view, time, :, row, column] = False
                        continue
                    n = np.int64(point[3])
                    _project(moved[time, n], point, cameras[view], here)
                    for turn in range(views):
                        other = (view + turn) % views
                        _project(rest[n], point, cameras[other], there)
                        flow[view, time, turn, 0, row, column] = there[0] - here[0]
                        flow[view, time, turn, 1, row, column] = there[1] - here[1]
                        visible[view, time, turn, row, column] = _is_seen(
                            point, n, there, rest_surface[other], rest, tolerance
                        )


@njit(cache=True, nogil=True, error_model="numpy")
def _is_seen(point, n, pixel, surface, rest, tolerance) -> bool:
    """Whether the surface at a pixel or beside it is the given point at rest."""
    height, width = surface.shape[:2]
    x, y = np.int64(np.floor(pixel[0])), np.int64(np.floor(pixel[1]))
    for i in range(max(y - 1, 0), min(y + 2, height)):
        for j in range(max(x - 1, 0), min(x + 2, width)):
            seen = surface[i, j]
            if seen[3] < 0.0:
                continue
            m = np.int64(seen[3])
            apart = 0.0
            for k in range(3):
                a = rest[n, k, 0] * point[0] + rest[n, k, 1] * point[1] + rest[n, k, 2] * point[2] + rest[n, k, 3]
                b = rest[m, k, 0] * seen[0] + rest[m, k, 1] * seen[1] + rest[m, k, 2] * seen[2] + rest[m, k, 3]
                apart += (a - b) ** 2
            if apart < tolerance * tolerance:
                return True
    return False
