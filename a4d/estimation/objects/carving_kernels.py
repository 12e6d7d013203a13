"""Kernels that carve a shape by silhouettes, paint it, and say how far the frames are from its looks."""

import numpy as np
from numpy.typing import NDArray

from a4d.kernel_cache import njit

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]
Masks = NDArray[np.bool_]


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _project(pose: Numbers, focal: float, middle: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Pixel coordinates in a square picture, and depth."""
    depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
    u = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) / depth * focal + middle
    v = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) / depth * focal + middle
    return u, v, depth


@njit(cache=True, error_model="numpy", nogil=True)
def carve(
    masks: Masks, weights: Numbers, poses: Numbers, focal: float, extent: float, tolerated: float, full: Masks
) -> None:
    """Keep the voxels around which frames of at most a tolerated share of the weight show background.

    Args:
        masks: (F, S, S) bool.
        weights: (F,) float64.
        poses: (F, 3, 4) float64 camera_from_object.
        focal: pixels; the principal point is the picture's middle.
        extent: half the box's edge.
        tolerated: share of the weights.
        full: (N, N, N) bool, filled.
    """
    count, size = full.shape[0], masks.shape[1]
    middle, spacing, most = size / 2.0, 2 * extent / count, tolerated * weights.sum()
    for i in range(count):
        for j in range(count):
            for k in range(count):
                x, y, z = (i + 0.5) * spacing - extent, (j + 0.5) * spacing - extent, (k + 0.5) * spacing - extent
                missed = 0.0
                for f in range(len(masks)):
                    u, v, depth = _project(poses[f], focal, middle, x, y, z)
                    is_inside = depth > 0 and 0 <= u < size and 0 <= v < size
                    if not is_inside or not masks[f, int(v), int(u)]:
                        missed += weights[f]
                        if missed > most:
                            break
                full[i, j, k] = missed <= most


@njit(cache=True, error_model="numpy", nogil=True)
def surface(full: Masks, extent: float) -> Numbers:
    """(P, 3) float64 centres of the full voxels with an empty neighbour."""
    count = full.shape[0]
    spacing = 2 * extent / count
    points, filled = np.empty((full.sum(), 3)), 0
    for i in range(count):
        for j in range(count):
            for k in range(count):
                if not full[i, j, k]:
                    continue
                is_border = i == 0 or j == 0 or k == 0 or i == count - 1 or j == count - 1 or k == count - 1
                if is_border or not (
                    full[i - 1, j, k] and full[i + 1, j, k] and full[i, j - 1, k]
                    and full[i, j + 1, k] and full[i, j, k - 1] and full[i, j, k + 1]
                ):  # fmt: skip
                    points[filled, 0] = (i + 0.5) * spacing - extent
                    points[filled, 1] = (j + 0.5) * spacing - extent
                    points[filled, 2] = (k + 0.5) * spacing - extent
                    filled += 1
    return points[:filled]


@njit(cache=True, error_model="numpy", nogil=True)
def draw(points: Numbers, spacing: float, pose: Numbers, focal: float, nearest: Indices, depths: Numbers) -> None:
    """Draw points as squares that overlap their neighbours.

    Args:
        points: (P, 3) float64.
        spacing: between neighbouring points.
        pose: (3, 4) camera_from_object.
        focal: pixels.
        nearest: (S, S) int64 index of the nearest point, filled; -1 where there is none.
        depths: (S, S) float64, filled.
    """
    size = nearest.shape[0]
    nearest[:], depths[:] = -1, np.inf
    for n in range(len(points)):
        u, v, depth = _project(pose, focal, size / 2.0, points[n, 0], points[n, 1], points[n, 2])
        if depth <= 0:
            continue
        radius = 0.6 * spacing * focal / depth
        for row in range(max(0, int(np.ceil(v - radius - 0.5))), min(size, int(np.floor(v + radius - 0.5)) + 1)):
            for column in range(max(0, int(np.ceil(u - radius - 0.5))), min(size, int(np.floor(u + radius - 0.5)) + 1)):
                if depth < depths[row, column]:
                    depths[row, column] = depth
                    nearest[row, column] = n


@njit(cache=True, error_model="numpy", nogil=True)
def paint(
    nearest: Indices, masks: Masks, colours: NDArray[np.float32], sums: Numbers, pixels: Numbers, frames: Numbers
) -> None:
    """Add up what the frames show of each point.

    Args:
        nearest: (F, S, S) int64 index of the point that a pixel shows; -1 where there is none.
        masks: (F, S, S) bool.
        colours: (F, S, S, 3) float32.
        sums: (P, 3) float64 of colours, increased.
        pixels: (P,) float64 number of pixels, increased.
        frames: (P,) float64 number of frames, increased.
    """
    last = np.full(len(pixels), -1)
    for f in range(len(masks)):
        for row in range(masks.shape[1]):
            for column in range(masks.shape[2]):
                n = nearest[f, row, column]
                if n < 0 or not masks[f, row, column]:
                    continue
                sums[n] += colours[f, row, column]
                pixels[n] += 1
                if last[n] != f:
                    last[n] = f
                    frames[n] += 1


@njit(cache=True, error_model="numpy", nogil=True)
def compare(
    nearest: Indices,
    masks: Masks,
    colours: NDArray[np.float32],
    sums: Numbers,
    pixels: Numbers,
    frames: Numbers,
    figures: Numbers,
) -> None:
    """Say how far each frame is from what the others make it look like.

    Args:
        nearest: (F, S, S) int64, and the others as `paint` leaves them.
        masks: (F, S, S) bool.
        colours: (F, S, S, 3) float32.
        sums: (P, 3) float64.
        pixels: (P,) float64.
        frames: (P,) float64.
        figures: (F, 2) float64, filled: overlap of the silhouettes in [0, 1], and root mean squared difference of
            colours where they overlap.
    """
    mean = np.array([sums[:, channel].sum() for channel in range(3)]) / max(pixels.sum(), 1.0)
    for f in range(len(masks)):
        shared, either, error = 0, 0, 0.0
        for row in range(masks.shape[1]):
            for column in range(masks.shape[2]):
                n, is_subject = nearest[f, row, column], masks[f, row, column]
                either += is_subject or n >= 0
                if n < 0 or not is_subject:
                    continue
                shared += 1
                for channel in range(3):
                    value = colours[f, row, column, channel]
                    if frames[n] > 1:
                        # The mean contains the frame's own part, which makes it appear nearer than it is.
                        apart = (value - sums[n, channel] / pixels[n]) * frames[n] / (frames[n] - 1)
                    else:
                        apart = value - mean[channel]
                    error += apart * apart
        figures[f, 0] = shared / max(either, 1)
        figures[f, 1] = np.sqrt(error / max(shared, 1))


@njit(cache=True, error_model="numpy", nogil=True)
def follow(
    points: Numbers,
    nearest: Indices,
    masks: Masks,
    flows: NDArray[np.float32],
    poses: Numbers,
    later: Numbers,
    focal: float,
) -> float:
    """Share in [-1, 1] of the squared flow of all pixels that the surface's explains: 0 where the surface stands.

    Args:
        points: (P, 3) float64.
        nearest: (F, S, S) int64 index of the point that a pixel shows; -1 where there is none.
        masks: (F, S, S) bool.
        flows: (F, S, S, 2) float32 pixels right and down to a later frame.
        poses: (F, 3, 4) float64 camera_from_object.
        later: (F, 3, 4) float64, of the later frames.
        focal: pixels.
    """
    shared, seen, own = 0.0, 0.0, 0.0
    for f in range(len(masks)):
        for row in range(masks.shape[1]):
            for column in range(masks.shape[2]):
                n = nearest[f, row, column]
                if n < 0 or not masks[f, row, column]:
                    continue
                x, y, z = points[n, 0], points[n, 1], points[n, 2]
                u, v, _ = _project(poses[f], focal, 0.0, x, y, z)
                to_u, to_v, _ = _project(later[f], focal, 0.0, x, y, z)
                right, down = flows[f, row, column, 0], flows[f, row, column, 1]
                shared += (to_u - u) * right + (to_v - v) * down
                seen += right * right + down * down
                own += (to_u - u) ** 2 + (to_v - v) ** 2
    return float(max((2 * shared - own) / max(seen, 1e-9), -1.0))


@njit(cache=True, error_model="numpy", nogil=True)
def appraise(
    masks: Masks,
    colours: NDArray[np.float32],
    weights: Numbers,
    poses: Numbers,
    focal: float,
    extent: float,
    tolerated: float,
    full: Masks,
    nearest: Indices,
    figures: Numbers,
) -> Numbers:
    """(P, 3) float64 the surface that is carved, painted and compared.

    Args:
        masks: (F, S, S) bool.
        colours: (F, S, S, 3) float32 sRGB.
        weights: (F,) float64 of the frames that carve.
        poses: (F, 3, 4) float64 camera_from_object.
        focal: pixels.
        extent: half the box's edge.
        tolerated: share of the weights of frames that may show background where a full voxel is.
        full: (N, N, N) bool, filled.
        nearest: (F, S, S) int64, filled: index of the point of `surface(full)` that a pixel shows.
        figures: (F, 2) float64, filled: see `compare`.
    """
    carve(masks, weights, poses, focal, extent, tolerated, full)
    points = surface(full, extent)
    depths = np.empty(masks.shape[1:])
    for f in range(len(masks)):
        draw(points, 2 * extent / full.shape[0], poses[f], focal, nearest[f], depths)
    sums, pixels, frames = np.zeros((len(points), 3)), np.zeros(len(points)), np.zeros(len(points))
    paint(nearest, masks, colours, sums, pixels, frames)
    compare(nearest, masks, colours, sums, pixels, frames, figures)
    return points
