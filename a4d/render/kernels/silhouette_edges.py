"""Where the outlines of a mesh cross between neighbouring pixel centres.

An edge is part of an outline where all triangles at it lie on one side of it on the screen: a fold seen from the side,
or an open boundary. Edges steeper than 45° are followed row by row, the others column by column, so that each step is
one crossing between two neighbours. The crossing counts where the edge is no farther than what the outer pixel shows;
the inner pixel is not compared, since there the surface itself falls away steeply. Outlines of triangulated saddles run
to and fro; of several crossings on the way from one pixel to the next, the outermost is what is seen.
"""

import math

import numpy as np
from numpy.typing import NDArray

from a4d.kernel_cache import njit


@njit(cache=True, nogil=True)
def edge_table(faces, vertex_count) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """The edges of a mesh and what lies across from them, by counting sort.

    Args:
        faces: (F, 3) integer.
        vertex_count: more than the largest index.

    Returns:
        (E, 2) int32 vertices of each edge; (E + 1,) int32 where its triangles start in: (3F,) int32 the third vertex of
        each triangle at it, however many there are.
    """
    count = len(faces) * 3
    bucket = np.zeros(vertex_count + 1, np.int32)
    for f in range(len(faces)):
        for i in range(3):
            bucket[min(faces[f, i], faces[f, (i + 1) % 3]) + 1] += 1
    for vertex in range(vertex_count):
        bucket[vertex + 1] += bucket[vertex]
    other, third = np.empty(count, np.int32), np.empty(count, np.int32)
    position = bucket[:-1].copy()
    for f in range(len(faces)):
        for i in range(3):
            a, b = faces[f, i], faces[f, (i + 1) % 3]
            slot = position[min(a, b)]
            position[min(a, b)] += 1
            other[slot], third[slot] = max(a, b), faces[f, (i + 2) % 3]
    edges, start = np.empty((count, 2), np.int32), np.empty(count + 1, np.int32)
    n = 0
    for vertex in range(vertex_count):
        for slot in range(bucket[vertex], bucket[vertex + 1]):
            # An insertion sort: a vertex has few edges.
            key, value, back = other[slot], third[slot], slot
            while back > bucket[vertex] and other[back - 1] > key:
                other[back], third[back] = other[back - 1], third[back - 1]
                back -= 1
            other[back], third[back] = key, value
        for slot in range(bucket[vertex], bucket[vertex + 1]):
            if slot == bucket[vertex] or other[slot] != other[slot - 1]:
                edges[n, 0], edges[n, 1], start[n] = vertex, other[slot], slot
                n += 1
    start[n] = count
    return edges[:n], start[: n + 1], third


@njit(cache=True, error_model="numpy", nogil=True)
def _side(a, b, start, end, third, vertices) -> float:
    """On which side of the edge a-b its triangles lie as seen from the camera; 0 if on both."""
    nx, ny, nz = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    side = 0.0
    for slot in range(start, end):
        c = vertices[third[slot]]
        toward = nx * c[0] + ny * c[1] + nz * c[2]
        if toward * side < 0.0:
            return 0.0
        if toward != 0.0:
            side = toward
    return side


@njit(cache=True, error_model="numpy", nogil=True)
def _project(a, b, lens, near, screen) -> bool:
    """Pixel coordinates and inverse depths of the part of an edge in front of the near plane."""
    if a[2] < near and b[2] < near:
        return False
    for i in range(2):
        start, end = (a, b) if i == 0 else (b, a)
        along = max(0.0, (near - start[2]) / (end[2] - start[2])) if start[2] < near else 0.0
        z = max(near, start[2])
        screen[i, 0] = (start[0] + along * (end[0] - start[0])) / z * lens[0] + lens[2]
        screen[i, 1] = (start[1] + along * (end[1] - start[1])) / z * lens[1] + lens[3]
        screen[i, 2] = 1.0 / z
    return True


@njit(cache=True, error_model="numpy", nogil=True)
def _inside_is_larger(a, b, side, along_rows) -> bool:
    """Whether the larger one of two pixels on a scanline is inside: the normal a × b points to positive `side`."""
    if along_rows:
        return side * (a[1] * b[2] - a[2] * b[1]) > 0.0
    return side * (a[2] * b[0] - a[0] * b[2]) > 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def crossings(vertices, edges, start, third, lens, near, depth) -> NDArray[np.int64]:
    """Crossings of the visible outline.

    Args:
        vertices: (V, 3) float64 in camera axes.
        edges: (E, 2) of `edge_table`, and so the next two.
        start: (E + 1,).
        third: (3F,).
        lens: (4,) float64 fx, fy, cx, cy in pixels.
        near: depth of the near plane, metres.
        depth: (H, W) what is seen, 0 where nothing is.

    Returns:
        (K, 4) int64: the pixel inside the outline, the neighbour outside, and the two vertices of the edge.
    """
    height, width = depth.shape
    found, reach = np.empty((1024, 4), np.int64), np.empty(1024)
    count = 0
    way = np.full(height * width * 4, -1, np.int32)
    screen = np.empty((2, 3))
    for e in range(len(edges)):
        a, b = vertices[edges[e, 0]], vertices[edges[e, 1]]
        side = _side(a, b, start[e], start[e + 1], third, vertices)
        if side == 0.0 or not _project(a, b, lens, near, screen):
            continue
        dx, dy = screen[1, 0] - screen[0, 0], screen[1, 1] - screen[0, 1]
        along_rows = abs(dy) >= abs(dx)
        step, cross = (1, 0) if along_rows else (0, 1)
        limit, breadth = (height, width) if along_rows else (width, height)
        length = screen[1, step] - screen[0, step]
        toward_larger = _inside_is_larger(a, b, side, along_rows)
        low, high = min(screen[0, step], screen[1, step]), max(screen[0, step], screen[1, step])
        first, last = math.ceil(max(low - 0.5, 0.0)), math.ceil(min(high - 0.5, limit * 1.0))
        for line in range(first, last):
            t = (line + 0.5 - screen[0, step]) / length
            at = screen[0, cross] + t * (screen[1, cross] - screen[0, cross]) - 0.5
            if not 0.0 <= at < breadth - 1.0:
                continue
            lower = int(at)
            inside, outside = (lower + 1, lower) if toward_larger else (lower, lower + 1)
            x0, y0, x1, y1 = (inside, line, outside, line) if along_rows else (line, inside, line, outside)
            nearness = screen[0, 2] + t * (screen[1, 2] - screen[0, 2])
            if depth[y0, x0] == 0.0 or (nearness * depth[y1, x1] < 1.0 and depth[y1, x1] > 0.0):
                continue
            # One slot for each pixel and each of the four ways out of it.
            slot = (y0 * width + x0) * 4 + 2 * step + toward_larger
            outward = lower + 1 - at if toward_larger else at - lower
            row = way[slot]
            if row >= 0 and reach[row] >= outward:
                continue
            if row < 0:
                if count == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                    reach = np.concatenate((reach, np.empty_like(reach)))
                row = way[slot] = count
                count += 1
            reach[row] = outward
            found[row, 0], found[row, 1] = y0 * width + x0, y1 * width + x1
            found[row, 2], found[row, 3] = edges[e, 0], edges[e, 1]
    return found[:count]
