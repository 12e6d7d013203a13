"""Courses that a camera may take around a thing: how it turns, rises and comes nearer over a film."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


TURNS = tuple(turn for turn in range(-1080, 1081, 30) if turn)
"""Degrees that a camera goes around at one speed: three turns at most, in steps that a descent bridges."""

SWINGS = tuple(itertools.product((15, 30, 45, 60, 90, 120), (0.5, 1, 1.5, 2), (0, 90, 180, 270)))
"""Degrees to either side, how often, and where in the swing the film begins, in degrees.

A swing that is repeated more often cannot be told from a motion that is.
"""

ARCS = tuple(
    itertools.product(
        (-180, -120, -90, -60, 60, 90, 120, 180), ((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1), (0, 1 / 2), (1 / 2, 1))
    )
)
"""Degrees that a camera goes around between two times in [0, 1], and stands before and after."""

ELEVATIONS = (0, 15, 30)
"""Degrees from which a course at one height is tried."""

COMPARED = 48
"""Frames, at most, of which all pairs are looked at."""

STILL = 20.0
"""Degrees of azimuth and of elevation over which a camera that does not turn may stray."""

LOWEST, HIGHEST = -30.0, 80.0
"""Degrees of elevation between which a camera stays."""

Part = Literal["azimuth", "elevation", "log_distance"]


@dataclass(frozen=True)
class Course:
    """Where a camera is in each of F frames.

    Args:
        azimuth: (F,) degrees, continuous: 720 is two turns on from 0.
        elevation: (F,) degrees.
        log_distance: (F,) of the distance in units of the mean one.
    """

    azimuth: Array
    elevation: Array
    log_distance: Array

    def changed(self, part: Part, by: Array) -> Course:
        """The same with something added to one of its parts."""
        values = getattr(self, part) + by
        return replace(self, **{part: values.clip(LOWEST, HIGHEST) if part == "elevation" else values})

    @property
    def rotations(self) -> Array:
        """(F, 3, 3) camera_from_object, OpenCV's axes: azimuth 0 looks at the front, and grows toward +X."""
        azimuth, elevation = np.radians(self.azimuth), np.radians(self.elevation)
        toward = np.stack(
            [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)], axis=-1
        )
        right = np.stack([np.cos(azimuth), np.zeros_like(azimuth), -np.sin(azimuth)], axis=-1)
        return np.stack([right, np.cross(-toward, right), -toward], axis=-2)

    @property
    def camera_from_object(self) -> Array:
        """(F, 3, 4), of cameras that look at the object's middle."""
        places = np.zeros((len(self.azimuth), 3, 1))
        places[:, 2, 0] = np.exp(self.log_distance)
        return np.concatenate([self.rotations, places], axis=-1)

    @property
    def spread(self) -> float:
        """Degrees between the outermost azimuths or elevations, whichever are further apart."""
        return float(max(np.ptp(self.azimuth), np.ptp(self.elevation)))

    @property
    def is_still(self) -> bool:
        """Whether the camera hardly turns."""
        return self.spread < STILL

    def turns(self) -> Array:
        """(K, 3, 3) by which the camera turns between two frames, of all pairs of a few dozen frames."""
        chosen = np.linspace(0, len(self.azimuth) - 1, min(COMPARED, len(self.azimuth))).round().astype(int)
        first, second = np.triu_indices(len(chosen), 1)
        rotations = self.rotations[chosen]
        return np.asarray(rotations[second] @ rotations[first].swapaxes(-1, -2))

    def distance_to(self, other: Course) -> float:
        """Degrees by which turns between two frames differ from those of another course, root mean squared.

        The mean would take a course that stands for long for one that turns at last.
        """
        return float(np.sqrt((angles(self.turns().swapaxes(-1, -2) @ other.turns()) ** 2).mean()))


@dataclass(frozen=True)
class Known:
    """What is known of a course without looking.

    Args:
        azimuth: degrees from the front of the first view.
        elevation: degrees above the horizon of all views; None where it is to be found: 0 of a camera that stands
            still, which nothing else tells of.
        is_still: whether the camera is known to stand still; else that is to be found.
    """

    azimuth: float = 0.0
    elevation: float | None = None
    is_still: bool = False


def angles(
    rotations: Array,  # (..., 3, 3)
) -> Array:
    """(...) degrees by which rotations turn."""
    return np.degrees(np.arccos(((np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2).clip(-1, 1)))


def standing(count: int, elevation: float = 0.0) -> Course:
    """The course of a camera that stands still for so many frames, at degrees above the horizon."""
    level = np.zeros(count)
    return Course(level, level + elevation, level)


def plain_courses(count: int, elevations: Sequence[float] = ELEVATIONS) -> Iterator[Course]:
    """Courses that turn, at one height and distance: around at one speed, to and fro, or for a while.

    Args:
        count: of frames.
        elevations: degrees of the heights, at each of which all courses are.
    """
    time, level = np.linspace(0, 1, count), np.zeros(count)
    turning = [turn * time for turn in TURNS]
    swinging = [size * np.sin(2 * np.pi * often * time + np.radians(phase)) for size, often, phase in SWINGS]
    passing = [size * _eased((time - begin) / (end - begin)) for size, (begin, end) in ARCS]
    for azimuth in (*turning, *swinging, *passing):
        for elevation in elevations:
            yield Course(azimuth, level + elevation, level)


def _eased(time: Array) -> Array:
    """From 0 to 1 while time does, beginning and ending at rest."""
    return np.asarray((1 - np.cos(np.pi * time.clip(0, 1))) / 2)


@dataclass(frozen=True)
class Change:
    """One way in which a course may be changed.

    Args:
        part: of the course.
        shape: (F,) what is added, of height 1.
        step: by how much of it, to begin with.
    """

    part: Part
    shape: Array
    step: float


def changes(count: int, knots: int) -> list[Change]:
    """Faster or slower, higher or lower as a whole, and around each of so many times; nearer around half as many."""
    time = np.linspace(0, 1, count)
    return [
        Change("azimuth", time - 0.5, 20.0),
        Change("elevation", np.ones(count), 8.0),
        *(Change("azimuth", bump, 12.0) for bump in _bumps(time, knots)),
        *(Change("elevation", bump, 8.0) for bump in _bumps(time, knots)),
        *(Change("log_distance", bump, 0.08) for bump in _bumps(time, (knots + 1) // 2)),
    ]


def _bumps(time: Array, knots: int) -> Array:
    """(K, F) bells around evenly spaced times, which overlap by half."""
    apart = 1 / (knots - 1)
    return np.exp(-0.5 * ((time - apart * np.arange(knots)[:, None]) / (0.6 * apart)) ** 2)
