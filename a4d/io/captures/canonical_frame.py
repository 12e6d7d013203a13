"""Bringing a capture of unknown origin, scale and axes into our world: +Y up, the subject in the unit ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.geometry.cameras import Y_UP_FROM_Z_UP
from a4d.geometry.directions import degrees_around
from a4d.io.assets.ply import PointCloud
from a4d.io.captures.capture import PosedCapture

FEWEST_POINTS = 50
"""Below so many points inside the common view, the cameras alone say more."""
HULL_RESOLUTION = 40

MOVING = 0.5
"""Share of the images of a film that may see past what moves, which is not always where it is at times."""

SIDES_APART = 40.0
"""Degrees between two directions at the least, from which outlines bound a subject in depth."""

SIDES_APART_OF_FILMS = 150.0
"""The same where half of the images may be wrong: those from one end of a way bound nothing without the others."""


@dataclass(frozen=True)
class _Ball:
    centre: NDArray[np.float64]
    radius: float


def canonical_frame(
    capture: PosedCapture,  # pinholes
    masks: Sequence[NDArray[np.bool_] | None] | None = None,  # N of (H, W), true on the subject
) -> NDArray[np.float64]:
    """The similarity that brings the subject into the unit ball.

    The up axis is that of the capture's format, else the mean of the cameras', with the first image as the front. The
    ball is that of the visual hull where three masks or more are given, else of the points in the common field of view,
    else of that field of view itself. Masks from one side alone, whose hull is a cone without an end, say how large the
    subject is across, at the distance of the middle of the field of view.

    Returns:
        (4, 4) world_from_source, to be applied by `transform_capture` and undone by its inverse.
    """
    ball = _field_of_view(capture)
    if masks is not None and len(masks) == len(capture) >= 3:
        ball = (_hull if _is_bounded(capture, ball.centre) else _across)(capture, masks, ball) or ball
    elif capture.points is not None:
        ball = _points(capture.points, ball) or ball
    rotation = _rotation(capture, ball.centre)
    world_from_source = np.eye(4)
    world_from_source[:3, :3] = rotation / ball.radius
    world_from_source[:3, 3] = -world_from_source[:3, :3] @ ball.centre
    return world_from_source


def transform_capture(
    capture: PosedCapture,
    world_from_source: NDArray[np.float64],  # (4, 4) similarity
) -> PosedCapture:
    """The same capture in another world; depth files keep the units of the source.

    Returns:
        poses and points in the new world, with the composed `world_from_source` and +Y as the up axis.
    """
    linear, translation = world_from_source[:3, :3], world_from_source[:3, 3]
    scale = np.cbrt(np.linalg.det(linear))
    poses = capture.world_from_camera.copy()
    poses[:, :3, :3] = (linear / scale) @ poses[:, :3, :3]
    poses[:, :3, 3] = poses[:, :3, 3] @ linear.T + translation
    points = capture.points
    if points is not None:
        points = PointCloud(points.positions @ linear.T + translation, points.colours)
    former = np.eye(4) if capture.world_from_source is None else capture.world_from_source
    return replace(
        capture,
        world_from_camera=poses,
        points=points,
        up_axis="+y",
        world_from_source=world_from_source @ former,
    )


def _field_of_view(capture: PosedCapture) -> _Ball:
    """The ball around the point that all cameras look at, as large as the images show it."""
    positions, forward = capture.world_from_camera[:, :3, 3], capture.world_from_camera[:, :3, 2]
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    system, right_side = across.mean(axis=0), np.einsum("nij,nj->i", across, positions) / len(positions)
    if np.linalg.eigvalsh(system)[0] > 1e-3:
        centre = np.linalg.solve(system, right_side)
    else:
        # All look the same way: the subject is where the points are, or where the axis passes the origin.
        middle, axis = positions.mean(axis=0), forward.mean(axis=0)
        target = np.zeros(3) if capture.points is None else np.median(capture.points.positions, axis=0)
        distance = float(axis @ (target - middle))
        centre = middle + axis * (distance if distance > 1e-6 else 1.0)
    distances = np.linalg.norm(centre - positions, axis=1)
    half_angles = np.arctan((0.5 * capture.sizes / capture.intrinsics[:, :2]).min(axis=1))
    return _Ball(centre, max(float(np.median(distances * np.sin(half_angles))), 1e-9))


def _points(points: PointCloud, seen: _Ball) -> _Ball | None:
    inside = points.positions[np.linalg.norm(points.positions - seen.centre, axis=1) < seen.radius]
    if len(inside) < FEWEST_POINTS:
        return None
    centre = np.percentile(inside, (1, 99), axis=0).mean(axis=0)
    return _Ball(centre, max(float(np.percentile(np.linalg.norm(inside - centre, axis=1), 99)), 1e-9))


def _hull(capture: PosedCapture, masks: Sequence[NDArray[np.bool_] | None], seen: _Ball) -> _Ball | None:
    """The ball around the visual hull, found on a grid and once more on a grid around the first answer."""
    ball, extent = seen, 1.5 * seen.radius
    for _ in range(2):
        axis = np.linspace(-extent, extent, HULL_RESOLUTION)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + ball.centre
        kept = grid[_is_inside(grid, capture, masks)]
        if not len(kept):
            return None
        centre = (kept.min(axis=0) + kept.max(axis=0)) / 2
        ball = _Ball(centre, float(np.linalg.norm(kept - centre, axis=1).max() + extent / HULL_RESOLUTION))
        extent = 1.1 * ball.radius
    return ball


def _across(capture: PosedCapture, masks: Sequence[NDArray[np.bool_] | None], seen: _Ball) -> _Ball | None:
    """The ball around the outlines, as far away as the middle of what is seen."""
    corners = []
    for pose, (fx, fy, cx, cy), mask in zip(capture.world_from_camera, capture.intrinsics, masks, strict=True):
        if mask is None:
            continue
        rows, columns = mask.nonzero()
        depth = float((seen.centre - pose[:3, 3]) @ pose[:3, 2])
        if len(rows) and depth > 0:
            x, y = np.meshgrid([columns.min(), columns.max() + 1], [rows.min(), rows.max() + 1])
            rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(x.shape)], axis=-1).reshape(-1, 3)
            corners.append(depth * rays @ pose[:3, :3].T + pose[:3, 3])
    if not corners:
        return None
    points = np.concatenate(corners)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return _Ball(centre, float(np.linalg.norm(points - centre, axis=1).max()))


def _is_bounded(capture: PosedCapture, middle: NDArray[np.float64]) -> bool:
    """Whether the images, those held out apart, are taken from different sides of a place."""
    apart = SIDES_APART_OF_FILMS if _is_film(capture) else SIDES_APART
    is_held = np.array(capture.splits or ["train"] * len(capture)) != "train"
    directions = capture.world_from_camera[~is_held, :3, 3] - middle
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True).clip(1e-12)
    up = _rotation(capture, middle)[1]
    return len(unit) > 0 and degrees_around(torch.from_numpy(unit), torch.from_numpy(up)) >= apart


def _is_film(capture: PosedCapture) -> bool:
    return capture.times is not None and bool(np.ptp(capture.times) > 0)


def _is_inside(
    grid: NDArray[np.float64],  # (M, 3) in the world of the capture
    capture: PosedCapture,
    masks: Sequence[NDArray[np.bool_] | None],
) -> NDArray[np.bool_]:
    """(M,) whether no camera sees past the subject at a point, and at least half of them see the point.

    Of a film a few may see past it.
    """
    passed_by, seen_by = np.zeros(len(grid), int), np.zeros(len(grid), int)
    views = zip(capture.world_from_camera, capture.intrinsics, capture.sizes, masks, strict=True)
    for pose, (fx, fy, cx, cy), (width, height), mask in views:
        in_camera = (grid - pose[:3, 3]) @ pose[:3, :3]
        depth = np.where(in_camera[:, 2] > 0, in_camera[:, 2], np.nan)
        x = np.nan_to_num(in_camera[:, 0] / depth * fx + cx, nan=-1.0)
        y = np.nan_to_num(in_camera[:, 1] / depth * fy + cy, nan=-1.0)
        is_seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if mask is not None:
            column, row = x.clip(0, width - 1).astype(int), y.clip(0, height - 1).astype(int)
            passed_by += is_seen & ~mask[row, column]
        seen_by += is_seen
    return (passed_by <= (MOVING if _is_film(capture) else 0) * seen_by) & (2 * seen_by >= len(masks))


def _rotation(capture: PosedCapture, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) from the source's axes to ours."""
    if capture.up_axis == "+y":
        return np.eye(3)
    if capture.up_axis == "+z":
        return Y_UP_FROM_Z_UP[:3, :3].double().numpy()
    up = -capture.world_from_camera[:, :3, 1].mean(axis=0)
    up = up / np.linalg.norm(up) if np.linalg.norm(up) > 1e-6 else np.array([0.0, 1.0, 0.0])
    front = capture.world_from_camera[0, :3, 3] - centre
    front = front - up * (front @ up)
    if np.linalg.norm(front) < 1e-6:
        # The first camera looks straight down or up: any horizontal direction will do.
        front = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    front /= np.linalg.norm(front)
    return np.stack([np.cross(up, front), up, front])
