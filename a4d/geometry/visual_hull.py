"""The visual hull: everything that projects into the masks of all views (Laurentini 1994), on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.cameras import Cameras


@dataclass(frozen=True)
class Occupancy:
    """A box of cubic voxels, full or empty.

    Args:
        values: (X, Y, Z) bool.
        low: (3,) world position of the box's lowest corner, metres.
        spacing: edge of a voxel, metres.
    """

    values: Tensor
    low: Tensor
    spacing: float

    @property
    def volume(self) -> float:
        """Cubic metres that are full."""
        return float(self.values.sum()) * self.spacing**3

    def surface(self) -> tuple[Tensor, Tensor]:
        """(P, 3) centres of the full voxels with an empty neighbour, and their (P, 3) unit outward normals."""
        full = torch.nn.functional.pad(self.values.float(), [2] * 6)
        smooth = torch.nn.functional.avg_pool3d(full[None, None], 3, stride=1)[0, 0]
        inner = full[1:-1, 1:-1, 1:-1]
        around = [inner.roll(step, axis) for axis in range(3) for step in (1, -1)]
        is_surface = (inner > 0) & (torch.stack(around).amin(0) == 0)
        slopes = [smooth.roll(1, axis) - smooth.roll(-1, axis) for axis in range(3)]
        normals = normalize(torch.stack(slopes, dim=-1)[is_surface], dim=-1)
        index = is_surface.nonzero() - 1
        return self.low + (index + 0.5) * self.spacing, normals


def visual_hull(
    masks: Tensor,  # (B, H, W) coverage in [0, 1]
    cameras: Cameras,  # B views
    bounds: Tensor,  # (2, 3) lowest and highest corner, world, metres
    resolution: int = 96,  # voxels along the longest side
    tolerated: float = 0.0,  # share of the views that may be wrong about a voxel
) -> Occupancy:
    """Carve a box by masks.

    A voxel stays where all views that have it in their frame, but for the tolerated share of them, show foreground in
    one of the four pixels around its centre; it must be in the frame of at least one view.

    Raises:
        InvalidInputError: the numbers of masks and cameras differ, or nothing is left.
    """
    if masks.shape != (len(cameras), cameras.height, cameras.width):
        raise InvalidInputError(
            f"masks of shape {tuple(masks.shape)} do not fit {len(cameras)} cameras "
            f"of {cameras.width}x{cameras.height} pixels"
        )
    low, high = bounds.double().cpu()
    spacing = float((high - low).max()) / resolution
    counts = ((high - low) / spacing - 1e-6).ceil().int().tolist()
    values = np.empty(counts, np.bool_)
    foreground = np.ascontiguousarray((masks > 0.5).cpu().numpy())
    poses, lenses = (part.double().cpu().numpy() for part in (cameras.camera_from_world, cameras.intrinsics))
    _carve(foreground, np.ascontiguousarray(poses), lenses, (low + spacing / 2).numpy(), spacing, tolerated, values)
    if not values.any():
        raise InvalidInputError("the masks have no common volume inside the bounds", "Check the cameras and masks")
    return Occupancy(torch.from_numpy(values), low.float(), spacing)


def surface_colours(
    points: Tensor,  # (P, 3) world, metres
    normals: Tensor,  # (P, 3) unit, outward
    images: Tensor,  # (B, H, W, 3) sRGB
    cameras: Cameras,  # B views
    spacing: float,  # metres between neighbouring points
) -> Tensor:
    """(P, 3) colours averaged over the views that see a point; grey where none does.

    Each view's points are drawn as small discs into a z-buffer, which tells what hides what.
    """
    arrays = [np.ascontiguousarray(part.detach().cpu().numpy(), np.float64) for part in (points, normals)]
    total = np.zeros((len(points), 4))
    for index in range(len(cameras)):
        pose = np.ascontiguousarray(cameras[index].camera_from_world[0].double().cpu().numpy())
        lens = cameras.intrinsics[index].double().cpu().numpy()
        picture = np.ascontiguousarray(images[index].detach().float().cpu().numpy())
        nearest = np.full(picture.shape[:2], np.inf)
        _splat_depth(arrays[0], pose, lens, spacing, nearest)
        _gather(arrays[0], arrays[1], pose, lens, 2 * spacing, nearest, picture, total)
    colours = np.where(total[:, 3:] > 0, total[:, :3] / np.maximum(total[:, 3:], 1e-9), 0.5)
    return torch.from_numpy(colours).to(points)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _project(pose, lens, x, y, z):
    depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
    u = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) / depth * lens[0] + lens[2]
    v = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) / depth * lens[1] + lens[3]
    return u, v, depth


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def _carve(masks, poses, lenses, start, spacing, tolerated, values):
    views, height, width = masks.shape
    for i in prange(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                seen, missed = 0, 0
                for n in range(views):
                    x, y, z = start[0] + i * spacing, start[1] + j * spacing, start[2] + k * spacing
                    u, v, depth = _project(poses[n], lenses[n], x, y, z)
                    if depth <= 0 or not (0 <= u < width and 0 <= v < height):
                        continue
                    seen += 1
                    x0, y0 = max(int(np.floor(u - 0.5)), 0), max(int(np.floor(v - 0.5)), 0)
                    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
                    if not (masks[n, y0, x0] or masks[n, y0, x1] or masks[n, y1, x0] or masks[n, y1, x1]):
                        missed += 1
                        if missed > tolerated * views:
                            break
                values[i, j, k] = seen > 0 and missed <= tolerated * seen


@njit(cache=True, error_model="numpy", nogil=True)
def _splat_depth(points, pose, lens, spacing, nearest):
    height, width = nearest.shape
    for n in range(len(points)):
        u, v, depth = _project(pose, lens, points[n, 0], points[n, 1], points[n, 2])
        if depth <= 0:
            continue
        radius = 0.75 * spacing * lens[0] / depth
        for row in range(max(0, int(np.ceil(v - radius - 0.5))), min(height, int(np.floor(v + radius - 0.5)) + 1)):
            for column in range(max(0, int(np.ceil(u - radius - 0.5))), min(width, int(u + radius - 0.5) + 1)):
                nearest[row, column] = min(nearest[row, column], depth)


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def _gather(points, normals, pose, lens, tolerance, nearest, picture, total):
    height, width = nearest.shape
    centre = -(np.ascontiguousarray(pose[:3, :3].T) @ np.ascontiguousarray(pose[:3, 3]))
    for n in prange(len(points)):
        u, v, depth = _project(pose, lens, points[n, 0], points[n, 1], points[n, 2])
        if depth <= 0 or not (0 <= u < width and 0 <= v < height) or depth > nearest[int(v), int(u)] + tolerance:
            continue
        toward = centre - points[n]
        cosine = np.dot(normals[n], toward) / np.sqrt(np.dot(toward, toward))
        if cosine > 0.1:
            for channel in range(3):
                total[n, channel] += cosine * cosine * picture[int(v), int(u), channel]
            total[n, 3] += cosine * cosine
