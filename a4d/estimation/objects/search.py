"""The course of a camera by which all silhouettes and colours of a film make one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from a4d.estimation.objects import carving_kernels
from a4d.estimation.objects.courses import ELEVATIONS, Array, Change, Course, changes, plain_courses, standing
from a4d.estimation.objects.crops import Crops
from a4d.estimation.objects.turning import borne_out
from a4d.geometry.reconstruction.visual_hull import view_weights
from a4d.pixels import Array as Picture

COLOUR = 0.7
"""Weight of colours, as root mean squared differences in sRGB, beside that of the silhouettes' overlap."""

FOLLOWED = 0.15
"""Weight of the share of the flow that the surface's explains: no turn explains what a gesture does."""

TOLERATED = 0.2
"""Share of the views that may show background where the shape is: limbs move."""

FROM_BELOW = 0.001
"""Cost of a degree below the horizon: of a course and its mirror image in depth, much alike, one is below."""

WORTH = 0.004
"""Of the cost, that a change of a course must save."""

ROUNDS = 3
"""In which changes are tried, each time of half the size."""

DISTINCT = 18.0
"""Degrees, as `Course.distance_to` says, of courses that are more than one."""

TOLD_APART = 0.008
"""Of the cost: by so much worse, a course is less likely by a factor of e."""

ALIKE = 30.0
"""The same of courses that agree."""

NEEDED = 0.245
"""Of the cost that a turn saves and the share of it that flow bears out, together: less is explained by gestures."""

DECIDED = 0.04
"""By so much more or less, a turn is likelier or less likely by a factor of e.

Both were chosen on films of 8 to 48 frames of two foxes, a frog and a rose.
"""


@dataclass(frozen=True)
class Effort:
    """How closely is looked.

    Args:
        frames: at most.
        side: pixels of a crop.
        voxels: along the box.
        knots: at which a course may change.
        kept: the best courses, which go on.
    """

    frames: int
    side: int
    voxels: int
    knots: int
    kept: int


EFFORTS = (Effort(48, 32, 24, 7, 10), Effort(96, 48, 36, 7, 4))
"""All courses in their turn; each effort begins with those that the one before has kept."""


@dataclass(frozen=True)
class Rated:
    """A course and its cost."""

    course: Course
    cost: float


class Appraiser:
    """Says how well one shape explains frames that are seen from a course.

    Args:
        crops: of which those that are whole are looked at.
        flows: (F, S, S, 2) pixels from each crop to the next.
        effort: how closely.
    """

    def __init__(self, crops: Crops, flows: Picture, effort: Effort) -> None:
        whole = np.flatnonzero(crops.is_whole)
        chosen = np.linspace(0, len(whole) - 1, min(effort.frames, len(whole))).round().astype(int)
        self.frames, self.extent = whole[chosen], crops.extent
        self.focal = crops.focal * effort.side / crops.rgba.shape[1]
        self.masks, self.colours = crops.reduced(effort.side, self.frames)
        size = (effort.side, effort.side)
        self.flows = np.stack([cv2.resize(flows[f], size, interpolation=cv2.INTER_AREA) for f in self.frames])
        self.full = np.zeros((effort.voxels,) * 3, np.bool_)
        self.nearest = np.zeros(self.masks.shape, np.int64)
        self.figures = np.zeros((len(self.frames), 2))

    def __call__(self, course: Course) -> float:
        """The cost: what silhouettes, colours and flow miss those of the shape by, and views from below."""
        poses = course.camera_from_object
        own, later = poses[self.frames], poses[(self.frames + 1).clip(max=len(poses) - 1)]
        points = self.surface(course)
        followed = carving_kernels.follow(points, self.nearest, self.masks, self.flows, own, later, self.focal)
        overlap, colour = self.figures.mean(0)
        below = float(np.maximum(-course.elevation, 0).mean())
        return float(1 - overlap + COLOUR * colour - FOLLOWED * followed + FROM_BELOW * below)

    def surface(self, course: Course) -> Array:
        """(P, 3) of the shape that the frames make, seen from a course."""
        own = course.camera_from_object[self.frames]
        return np.asarray(
            carving_kernels.appraise(
                self.masks, self.colours, view_weights(own), own, self.focal, self.extent, TOLERATED,
                self.full, self.nearest, self.figures,
            )
        )  # fmt: skip

    @property
    def spacing(self) -> float:
        """Between neighbouring points of a surface."""
        return 2 * self.extent / len(self.full)


