"""Guessing from a shape alone which way is up and where its front is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError, cKDTree

from a4d.geometry.assets.placement import AXES, Axis, Orientation, direction
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.randomness import generator

SAMPLES = 4000

CUSTOM = {
    ".obj": {"+y": 1.0, "+z": 0.6},
    ".ply": {"+y": 0.9, "+z": 0.9},
    ".off": {"+y": 0.9, "+z": 0.9},
    ".stl": {"+y": 0.6, "+z": 1.0},
}
"""How usual an axis is as the up axis of a format; others count nothing."""

FLOOR = 0.03
"""What lies within this part of the height above the lowest point stands on the floor."""

STEADY = 0.25
"""A support of this size, relative to the size of the outline seen from above, is as good as any larger."""

TOLERANCE = 0.1
"""How far beyond its support a centre of mass is sure to fall, relative to the size of the outline."""

LONG = 1.15
"""From this ratio of length to width on, the higher end of a shape is taken for its head."""


def guess_orientation(mesh: Mesh, suffix: str, up: Axis | None = None) -> Orientation:
    """Which axes of a file point up and to the front, by how its shape stands and mirrors.

    A thing stands on a floor on which its centre of mass has support; the plane that mirrors it contains the up axis
    and the front. What remains open is decided by the custom of the format: of two ends the front is +z where y is up
    and -y where z is up, unless the shape is long and its other end reaches higher.

    Args:
        mesh: in the file's own world.
        suffix: of the file, such as `.obj`.
        up: the up axis where it is known.
    """
    points, _, _ = sample_surface(mesh, SAMPLES, generator(0, "orientation"))
    cloud = points.double().numpy()
    cloud = (cloud - (cloud.min(0) + cloud.max(0)) / 2) / max(float(np.ptp(cloud, axis=0).max()), 1e-12)
    mirrored = np.array([_asymmetry(cloud, axis) for axis in range(3)])
    custom = CUSTOM.get(suffix, {"+y": 1.0})

    def score(axis: Axis) -> float:
        # The mirror's normal points sideways and so cannot be the up axis.
        sideways = mirrored["xyz".index(axis[1])] / max(float(mirrored.max()), 1e-12)
        return custom.get(axis, 0.0) + 0.8 * _support(cloud, axis) + 0.4 * sideways

    found: Axis = up if up is not None else max(AXES, key=score)
    return Orientation(found, _front(cloud, found, mirrored))


def _front(cloud: NDArray[np.float64], up: Axis, mirrored: NDArray[np.float64]) -> Axis:
    vertical = "xyz".index(up[1])
    level = [axis for axis in range(3) if axis != vertical]
    usual = {"y": "+z", "z": "-y", "x": "+z"}[up[1]]
    usual_axis = "xyz".index(usual[1])
    other = next(axis for axis in level if axis != usual_axis)
    # Sideways is where the mirror's normal points; in doubt the usual front stays.
    along = other if mirrored[usual_axis] < 0.5 * mirrored[other] else usual_axis
    sign = usual[0] if along == usual_axis else "+"
    across = other if along == usual_axis else usual_axis
    heights = cloud @ direction(up).numpy()
    if np.ptp(cloud[:, along]) > LONG * np.ptp(cloud[:, across]):
        head = cloud[heights > np.quantile(heights, 0.9), along].mean() - cloud[:, along].mean()
        if abs(head) > 0.1 * np.ptp(cloud[:, along]):
            sign = "+" if head > 0 else "-"
    return next(axis for axis in AXES if axis == f"{sign}{'xyz'[along]}")


def _asymmetry(cloud: NDArray[np.float64], axis: int) -> float:
    """Mean distance from a shape to its mirror image along an axis, relative to its size."""
    image = cloud.copy()
    image[:, axis] = -image[:, axis]
    distances, _ = cKDTree(cloud).query(image)
    return float(distances.mean())


def _support(cloud: NDArray[np.float64], axis: Axis) -> float:
    """How well a shape stands with an axis upward, in [0, 1]: 0 falls over, 1 is steady."""
    up = direction(axis).numpy()
    heights = cloud @ up
    height = float(np.ptp(heights))
    plane = np.stack([cloud[:, i] for i in range(3) if up[i] == 0], axis=1)
    feet = plane[heights < heights.min() + FLOOR * max(height, 1e-9)]
    try:
        floor, outline = ConvexHull(feet), ConvexHull(plane)
    except (QhullError, ValueError):
        return 0.0
    centre = plane.mean(axis=0)
    margin = -float((floor.equations[:, :2] @ centre + floor.equations[:, 2]).max())
    # The centre of mass of a surface is not quite that of the body.
    balance = min(max(1 + margin / (TOLERANCE * float(np.ptp(plane, axis=0).max())), 0.0), 1.0)
    return balance * min(float(np.sqrt(floor.volume / max(outline.volume, 1e-12))) / STEADY, 1.0)
