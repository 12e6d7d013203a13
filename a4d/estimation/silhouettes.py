"""Silhouettes of a film's frames on one grid of voxels, by which frames from different sides are held against others.

The visual hull of frames of one pose covers the silhouette of each (Laurentini 1994). Of other poses it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate, normalize

from a4d.estimation.silhouette_kernels import uncovered
from a4d.geometry.cameras import Cameras
from a4d.matting.masks import dilated, eroded
from a4d.pixels import SOLID
from a4d.views import Frames

GRID = 48
"""Voxels along the cube. Pixels are made as wide as voxels, so that hulls have no holes and keep their borders."""

PICTURE = 512
"""Pixels of the longer side of outlines at most, which are all held at once."""

OUTLINE = 0.3
"""Coverage from which a wide pixel counts as the subject's."""

PARTNERS = 6
"""Frames whose hull is held against one: with fewer it is too large, with more they are too far in phase."""

LEVEL = 0.01
"""Of a silhouette: shares left bare are compared by their ratios from there on; below, they are single pixels."""

REACHING, MARGIN = 0.95, 1.05
"""Share of the frames whose silhouettes a ball holds, and what it is larger by."""


@dataclass(frozen=True)
class Silhouettes:
    """F frames, and V voxels as each sees them.

    Args:
        times: (F,) in [0, 1], zeros of one moment.
        directions: (F, 3) unit, from the world's origin to the camera.
        inside: (F, V) bool, whether a voxel lies on the subject.
        pixel: (F, V) int32 the pixel that shows it, or -1 where none does.
        masks: (F, P) bool.
    """

    times: NDArray[np.float64]
    directions: NDArray[np.float64]
    inside: NDArray[np.bool_]
    pixel: NDArray[np.int32]
    masks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def uncovered(self) -> NDArray[np.float64]:
        """(F, F) the share of a silhouette that its hull with another's leaves bare, in the mean of both."""
        missed = np.empty((len(self), len(self)))
        uncovered(self.inside, self.pixel, self.masks, missed)
        return (missed + missed.T) / 2

    def errors(self, cycles: float) -> NDArray[np.float64]:
        """(F,) the area of a silhouette and of its phase's hull that the other does not share, over the silhouette's.

        The hull is that of a few frames of about this phase, in other cycles. Infinite of a frame that shows nothing.
        """
        apart = (self.times[None] - self.times[:, None]) * cycles
        distance = np.abs(apart - np.round(apart))
        # Frames of the same cycle look alike in any case.
        distance[np.abs(apart) < 0.5] = np.inf
        rows = [np.argsort(row, kind="stable")[:PARTNERS] for row in distance]
        return np.array([self._apart(frame, partners) for frame, partners in enumerate(rows)])

    def likeness(self, cycles: float) -> float:
        """How well frames of one phase explain each other: minus the mean logarithm of their errors, up to 1."""
        return -float(np.log(LEVEL + self.errors(cycles).clip(max=1)).mean())

    def _apart(self, frame: int, partners: NDArray[np.int64]) -> float:
        if not self.masks[frame].any():
            return np.inf
        shown = np.zeros(self.masks.shape[1] + 1, bool)
        shown[self.pixel[frame, self.inside[partners].all(axis=0)]] = True
        return float((shown[:-1] ^ self.masks[frame]).sum() / self.masks[frame].sum())


def silhouettes(frames: Frames, indices: Sequence[int], radius: float, slack: int = 0) -> Silhouettes:
    """What some frames show of a cube of voxels around the origin, which is as large as the subject reaches.

    Args:
        frames: with masks as alpha; those without times are of one moment.
        indices: of those that are looked at.
        radius: metres, of the ball around the origin in which the subject stays.
        slack: pixels by which a voxel may lie beside the subject and still count as on it; with any, it also is where
            the subject is thinner than a pixel, and masks have no parts that thin: where they are is not told so well.
    """
    times = torch.zeros(len(frames)) if frames.times is None else frames.times
    pictures = (frames.reduced(index, PICTURE) for index in indices)
    # Without the copy, each would hold all channels of its picture.
    alphas, cameras = zip(*((rgba[..., 3].clone(), camera) for rgba, camera in pictures), strict=True)
    radius = min(radius, _reach(alphas, cameras))
    axis = (torch.arange(GRID) + 0.5) / GRID * 2 * radius - radius
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    wide = [2 * radius / GRID / float(camera.positions.norm()) for camera in cameras]
    views = [_seen(*view, grid, slack) for view in zip(alphas, cameras, wide, strict=True)]
    inside = np.stack([np.append(reached, False)[pixel] for _, reached, pixel in views])
    kept = inside.any(axis=0)
    most = max(mask.size for mask, _, _ in views)
    return Silhouettes(
        times[list(indices)].double().numpy(),
        normalize(torch.cat([camera.positions for camera in cameras]).double(), dim=-1).numpy(),
        inside[:, kept],
        np.stack([pixel[kept] for _, _, pixel in views]),
        np.stack([np.pad(mask.ravel(), (0, most - mask.size)) for mask, _, _ in views]),
    )


def _reach(alphas: Sequence[Tensor], cameras: Sequence[Cameras]) -> float:
    """Metres from the origin to the outermost of what most silhouettes show, were it as far away as the origin."""
    reached = []
    for alpha, camera in zip(alphas, cameras, strict=True):
        middle, depth = camera.project(torch.zeros(1, 3))
        places = (alpha > 0.5).nonzero().flip(-1) + 0.5
        if len(places) and depth > 0:
            reached.append(float(((places - middle[0]) * depth / camera.intrinsics[:, :2]).norm(dim=-1).max()))
    return MARGIN * float(np.quantile(reached, REACHING)) if reached else np.inf


def _seen(
    alpha: Tensor, camera: Cameras, wide: float, grid: Tensor, slack: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32]]:
    """What a view has of the grid.

    Returns:
        (h, w) bool a mask whose pixels are `wide` in units of the depth, as voxels are; (h, w) bool where voxels count
        as on it; and (V,) the pixel that shows each voxel, or -1.
    """
    sides = zip(alpha.T.shape, wide * camera.intrinsics[0, :2], strict=True)
    width, height = (max(1, round(side / float(pixel))) for side, pixel in sides)
    mask = (interpolate(alpha[None, None], (height, width), mode="area")[0, 0] > OUTLINE).numpy()
    reached = mask
    if slack:
        touched = (adaptive_max_pool2d(alpha[None], (height, width))[0] > SOLID).numpy()
        mask, reached = dilated(eroded(mask, slack), slack), dilated(mask, slack) | touched
    places, depth = camera.resized(width, height).project(grid)
    column, row = places[0].floor().long().unbind(-1)
    is_seen = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth[0] > 0)
    return mask, reached, torch.where(is_seen, row * width + column, -1).int().numpy()
