"""How often a motion repeats in a film, by its silhouettes, wherever the camera was.

A camera that moves makes frames of one pose look different, so that frames cannot be compared by themselves. But what a
moment shows is told by others of the same pose: the visual hull of their masks covers its own. So every frame is held
against the hull of the frames that would be in its phase, in other cycles, if the motion repeated so many times. How
well a few frames bound a shape depends on where they were taken from, too; this is known from a shape that stands still
in the same cameras, and taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from a4d.views import Frames

MOST_FRAMES = 120
"""That are looked at, evenly spread."""

FEWEST = 3.0
"""Cycles that are looked for at the least."""

FRAMES_OF_CYCLE = 8
"""At the least: with fewer, partners are too far in phase."""

GRID, PIXELS = 48, 48
"""Voxels along the cube and pixels along an image: a voxel is about as wide as a pixel, so that hulls have no holes."""

OUTLINE = 0.3
"""Coverage from which a wide pixel counts as the subject's."""

PARTNERS = 6
"""Frames whose hull is held against one: with fewer it is too large, with more they are too far in phase."""

STANDING = 0.5
"""Share of the frames that have a voxel on the subject, of the shape that stands still."""

FINEST = 0.25
"""Steps, in cycles, between numbers that are tried; half a cycle off, frames of all poses are mixed."""

CLEAR, AHEAD, LEAST = 2.5, 1.5, 0.02
"""By how many deviations a number must be better than others usually are, by how many times as much as any other
number, and by which share of the silhouettes. Of five cycles in two turns, a fox, a horse and a shark have 4.3, 4.5
and 3.6 deviations and are 2.4, 2.1 and 2.2 times ahead; a single cycle of the fox has 1.9, and is 1.1 times ahead."""

AS_GOOD = 0.8
"""Of the best one's lead: of two such numbers, of which one is a multiple, the larger is meant."""

SPREAD = 1.4826
"""Standard deviations in a median absolute deviation, of a normal distribution."""


@dataclass(frozen=True)
class Repetition:
    """What was found.

    Args:
        cycles: how often the motion repeats in the clip; 0 where it does not, or too seldom to be told.
        lead: deviations by which the best number explains the silhouettes better than others usually do.
        tried: the numbers of cycles.
        errors: of each, the area by which hull and silhouette differ over that of the silhouette, on average, less that
            of a shape that stands still.
    """

    cycles: float
    lead: float
    tried: tuple[float, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class _Silhouettes:
    """F frames, and V voxels as each sees them.

    Args:
        times: (F,) in [0, 1].
        inside: (F, V) bool, whether a voxel lies on the subject.
        pixel: (F, V) int64 the pixel that shows it, or the number of pixels where none does.
        masks: (F, P) bool.
    """

    times: NDArray[np.float64]
    inside: NDArray[np.bool_]
    pixel: NDArray[np.int64]
    masks: NDArray[np.bool_]

    def of_standing(self) -> _Silhouettes:
        """The same views of the voxels that are on the subject in many frames, as a shape that stands still."""
        stands = self.inside.mean(axis=0) >= STANDING
        masks = np.zeros((len(self.masks), self.masks.shape[1] + 1), bool)
        for mask, pixel in zip(masks, self.pixel, strict=True):
            mask[pixel[stands]] = True
        masks[:, -1] = False
        inside = np.stack([mask[pixel] for mask, pixel in zip(masks, self.pixel, strict=True)])
        return replace(self, inside=inside, masks=masks[:, :-1])

    def error(self, cycles: float) -> float:
        """The mean area of hull and silhouette that the other does not share, over the silhouette's."""
        errors = self.errors(cycles)
        return float(errors[np.isfinite(errors)].mean())

    def errors(self, cycles: float) -> NDArray[np.float64]:
        """(F,) the same of each frame; infinite of one that shows nothing."""
        apart = (self.times[None] - self.times[:, None]) * cycles
        distance = np.abs(apart - np.round(apart))
        # Frames of the same cycle look alike in any case.
        distance[np.abs(apart) < 0.5] = np.inf
        rows = [np.argsort(row, kind="stable")[:PARTNERS] for row in distance]
        return np.array([self._apart(frame, partners) for frame, partners in enumerate(rows)])

    def _apart(self, frame: int, partners: NDArray[np.int64]) -> float:
        if not self.masks[frame].any():
            return np.inf
        shown = np.zeros(self.masks.shape[1] + 1, bool)
        shown[self.pixel[frame, self.inside[partners].all(axis=0)]] = True
        return float((shown[:-1] ^ self.masks[frame]).sum() / self.masks[frame].sum())


def find_cycles(frames: Frames, radius: float) -> Repetition:
    """How often the motion of a film repeats, and how clearly.

    Numbers below `FEWEST` cannot be told: a pose is then seen from two sides alone, of which a hull knows little.

    Args:
        frames: of a clip, with masks as alpha; those to train on are looked at.
        radius: metres, of the ball around the origin in which the subject stays.
    """
    indices = frames.select("train")
    chosen = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), MOST_FRAMES)).round().astype(int))
    seen = _silhouettes(frames, [indices[place] for place in chosen.tolist()], radius)
    if seen.masks.any(axis=1).sum() < FEWEST * FRAMES_OF_CYCLE:
        return Repetition(0.0, 0.0, (), ())
    still = seen.of_standing()
    tried = np.arange(FEWEST, len(chosen) / FRAMES_OF_CYCLE + FINEST / 2, FINEST)
    errors = np.array([seen.error(cycles) - still.error(cycles) for cycles in tried.tolist()])
    gains = np.median(errors) - errors
    lead = float(gains.max()) / max(SPREAD * float(np.median(np.abs(gains))), LEAST / CLEAR)
    best = tried[gains.argmax()]
    others = gains[[not any(abs(each - share * best) <= 2 * FINEST for share in (0.5, 1, 2)) for each in tried]]
    is_clear = lead >= CLEAR and gains.max() >= max(AHEAD * others.max(initial=0.0), LEAST)
    as_good = [float(each) for each in tried[gains >= AS_GOOD * gains.max()] if _is_multiple(each, best)]
    cycles = _refined(seen, max(as_good)) if is_clear else 0.0
    return Repetition(cycles, lead, tuple(tried.tolist()), tuple(errors.tolist()))


