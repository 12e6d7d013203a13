"""How often a motion repeats in a film, by its silhouettes, wherever the camera was.

A camera that moves makes frames of one pose look different, so that frames cannot be compared by themselves. But two
frames of one pose bound each other: each silhouette is covered by the hull of both. How much is left bare, in the mean
of all pairs that are so far apart in time, falls whenever they are whole cycles apart. One such dip may be the course
of the camera, or a gesture; a motion that repeats has one after another, at even distances, and pairs that are less
alike in between. Errors of cameras that were found add to all pairs alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a4d.estimation.silhouettes import LEVEL, PARTNERS, Silhouettes, silhouettes
from a4d.views import Frames

MOST_FRAMES, MOST_POSES = 120, 360
"""Frames that are looked at, evenly spread, to count cycles, and to choose a pose."""

FRAMES_OF_CYCLE = 8
"""At the least: with fewer, a dip is not seen between its neighbours."""

FEWEST_DIPS = 2
"""Of one alone nothing is known to repeat."""

LONGEST = 0.93
"""Of the time that the subject is seen: frames that are further apart are too few."""

SHORTEST = 0.04
"""Of this time: frames that are nearer look alike whatever they show."""

SIDES, SHARED = 12, 0.5
"""Ranges of the angle between two views, and how much of what pairs of each have in common is taken off.

Views from opposite sides tell more of each other than others do, and while a camera turns evenly that comes again and
again. To take all of it off would leave nothing of a motion in step with the turns.
"""

WIDTH = 0.12
"""Of a cycle, to both sides, of what counts as a dip or as what is between two."""

STEP, FINER = 0.05, 0.02
"""Between numbers of cycles that are tried, and by which the best is brought to its place."""

AROUND, NEAR = 0.25, 0.1
"""Cycles by which that place may be off, and by which pairs of frames may mistake it where a camera turns in step."""

TREND, HARMONICS = 3, 3
"""Degree of the polynomial that views drift apart by, and waves of a cycle, which tell the means of lags."""

ENOUGH = 0.45
"""Evidence at the least. A fox and a horse with cameras that were found have 1.8 and 1.1 where they repeat five times
in two turns, .1 at most where they do not, and .3 where the cameras are wrong altogether."""


@dataclass(frozen=True)
class Repetition:
    """What was found.

    Args:
        cycles: how often the motion repeats in the clip; 0 where it does not, or too seldom to be told.
        evidence: of the best number, 0 where nothing speaks for any: how deep its dips are, by the logarithm of what is
            left bare, times how many there are beside the first.
        tried: the numbers of cycles.
        depths: of each, how deep the dips are: the mean of the least deep one and of all.
    """

    cycles: float
    evidence: float
    tried: tuple[float, ...]
    depths: tuple[float, ...]


@dataclass(frozen=True)
class Lags:
    """How unlike frames are by how far apart they are, in parts of the time between the first and the last.

    Args:
        sums: (S + 2,) of the logarithms of what is left bare, of all pairs fewer steps apart, each an Sth of that time.
        counts: (S + 2,) number of these pairs.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def steps(self) -> int:
        """From the first frame to the last."""
        return len(self.sums) - 2

    def mean(self, lag: float, within: float) -> float:
        """Of pairs about so far apart; not a number where there are none."""
        first = max(int(np.ceil((lag - within) * self.steps)), 0)
        end = min(max(int((lag + within) * self.steps), first) + 1, self.steps + 1)
        count = self.counts[end] - self.counts[first]
        return float((self.sums[end] - self.sums[first]) / count) if count else np.nan

    def dips(self, cycles: float) -> NDArray[np.float64]:
        """(K,) by how much more alike pairs of one phase are than those half a cycle nearer, and those further.

        Where frames are missing, so that there are no such pairs, is no dip.
        """
        halves = np.arange(0.5, cycles * LONGEST, 0.5) / cycles
        means = np.array([self.mean(lag, max(WIDTH / cycles, 0.6 / self.steps)) for lag in halves])
        before, within, after = means[:-2:2], means[1:-1:2], means[2::2]
        depths = np.minimum(before, after) - within
        return np.asarray(depths[~np.isnan(depths)])

    def depth(self, cycles: float) -> float:
        """The mean of the least deep dip and of all; 0 where they are too few."""
        dips = self.dips(cycles)
        return float(dips.min() + dips.mean()) / 2 if len(dips) >= FEWEST_DIPS else 0.0

    def unlike(self, cycles: float) -> float:
        """Mean square by which the means differ from a trend and what comes again so often."""
        sums, counts = np.diff(self.sums), np.diff(self.counts)
        lags = np.arange(self.steps + 1) / self.steps
        chosen = (lags > 0.5 / cycles) & (lags < LONGEST) & (counts > 0)
        lags, means, weights = lags[chosen], sums[chosen] / counts[chosen], np.sqrt(counts[chosen])
        waves = [np.cos(2 * np.pi * cycles * each * lags) for each in range(1, HARMONICS + 1)]
        terms = np.stack([lags**degree for degree in range(TREND + 1)] + waves, axis=1) * weights[:, None]
        left = means * weights - terms @ np.linalg.lstsq(terms, means * weights, rcond=None)[0]
        return float((left**2).sum() / (weights**2).sum())