@dataclass(frozen=True)
class Search:
    """What was found.

    Args:
        best: the likeliest course.
        likelihood: in [0, 1], of all that the rival courses share: that of the courses that agree with the best.
    """

    best: Rated
    likelihood: float


def find_course(
    crops: Crops, told: Callable[[float], None], efforts: Sequence[Effort] = EFFORTS, elevation: float | None = None
) -> Search:
    """Try plain courses that turn, change the best of them for the better, and hold it against standing still.

    Args:
        crops: of a film; at least two are whole.
        told: is told of the share that has been done.
        efforts: one after another.
        elevation: degrees, of a camera whose height is known and stays; None looks for it.
    """
    heights = ELEVATIONS if elevation is None else (elevation,)
    appraiser, rated = _changed_courses(crops, told, efforts, heights)
    turning = _likeliest([each for each in rated if not each.course.is_still])
    standing_still = map(partial(standing, len(crops.rgba)), heights)
    still = min((Rated(course, appraiser(course)) for course in standing_still), key=_cost)
    return _decided(crops, appraiser, still, turning) if turning else Search(still, 1.0)


def _changed_courses(
    crops: Crops,
    told: Callable[[float], None],
    efforts: Sequence[Effort],
    heights: Sequence[float],  # degrees; a single one stays
) -> tuple[Appraiser, list[Rated]]:
    """What appraised with the last effort, and the courses that it kept."""
    count, flows = len(crops.rgba), crops.flows()
    appraiser = Appraiser(crops, flows, efforts[0])
    rated = [Rated(course, appraiser(course)) for course in plain_courses(count, heights)]
    for place, effort in enumerate(efforts):
        appraiser = Appraiser(crops, flows, effort)
        ways = [way for way in changes(count, effort.knots) if len(heights) > 1 or way.part != "elevation"]
        kept = _distinct(rated, effort.kept)
        rated = []
        for done, each in enumerate(kept):
            rated.append(descend(appraiser, replace(each, cost=appraiser(each.course)), ways))
            told((place + (done + 1) / len(kept)) / len(efforts))
    return appraiser, rated


def _decided(crops: Crops, appraiser: Appraiser, still: Rated, turning: Search) -> Search:
    """Standing still, or turning where that saves more of the cost than gestures do and flow bears it out."""
    course = turning.best.course
    evidence = borne_out(crops, course, appraiser.surface(course), appraiser.spacing) - NEEDED
    turns = float(1 / (1 + np.exp((turning.best.cost - still.cost - evidence) / DECIDED)))
    return replace(turning, likelihood=turns * turning.likelihood) if turns > 0.5 else Search(still, 1 - turns)


def _likeliest(rated: Sequence[Rated]) -> Search | None:
    """The best of courses, and the share of those that agree with it; None where there are none."""
    if not rated:
        return None
    best = min(rated, key=_cost)
    shares = np.exp([(best.cost - each.cost) / TOLD_APART for each in rated])
    agrees = np.array([each.course.distance_to(best.course) < ALIKE for each in rated])
    return Search(best, float(shares[agrees].sum() / shares.sum()))


def _cost(rated: Rated) -> float:
    return rated.cost


def descend(appraise: Callable[[Course], float], start: Rated, ways: Sequence[Change]) -> Rated:
    """Change a course one way after another for as long as that is worth it."""
    best = start
    for halvings in range(ROUNDS):
        for way in ways:
            for sign in (1, -1):
                changed = best.course.changed(way.part, sign * way.step / 2**halvings * way.shape)
                rated = Rated(changed, appraise(changed))
                if rated.cost < best.cost - WORTH:
                    best = rated
                    break
    return best


def _distinct(rated: Sequence[Rated], most: int) -> list[Rated]:
    """The best by rising cost, without courses that all but equal a better one."""
    kept: list[Rated] = []
    for each in sorted(rated, key=lambda each: each.cost):
        if all(each.course.distance_to(other.course) >= DISTINCT for other in kept):
            kept.append(each)
            if len(kept) == most:
                break
    return kept