def frames_of_one_pose(frames: Frames, cycles: float, radius: float) -> tuple[float, list[int]]:
    """The time of the pose that others of its phase explain best, and the frames nearest to it, of several cycles.

    Args:
        frames: of a clip, with masks as alpha; those to train on are looked at.
        cycles: how often the motion repeats.
        radius: metres, of the ball around the origin in which the subject stays.
    """
    indices = frames.select("train")
    seen = _silhouettes(frames, indices, radius)
    # Errors of neighbours in time say the same with another noise.
    errors = np.convolve(np.pad(seen.errors(cycles), 1, mode="edge"), np.ones(3) / 3, mode="valid")
    time = float(seen.times[errors.argmin()])
    apart = (seen.times - time) * cycles
    nearest = np.argsort(np.abs(apart - np.round(apart)), kind="stable")[: 2 * PARTNERS]
    return time, [indices[place] for place in sorted(nearest.tolist())]


def _is_multiple(cycles: float, base: float) -> bool:
    return cycles >= base and abs(cycles / base - round(cycles / base)) * base <= FINEST


def _refined(seen: _Silhouettes, cycles: float) -> float:
    """The best of the numbers around one, by ever smaller steps."""
    step = FINEST
    while step > FINEST / 20:
        step /= 2
        around = [cycles - step, cycles, cycles + step]
        cycles = min(around, key=seen.error)
    return cycles


def _silhouettes(frames: Frames, indices: Sequence[int], radius: float) -> _Silhouettes:
    axis = (torch.arange(GRID) + 0.5) / GRID * 2 * radius - radius
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    inside, pixel, masks = [], [], []
    for index in indices:
        camera = frames.cameras[index].resized(PIXELS, PIXELS)
        alpha = interpolate(frames.rgba[index][None, None, ..., 3], (PIXELS, PIXELS), mode="area").flatten()
        places, depth = camera.project(grid)
        column, row = places[0].floor().long().unbind(-1)
        is_seen = (column >= 0) & (column < PIXELS) & (row >= 0) & (row < PIXELS) & (depth[0] > 0)
        shown = torch.where(is_seen, row * PIXELS + column, PIXELS**2)
        masks.append(alpha > OUTLINE)
        inside.append(torch.cat([masks[-1], torch.zeros(1, dtype=torch.bool)])[shown])
        pixel.append(shown)
    occupied = torch.stack(inside)
    kept = occupied.any(dim=0)
    assert frames.times is not None
    return _Silhouettes(
        frames.times[list(indices)].double().numpy(),
        occupied[:, kept].numpy(),
        torch.stack(pixel)[:, kept].numpy(),
        torch.stack(masks).numpy(),
    )
