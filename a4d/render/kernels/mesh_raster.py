"""Z-buffer rasterisation of triangles, parallel over bands of image rows.

A pixel's ray meets the plane of a triangle (a, b, c) in camera space where the three edge functions `(b × c) · ray`,
`(c × a) · ray` and `(a × b) · ray` say: divided by the determinant and by their sum they are the perspective-correct
barycentric weights and the inverse depth (Olano and Greer 1997). Nothing is ever divided by a vertex's depth, so a
triangle that reaches behind the camera needs no cutting: the near plane is a test per pixel. Two triangles evaluate
their common edge with exactly opposite signs, so that no pixel falls between them.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from a4d.kernel_cache import njit

BAND = 8
"""Rows per band: small enough to share the work evenly, large enough that few triangles are in two bands."""


@njit(cache=True, error_model="numpy", nogil=True)
def _extent(corners, intrinsics, width, height, near, box) -> bool:
    """Pixel bounds x0, y0, x1, y1 (inclusive) of the part of a triangle in front of the near plane."""
    x0, y0, x1, y1 = np.inf, np.inf, -np.inf, -np.inf
    for i in range(3):
        x, y, z = corners[i, 0], corners[i, 1], corners[i, 2]
        if z >= near:
            u, v = x / z, y / z
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
        j = (i + 1) % 3
        if (z >= near) != (corners[j, 2] >= near):
            along = (near - z) / (corners[j, 2] - z)
            u = (x + along * (corners[j, 0] - x)) / near
            v = (y + along * (corners[j, 1] - y)) / near
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
    if not x0 <= x1:
        return False
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    # Bounds beyond the image are cut before they become integers: at a grazing near plane they are astronomically far.
    box[0] = math.ceil(max(x0 * fx + cx - 0.5, 0.0))
    box[1] = math.ceil(max(y0 * fy + cy - 0.5, 0.0))
    box[2] = math.floor(min(x1 * fx + cx - 0.5, width - 1.0))
    box[3] = math.floor(min(y1 * fy + cy - 0.5, height - 1.0))
    return box[0] <= box[2] and box[1] <= box[3]


@njit(cache=True, error_model="numpy", nogil=True)
def _bin(vertices, faces, intrinsics, width, height, near, boxes) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Triangles by band of rows: `(start of each band, triangle ids)`; fills the pixel bounds of each triangle."""
    bands = (height + BAND - 1) // BAND
    start = np.zeros(bands + 1, np.int64)
    corners = np.empty((3, 3))
    for f in range(len(faces)):
        for i in range(3):
            corners[i] = vertices[faces[f, i]]
        if _extent(corners, intrinsics, width, height, near, boxes[f]):
            for band in range(boxes[f, 1] // BAND, boxes[f, 3] // BAND + 1):
                start[band + 1] += 1
        else:
            boxes[f, 3] = -1
    for band in range(bands):
        start[band + 1] += start[band]
    members = np.empty(start[bands], np.int32)
    position = start[:-1].copy()
    for f in range(len(faces)):
        if boxes[f, 3] >= 0:
            for band in range(boxes[f, 1] // BAND, boxes[f, 3] // BAND + 1):
                members[position[band]] = f
                position[band] += 1
    return start, members


@njit(cache=True, error_model="numpy", nogil=True)
def _draw(a, b, c, face, rows, box, lens, near, beyond, face_id, barycentric, inverse_depth) -> None:
    """One triangle into some rows of the buffers, where it is nearer than what they hold."""
    e0x, e0y, e0z = b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]
    e1x, e1y, e1z = c[1] * a[2] - c[2] * a[1], c[2] * a[0] - c[0] * a[2], c[0] * a[1] - c[1] * a[0]
    e2x, e2y, e2z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    determinant = a[0] * e0x + a[1] * e0y + a[2] * e0z
    if determinant == 0.0:
        return
    side = 1.0 if determinant > 0 else -1.0
    scale = 1.0 / abs(determinant)
    for y in range(max(rows[0], box[1]), min(rows[1], box[3] + 1)):
        v = (y + 0.5 - lens[3]) / lens[1]
        w0, w1, w2 = side * (e0y * v + e0z), side * (e1y * v + e1z), side * (e2y * v + e2z)
        for x in range(box[0], box[2] + 1):
            u = (x + 0.5 - lens[2]) / lens[0]
            l0, l1, l2 = side * e0x * u + w0, side * e1x * u + w1, side * e2x * u + w2
            if l0 >= 0.0 and l1 >= 0.0 and l2 >= 0.0:
                total = l0 + l1 + l2
                nearness = total * scale
                if nearness > inverse_depth[y, x] and nearness * near <= 1.0 and nearness * beyond[y, x] < 1.0:
                    inverse_depth[y, x] = nearness
                    face_id[y, x] = face
                    barycentric[y, x, 0] = l0 / total
                    barycentric[y, x, 1] = l1 / total
                    barycentric[y, x, 2] = l2 / total


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def rasterise(vertices, faces, intrinsics, near, beyond, face_id, barycentric, depth) -> None:
    """Nearest triangle at each pixel centre.

    Args:
        vertices: (V, 3) float64 in camera axes (x right, y down, z forward).
        faces: (F, 3) integer.
        intrinsics: (4,) float64 fx, fy, cx, cy in pixels.
        near: nothing is drawn nearer than this depth; positive.
        beyond: (H, W) float64; nothing is drawn at this depth or nearer.
        face_id: (H, W) integer, filled; -1 where nothing is seen.
        barycentric: (H, W, 3) float32, filled; weights of the triangle's corners.
        depth: (H, W) float64, filled; along the viewing axis, 0 where nothing is seen.
    """
    height, width = face_id.shape
    boxes = np.empty((len(faces), 4), np.int32)
    start, members = _bin(vertices, faces, intrinsics, width, height, near, boxes)
    for band in prange(len(start) - 1):
        rows = (band * BAND, min(height, (band + 1) * BAND))
        face_id[rows[0] : rows[1]] = -1
        barycentric[rows[0] : rows[1]] = 0
        depth[rows[0] : rows[1]] = 0
        for k in range(start[band], start[band + 1]):
            f = members[k]
            a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            _draw(a, b, c, f, rows, boxes[f], intrinsics, near, beyond, face_id, barycentric, depth)
        for y in range(rows[0], rows[1]):
            for x in range(width):
                if face_id[y, x] >= 0:
                    depth[y, x] = 1.0 / depth[y, x]


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def resolve(face_id, barycentric, depth, faces, attributes, samples, image) -> None:
    """Interpolate colours and normals at the samples and take the mean over each pixel's.

    Args:
        face_id: (H * samples, W * samples) int32, from `rasterise`, as the next two.
        barycentric: (H * samples, W * samples, 3) float32.
        depth: (H * samples, W * samples) float64.
        faces: (F, 3) integer.
        attributes: (V, 6) float32 colour and normal.
        samples: per pixel and axis.
        image: (H, W, 8) float32, filled: colour, unit normal and depth scaled by coverage, and coverage.
    """
    height, width, _ = image.shape
    share = np.float32(1.0 / (samples * samples))
    for y in prange(height):
        value = np.empty(6, np.float32)
        for x in range(width):
            image[y, x] = 0
            for row in range(y * samples, (y + 1) * samples):
                for column in range(x * samples, (x + 1) * samples):
                    f = face_id[row, column]
                    if f < 0:
                        continue
                    value[:] = 0
                    for corner in range(3):
                        weight, vertex = barycentric[row, column, corner], faces[f, corner]
                        for channel in range(6):
                            value[channel] += weight * attributes[vertex, channel]
                    length = math.sqrt(value[3] ** 2 + value[4] ** 2 + value[5] ** 2)
                    scale = np.float32(1.0 / max(length, 1e-12))
                    for channel in range(3):
                        image[y, x, channel] += share * value[channel]
                        image[y, x, 3 + channel] += share * scale * value[3 + channel]
                    image[y, x, 6] += share * np.float32(depth[row, column])
                    image[y, x, 7] += share
