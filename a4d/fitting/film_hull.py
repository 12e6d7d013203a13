"""The hull of what a film shows: of all frames alike, or in the pose of one moment, which the others only bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from a4d.errors import InvalidInputError
from a4d.fitting.seed_settings import SeedConfig
from a4d.geometry.cameras import Cameras
from a4d.geometry.reconstruction.hull_kernels import splat_depth
from a4d.geometry.reconstruction.visual_hull import Occupancy, visual_hull
from a4d.pixels import Array
from a4d.views import Frames
from a4d.views.recent import Made

OUTLINE = 1024
"""Pixels of the longer side of outlines that carve a hull, which are all held at once: a cell is wider than theirs."""

FRAMED = 0.5
"""Share of a film's views that have each part of its subject in their frame: frames that cut it off are left out."""

NEAR, LOOSE = 0.2, 0.3
"""Share of the frames that show a pose as it is, those nearest to it in time, and share of all views that may see past
a part of its hull.

Where a fox runs one cycle while the camera goes once around it, such a hull is 2.6 % of the diagonal from the truth at
its moment; those of all frames, which lose limbs, are 2.8 to 4.5 % from it at the best (tolerated: 0.1 to 0.3).
"""

MOMENTS = 6
"""At which such hulls are tried."""

COARSE, SMALL, COMPARED = 64, 128, 24
"""Cells along the cube, pixels along the longer side, and number of the frames by which they are compared."""


def carved(frames: Frames, radius: float, resolution: int, tolerated: float, framed: float = 0.0) -> Occupancy:
    """What outlines leave of the cube [-radius, radius]³; see `visual_hull`.

    Raises:
        InvalidInputError: they leave nothing.
    """
    masks = Made(len(frames), lambda index: frames.reduced(index, OUTLINE)[0][..., 3])
    cameras = [frames.reduced(index, OUTLINE)[1] for index in range(len(frames))]
    bounds = torch.tensor([[-radius] * 3, [radius] * 3])
    return visual_hull(masks, cameras, bounds, resolution, tolerated, framed)


def film_hull(frames: Frames, config: SeedConfig, resolution: int) -> Occupancy:
    """The hull of a film's subject, in one piece.

    Args:
        frames: that show it; with times where the settings name a moment.
        config: how it is carved, and in the pose of which moment.
        resolution: cells along the cube.

    Raises:
        InvalidInputError: the outlines leave nothing.
    """
    if config.moment is None:
        return carved(frames, config.radius, resolution, config.tolerated, FRAMED).largest_part()
    loose = carved(frames, config.radius, resolution, max(LOOSE, config.tolerated), FRAMED)
    return _in_pose(frames, config, loose, config.moment)


def _in_pose(frames: Frames, config: SeedConfig, loose: Occupancy, moment: float) -> Occupancy:
    """What the frames nearest to a moment leave of a looser hull of all."""
    assert frames.times is not None
    nearest = (frames.times - moment).abs().argsort(stable=True)[: max(round(NEAR * len(frames)), 1)]
    near = frames.subset(sorted(nearest.tolist()))
    tight = carved(near, config.radius, len(loose.values), config.tolerated, FRAMED)
    both = replace(loose, values=loose.values & tight.values)
    if not bool(both.values.any()):
        raise InvalidInputError("the outlines of the frames leave nothing in common", "Check the cameras and masks")
    return both.largest_part()


def likeliest_moment(frames: Frames, config: SeedConfig) -> float:
    """The time in [0, 1] of the pose whose hull looks most like the subject in all frames.

    Args:
        frames: that show it, with times.
        config: how a hull is carved.
    """
    assert frames.times is not None
    places = ((torch.arange(MOMENTS) + 0.5) / MOMENTS * len(frames)).long()
    moments: list[float] = frames.times.sort().values[places].tolist()
    try:
        loose = carved(frames, config.radius, COARSE, max(LOOSE, config.tolerated), FRAMED)
    except InvalidInputError:
        return moments[len(moments) // 2]
    return max(moments, key=lambda moment: _likeness(frames, config, loose, moment))


def _likeness(frames: Frames, config: SeedConfig, loose: Occupancy, moment: float) -> float:
    """Mean IoU of outlines with those of a pose's hull; 0 where nothing is left of it."""
    try:
        hull = _in_pose(frames, config, loose, moment)
    except InvalidInputError:
        return 0.0
    points = hull.surface()[0].double().numpy()
    chosen = np.unique(np.linspace(0, len(frames) - 1, COMPARED).round().astype(int)).tolist()
    overlaps = []
    for index in chosen:
        rgba, camera = frames.reduced(index, SMALL)
        filled, shown = _outline(points, hull.spacing, camera), (rgba[..., 3] > 0.5).numpy()
        overlaps.append((filled & shown).sum() / max((filled | shown).sum(), 1))
    return float(np.mean(overlaps))


def _outline(points: Array, spacing: float, camera: Cameras) -> Array:
    """(H, W) bool: where a camera sees one of the points (P, 3), which are so far from their neighbours."""
    nearest = np.full((camera.height, camera.width), np.inf)
    camera_from_world = camera.camera_from_world[0].double().numpy()
    splat_depth(points, camera_from_world, camera.intrinsics[0].double().numpy(), spacing, nearest)
    return np.asarray(np.isfinite(nearest))
