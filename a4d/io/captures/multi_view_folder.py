"""Films of one subject from several sides in one folder: `view_0.mp4`, `view_1.mp4` ..., or folders of pictures.

The folder may be one of a data set, `videos/UID/NN/`; its `transforms.json` or the data set's index then says where the
cameras are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from a4d.errors import InvalidInputError, UsageError
from a4d.io.captures.multi_view_dataset import CAMERAS, INDEX, read_entries
from a4d.io.containment import require_inside
from a4d.io.files import natural_key
from a4d.io.films.video import read_video
from a4d.io.pictures.images import list_images, read_image
from a4d.io.suffixes import FILM_SUFFIXES
from a4d.pixels import Array, shrink

FEW_COLOURS = (".gif",)
PICTURE_RATE = 24.0
"""Frames per second of folders of pictures, which do not say."""

_VIEW = re.compile(r"view_(\d+)")


def is_multi_view(folder: Path) -> bool:
    """Whether a folder holds views of a clip, or a data set of them, by its names alone."""
    return (folder / INDEX).is_file() or any(_VIEW.fullmatch(path.stem) and _is_view(path) for path in folder.iterdir())


def _is_view(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in FILM_SUFFIXES


def _number(view: Path) -> int:
    match = _VIEW.fullmatch(view.stem)
    assert match is not None
    return int(match[1])


def _places(numbers: list[int]) -> tuple[tuple[int, ...], int]:
    """Where views stand on their ring, whose size is the other result, by their increasing numbers.

    Numbers of which most are missing count something else, such as degrees, and say no more than an order.
    """
    first = numbers[0]
    ring = numbers[-1] - first + 1
    if ring > 2 * len(numbers):
        return tuple(range(len(numbers))), len(numbers)
    return tuple(number - first for number in numbers), ring


@dataclass(frozen=True)
class Excerpt:
    """Which part of each view is taken.

    Args:
        start: the first frame, counted from 0.
        end: the frame after the last one; None is the end.
        fps: frames per second of the result, by taking the nearest; None takes all.
        size: reduce the longer side to at most this many pixels.
    """

    start: int = 0
    end: int | None = None
    fps: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class MultiViewFolder:
    """The views of a clip, nothing of which is decoded.

    Args:
        path: of the folder.
        views: files or folders, in their order around the subject.
        places: of the views among those of the whole ring, from 0; some are left out where files are missing.
        ring: how many places there are, as far as the files' numbers tell: those missing at the end they do not.
        pictures: of all views one after the other, which a data set may hold beside films that have no alpha.
    """

    path: Path
    views: tuple[Path, ...]
    places: tuple[int, ...]
    ring: int
    pictures: tuple[Path, ...] = ()

    @classmethod
    def find(cls, folder: Path) -> MultiViewFolder:
        """The clip in a folder, or the only one of a data set.

        Raises:
            UsageError: a data set has several.
            InvalidInputError: there are no two views, two have one number, or a view is a GIF.
            MissingInputError: there is no such folder.
            OutsideError: a view is a link that leads out of the folder.
        """
        if (folder / INDEX).is_file():
            clips = [entry.folder for entry in read_entries(folder)]
            if len(clips) > 1:
                raise UsageError(
                    f"{folder} is a data set of {len(clips)} clips", f"Name one of them, such as {clips[0]}"
                )
            folder = clips[0]
        found = [path for path in folder.glob("view_*") if _VIEW.fullmatch(path.stem) and _is_view(path)]
        for path in found:
            if path.suffix.lower() in FEW_COLOURS:
                raise InvalidInputError(
                    f"{path} has the 256 colours of a GIF, and equal frames may be missing from it",
                    "Give an .mp4, or a folder of PNG frames",
                )
        if len(found) < 2:
            raise InvalidInputError(f"{folder} holds no views of a clip", "Name them view_0.mp4, view_1.mp4 ...")
        views = sorted(found, key=lambda view: (_number(view), view.name))
        for one, other in pairwise(views):
            if _number(one) == _number(other):
                raise InvalidInputError(f"{one} and {other} are one view", "Move one of them away")
        places, ring = _places([_number(view) for view in views])
        pictures = sorted((folder / "images").glob("*.png"), key=natural_key)
        require_inside(folder, (*found, *pictures))
        whole = pictures if len(pictures) % ring == 0 else []
        return cls(folder, tuple(views), places, ring, tuple(whole))

    @property
    def missing(self) -> list[str]:
        """The names, without a suffix, of views between the first and the last that are not there."""
        first = _number(self.views[0]) - self.places[0]
        return [f"view_{first + place}" for place in range(self.ring) if place not in self.places]

    def frames(self, view: int, excerpt: Excerpt) -> Iterator[Array]:
        """(H, W, 3 or 4) float32 sRGB in [0, 1] of one view.

        Raises:
            InvalidInputError: a file is damaged, or nothing is left.
        """
        path, each = self.views[view], len(self.pictures) // self.ring
        if path.is_file() and not self.pictures:
            yield from read_video(path, excerpt.start, excerpt.end, excerpt.fps, excerpt.size).frames
            return
        pictures = self.pictures[self.places[view] * each :][:each] or list_images(path)
        step = 1 if excerpt.fps is None else max(1, round(self._stored_rate() / excerpt.fps))
        for picture in islice(pictures, excerpt.start, excerpt.end, step):
            pixels = read_image(picture)
            yield pixels if excerpt.size is None else shrink(pixels, excerpt.size)

    def rate(self, excerpt: Excerpt) -> float:
        """Frames per second of what `frames` gives."""
        return excerpt.fps or self._stored_rate()

    def _stored_rate(self) -> float:
        return read_video(self.views[0]).fps if self.views[0].is_file() else PICTURE_RATE

    @property
    def camera_file(self) -> Path | None:
        """Its own `transforms.json`."""
        file = self.path / CAMERAS
        return file if file.is_file() else None

    def angles(self) -> tuple[float, float] | None:
        """Elevation of all cameras and azimuth of the first in degrees, where the index of its data set says them.

        Raises:
            InvalidInputError: the index is damaged.
        """
        folder = self.path.resolve()
        for videos, root in zip(folder.parents[1:2], folder.parents[2:3], strict=False):
            if videos.name == "videos" and (root / INDEX).is_file():
                for entry in read_entries(root):
                    if entry.folder.resolve() == folder:
                        return entry.elevation, entry.azimuth
        return None
