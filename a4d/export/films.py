"""Films and pictures of a scene: a turn around it, and its clip from a fixed view, in orbit and from four sides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import QualityError
from a4d.export.subject import Subject
from a4d.export.viewing import Ball
from a4d.geometry.cameras import Cameras, orbit
from a4d.io.films.video import read_video, write_video
from a4d.io.pictures.images import read_image, write_image
from a4d.scenes.extraction import FOV_DEGREES, distance_for

Film = Literal["turntable", "sweep", "orbit", "grid"]
FILMS: tuple[Film, ...] = get_args(Film)
TURNS: tuple[Film, ...] = ("turntable", "orbit")
"""Films of one turn around the subject."""

Picture = NDArray[np.float32]

SAMPLED_EXTENTS = 5
"""Moments of a clip at which the subject is measured, so that it stays in the picture."""

SHORTEST_SECONDS = 3.0
"""Of a film of a clip that repeats: players stop at the end."""


@dataclass(frozen=True)
class Shot:
    """How a subject is filmed.

    Args:
        frames: pictures of one turn.
        fps: frames per second of a turn; a clip is shown at its own rate.
        size: pixels of a picture's side.
        elevation: degrees above the subject.
        azimuth: degrees from the front, where a turn begins and from where a clip is seen.
        background: grey in [0, 1] behind the subject in films.
    """

    frames: int = 72
    fps: float = 24.0
    size: int = 512
    elevation: float = 15.0
    azimuth: float = 0.0
    background: float = 1.0


def pictures(film: Film, subject: Subject, shot: Shot) -> Iterator[Picture]:
    """(H, W, 4) each, with straight alpha.

    Args:
        film: "turntable" goes around the first moment; "sweep" shows the clip from one side; "orbit" goes around while
            the clip plays, again and again; "grid" shows it from the front, the right, the back and the left, in
            reading order.
        subject: whatever is exported.
        shot: how it is filmed.
    """
    times = subject.moments.times
    chosen = np.linspace(0, len(times) - 1, min(len(times), SAMPLED_EXTENTS)).astype(int)
    ball = subject.viewing.ball_around([times[index] for index in chosen])
    if film in TURNS:
        period = 1 if film == "turntable" else _period(subject)
        azimuths = [shot.azimuth + 360.0 * index / shot.frames for index in range(shot.frames)]
        cameras = _cameras(azimuths, ball, shot)
        for index in range(shot.frames):
            yield _picture(subject, cameras[index], times[index % period])
        return
    count = 4 if film == "grid" else 1
    side = shot.size // 2 if film == "grid" else shot.size
    cameras = _cameras([shot.azimuth + 90.0 * index for index in range(count)], ball, shot).resized(side, side)
    for time in times:
        views = [_picture(subject, cameras[index], time) for index in range(count)]
        rows = [np.concatenate(views[start : start + 2], axis=1) for start in range(0, count, 2)]
        yield np.concatenate(rows, axis=0)


def write_film(path: Path, film: Film, subject: Subject, shot: Shot) -> dict[str, Any]:
    """An MP4, GIF or WebP.

    Raises:
        QualityError: it reads back with another number of frames.
    """
    moments, shown = subject.moments, pictures(film, subject, shot)
    fps, expected = shot.fps, _count(film, subject, shot)
    if film != "turntable":
        fps = 1 / moments.seconds_per_frame
        if film not in TURNS and moments.is_periodic and expected > 1:
            once, period = list(shown)[:-1], _period(subject)
            expected = period * math.ceil(SHORTEST_SECONDS * fps / period)
            shown = itertools.islice(itertools.cycle(once), expected)
    write_video(path, shown, fps, (shot.background,) * 3)
    count = sum(1 for _ in read_video(path).frames)
    if count != expected:
        raise QualityError(f"{path.name} reads back with {count} of {expected} frames")
    return {f"{film}_frames": count}


def write_pictures(folder: Path, film: Film, subject: Subject, shot: Shot) -> dict[str, Any]:
    """Numbered RGBA pictures.

    Raises:
        QualityError: one reads back with another size.
    """
    count = 0
    for count, picture in enumerate(pictures(film, subject, shot), start=1):
        path = folder / f"{count - 1:05d}.png"
        write_image(path, picture)
        shape = read_image(path).shape if count == 1 else picture.shape
        if shape != picture.shape:
            raise QualityError(f"{folder.name}/{path.name} reads back with shape {shape}")
    return {f"{film}_pictures": count}


def _count(film: Film, subject: Subject, shot: Shot) -> int:
    return shot.frames if film in TURNS else len(subject.moments.times)


def _period(subject: Subject) -> int:
    """Moments after which a clip begins anew."""
    count = len(subject.moments.times)
    return count - 1 if subject.moments.is_periodic and count > 1 else count


def _cameras(azimuths: list[float], ball: Ball, shot: Shot) -> Cameras:
    elevations, distance = torch.full((len(azimuths),), shot.elevation), distance_for(ball.radius)
    return orbit(torch.tensor(azimuths), elevations, distance, FOV_DEGREES, shot.size, shot.size, ball.centre)


def _picture(subject: Subject, camera: Cameras, time: float) -> Picture:
    picture: Picture = subject.viewing.picture(camera, time).numpy()
    return picture
