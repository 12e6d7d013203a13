"""Whether a camera turns, or what it sees moves by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from a4d.estimation.objects import carving_kernels
from a4d.estimation.objects.courses import Array, Course, angles
from a4d.estimation.objects.crops import Crops
from a4d.pixels import SOLID

STEP = 8.0
"""Degrees that a camera turns by between frames whose flow is looked at: enough to move the whole surface by pixels."""

NEAR = 0.5
"""Of the way that a turn takes a point in the picture, by how much flow may miss it and still bear it out."""

PAIRS = 24
"""Of frames, at most, whose flow is looked at."""


def borne_out(crops: Crops, course: Course, points: Array, spacing: float) -> float:
    """Share in [0, 1] of the motion of a surface before a turning camera that flow shows alike.

    A gesture moves a limb as a turn would, and leaves the rest of the body where it was; a turn moves all of it.

    Args:
        crops: of a film.
        course: of its camera.
        points: (P, 3) of the surface.
        spacing: between neighbouring ones.
    """
    poses, moved, agreed = course.camera_from_object, 0.0, 0.0
    for first, second in _turned_pairs(crops, course):
        shown, seen = _shown(crops, first, poses[first], points, spacing)
        before, after = (_projected(points[shown], poses[frame], crops.focal) for frame in (first, second))
        turned = after - before
        length = np.linalg.norm(turned, axis=1)
        missed = np.linalg.norm(crops.flow(first, second)[seen] - turned, axis=1)
        moved += length.sum()
        agreed += length[missed < NEAR * length].sum()
    return float(agreed / moved) if moved else 0.0


def _turned_pairs(crops: Crops, course: Course) -> list[tuple[int, int]]:
    """Frames of which the second is the first later one that the camera has turned by a step before."""
    whole, rotations = np.flatnonzero(crops.is_whole), course.rotations
    pairs = []
    for place, frame in enumerate(whole):
        later = whole[place + 1 :]
        far = later[angles(rotations[later] @ rotations[frame].T) >= STEP]
        pairs += [(int(frame), int(other)) for other in far[:1]]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).round().astype(int))
    return [pairs[place] for place in chosen]


def _shown(
    crops: Crops, frame: int, pose: Array, points: Array, spacing: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(K,) which points a frame shows, and (S, S) in which pixels."""
    side = crops.rgba.shape[1]
    nearest, depths = np.empty((side, side), np.int64), np.empty((side, side))
    carving_kernels.draw(points, spacing, pose, crops.focal, nearest, depths)
    seen = (nearest >= 0) & (crops.rgba[frame, ..., 3] > SOLID)
    return nearest[seen], seen


def _projected(points: Array, pose: Array, focal: float) -> Array:
    """(K, 2) pixels right and down of the middle of (K, 3) points."""
    there = points @ pose[:, :3].T + pose[:, 3]
    return np.asarray(focal * there[:, :2] / there[:, 2:])