def find_cycles(frames: Frames, radius: float, *, are_cameras_found: bool = False) -> Repetition:
    """How often the motion of a film repeats, and how clearly.

    Args:
        frames: of a clip, with masks as alpha; those to train on are looked at.
        radius: metres, of the ball around the origin in which the subject stays.
        are_cameras_found: by the subject itself, some degrees off, which misleads hulls of several frames.
    """
    indices = _spread(_showing(frames), MOST_FRAMES)
    times = np.unique(_times(frames, indices))
    fewest = (FEWEST_DIPS + 0.5) / LONGEST
    tried = np.arange(fewest + STEP / 2, len(times) / FRAMES_OF_CYCLE + STEP / 2, STEP)
    if not len(tried):
        return Repetition(0.0, 0.0, (), ())
    span, seen = float(np.ptp(times)), silhouettes(frames, indices, radius)
    lags = _lags(seen)
    depths = np.array([lags.depth(cycles) for cycles in tried.tolist()])
    best = int(depths.argmax())
    evidence = max(float(depths[best]), 0.0) * (len(lags.dips(tried[best])) - 1)
    cycles = 0.0
    if evidence >= ENOUGH:
        cycles = _best(lambda tried: -lags.unlike(tried * span), float(tried[best] / span), AROUND)
        # Pairs tell that a motion repeats, whatever the cameras; hulls of frames of one phase, how often exactly.
        cycles = cycles if are_cameras_found else _best(seen.likeness, cycles, NEAR)
    return Repetition(cycles, evidence, tuple((tried / span).tolist()), tuple(depths.tolist()))


def _best(score: Callable[[float], float], near: float, within: float) -> float:
    """The number of cycles near to another that has the highest score."""
    return float(max(np.arange(near - within, near + within + FINER / 2, FINER).tolist(), key=score))


def frames_of_one_pose(frames: Frames, cycles: float, radius: float) -> tuple[float, list[int]]:
    """The time of the pose that others of its phase explain best, and the frames nearest to it, of several cycles.

    Args:
        frames: of a clip, with masks as alpha; those to train on are looked at, of which one shows something.
        cycles: how often the motion repeats.
        radius: metres, of the ball around the origin in which the subject stays.
    """
    indices = _showing(frames)
    seen = silhouettes(frames, _spread(indices, MOST_POSES), radius)
    # Errors of neighbours in time say the same with another noise.
    errors = np.convolve(np.pad(seen.errors(cycles), 1, mode="edge"), np.ones(3) / 3, mode="valid")
    time = float(seen.times[errors.argmin()])
    apart = (_times(frames, indices) - time) * cycles
    nearest = np.argsort(np.abs(apart - np.round(apart)), kind="stable")[: 2 * PARTNERS]
    return time, sorted(indices[place] for place in nearest.tolist())


def _showing(frames: Frames) -> list[int]:
    """Those to train on that show something, in the order of their times."""
    indices = frames.showing()
    return [indices[place] for place in np.argsort(_times(frames, indices), kind="stable").tolist()]


def _spread(indices: Sequence[int], most: int) -> list[int]:
    """So many of them at most, evenly."""
    chosen = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), most)).round().astype(int))
    return [indices[place] for place in chosen.tolist()]


def _times(frames: Frames, indices: Sequence[int]) -> NDArray[np.float64]:
    """(F,) in [0, 1]."""
    assert frames.times is not None
    return np.asarray(frames.times[list(indices)].double().numpy())


def _lags(seen: Silhouettes) -> Lags:
    first, second = np.triu_indices(len(seen), 1)
    bare = np.log(LEVEL + seen.uncovered()[first, second])
    lag = np.abs(seen.times[second] - seen.times[first]) / np.ptp(seen.times)
    angles = np.arccos((seen.directions[first] * seen.directions[second]).sum(axis=1).clip(-1, 1))
    side = np.minimum((angles / np.pi * SIDES).astype(int), SIDES - 1)
    bare -= SHARED * _means(bare, side, lag > SHORTEST)[side]
    place = (lag * (len(seen) - 1)).round().astype(int)
    return Lags(*(_summed(place, weights, len(seen)) for weights in (bare, np.ones(len(bare)))))


def _means(values: NDArray[np.float64], kind: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(SIDES,) of each kind among those that are counted, less that of all."""
    sums, counts = (
        np.bincount(kind[counted], weights, minlength=SIDES) for weights in (values[counted], np.ones(counted.sum()))
    )
    whole = sums.sum() / max(counts.sum(), 1)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), whole) - whole)


def _summed(place: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count + 1,) the sum of all at lower places."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(place, weights, minlength=count)[:count])])
