"""Perspective-correct interpolation over visible triangles, and its gradients by attributes and vertex positions.

With a ray r through a pixel, the corners seen along it are a - r a_z and so on: plane vectors whose cross products are
the unnormalised barycentric weights. Taking the ray off first keeps them exact for triangles far away and small.
The gradients are summed per triangle over its own pixels and then per vertex in the order of the triangles, so that no
two threads write to the same place and the result does not depend on their number.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from a4d.kernel_cache import njit


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _weights(a, b, c, u, v) -> tuple[float, ...]:
    """Corners relative to the ray (u, v, 1), the three normalised weights and the factor that normalised them."""
    ax, ay = a[0] - u * a[2], a[1] - v * a[2]
    bx, by = b[0] - u * b[2], b[1] - v * b[2]
    cx, cy = c[0] - u * c[2], c[1] - v * c[2]
    w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    scale = 1.0 / (w0 + w1 + w2)
    return ax, ay, bx, by, cx, cy, w0 * scale, w1 * scale, w2 * scale, scale


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def interpolate(vertices, faces, lens, face_id, attributes, attribute_faces, image) -> None:
    """Attributes at the pixel centres.

    Args:
        vertices: (V, 3) float64 in camera axes.
        faces: (F, 3) integer, into the vertices.
        lens: (4,) float64 fx, fy, cx, cy in pixels.
        face_id: (H, W) integer, -1 where nothing is seen.
        attributes: (A, C).
        attribute_faces: (F, 3) integer, into the attributes.
        image: (H, W, C) of the attributes' type, filled; 0 where nothing is seen.
    """
    height, width, channels = image.shape
    for y in prange(height):
        v = (y + 0.5 - lens[3]) / lens[1]
        for x in range(width):
            f = face_id[y, x]
            if f < 0:
                image[y, x] = 0
                continue
            u = (x + 0.5 - lens[2]) / lens[0]
            a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            w0, w1, w2 = _weights(a, b, c, u, v)[6:9]
            i, j, k = attribute_faces[f, 0], attribute_faces[f, 1], attribute_faces[f, 2]
            for n in range(channels):
                image[y, x, n] = w0 * attributes[i, n] + w1 * attributes[j, n] + w2 * attributes[k, n]


@njit(cache=True, nogil=True)
def group_pixels(face_id, count) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Pixels by the triangle seen there: `(start of each of count triangles, pixel indices)`."""
    seen = face_id.reshape(-1)
    start = np.zeros(count + 1, np.int64)
    for pixel in range(len(seen)):
        start[seen[pixel] + 1] += 1
    start[0] = 0
    for f in range(count):
        start[f + 1] += start[f]
    pixels = np.empty(start[count], np.int32)
    position = start[:-1].copy()
    for pixel in range(len(seen)):
        if seen[pixel] >= 0:
            pixels[position[seen[pixel]]] = pixel
            position[seen[pixel]] += 1
    return start, pixels


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def _gather(
    vertices, faces, lens, width, start, pixels, attributes, attribute_faces, gradient, to_corners, to_values
) -> None:
    """Gradients of the corner positions and attributes of every visible triangle; the others are left as they are."""
    channels = attributes.shape[1]
    visible = np.flatnonzero(start[1:] > start[:-1])
    for index in prange(len(visible)):
        f = visible[index]
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        i, j, k = attribute_faces[f, 0], attribute_faces[f, 1], attribute_faces[f, 2]
        to_values[f] = 0
        x0, y0, z0, x1, y1, z1, x2, y2, z2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for slot in range(start[f], start[f + 1]):
            pixel = np.uint32(pixels[slot])
            row = pixel // np.uint32(width)
            u, v = (pixel - row * np.uint32(width) + 0.5 - lens[2]) / lens[0], (row + 0.5 - lens[3]) / lens[1]
            ax, ay, bx, by, cx, cy, w0, w1, w2, scale = _weights(a, b, c, u, v)
            g0, g1, g2 = 0.0, 0.0, 0.0
            for n in range(channels):
                g = gradient[pixel, n]
                g0 += g * attributes[i, n]
                g1 += g * attributes[j, n]
                g2 += g * attributes[k, n]
                to_values[f, 0, n] += w0 * g
                to_values[f, 1, n] += w1 * g
                to_values[f, 2, n] += w2 * g
            mean = g0 * w0 + g1 * w1 + g2 * w2
            g0, g1, g2 = (g0 - mean) * scale, (g1 - mean) * scale, (g2 - mean) * scale
            gx, gy = g2 * by - g1 * cy, g1 * cx - g2 * bx
            x0, y0, z0 = x0 + gx, y0 + gy, z0 - u * gx - v * gy
            gx, gy = g0 * cy - g2 * ay, g2 * ax - g0 * cx
            x1, y1, z1 = x1 + gx, y1 + gy, z1 - u * gx - v * gy
            gx, gy = g1 * ay - g0 * by, g0 * bx - g1 * ax
            x2, y2, z2 = x2 + gx, y2 + gy, z2 - u * gx - v * gy
        to_corners[f, 0, 0], to_corners[f, 0, 1], to_corners[f, 0, 2] = x0, y0, z0
        to_corners[f, 1, 0], to_corners[f, 1, 1], to_corners[f, 1, 2] = x1, y1, z1
        to_corners[f, 2, 0], to_corners[f, 2, 1], to_corners[f, 2, 2] = x2, y2, z2


@njit(cache=True, nogil=True)
def _scatter(faces, start, to_corners, totals) -> None:
    """Add what the visible triangles' corners were given to the rows that they index."""
    for f in range(len(faces)):
        if start[f] < start[f + 1]:
            for i in range(3):
                row = faces[f, i]
                for n in range(totals.shape[1]):
                    totals[row, n] += to_corners[f, i, n]


def interpolate_backward(
    vertices, faces, lens, face_id, attributes, attribute_faces, gradient
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Gradients of `interpolate`.

    Args:
        vertices: as there, and so the others.
        faces: as there.
        lens: as there.
        face_id: as there.
        attributes: as there.
        attribute_faces: as there.
        gradient: (H, W, C) by the image.

    Returns:
        (V, 3) float64 by the vertices; (A, C) by the attributes.
    """
    start, pixels = group_pixels(face_id, len(faces))
    to_corners = np.empty((len(faces), 3, 3))
    to_values = np.empty((len(faces), 3, attributes.shape[1]), attributes.dtype)
    flat = gradient.reshape(-1, attributes.shape[1])
    width = face_id.shape[1]
    _gather(vertices, faces, lens, width, start, pixels, attributes, attribute_faces, flat, to_corners, to_values)
    to_vertices, to_attributes = np.zeros_like(vertices), np.zeros_like(attributes)
    _scatter(faces, start, to_corners, to_vertices)
    _scatter(attribute_faces, start, to_values, to_attributes)
    return to_vertices, to_attributes
