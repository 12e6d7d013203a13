"""What stands out in a film: its frames are looked at together, and the subject is followed through them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.estimation.flow import Carrier
from a4d.intake.cutting import SubjectCutter
from a4d.io.pictures.images import read_image, write_image
from a4d.matting.following import FollowedMask
from a4d.matting.grabcut import OUTLINE_SIZE
from a4d.matting.matte import Matte, nothing_of, outlined
from a4d.matting.propagation import follow_subject
from a4d.pixels import SOLID, Array, shrink
from a4d.running.quality import Gate

FOLLOWED_SIZE = 1024
"""Pixels of the longer side of a frame that a network is shown."""

HELD_FRAMES = 4
"""Reduced frames that are kept in memory."""

GATES = (
    Gate(
        "masks_doubtful", 0.02, 0.3,
        "The subject is hard to follow: its mask is in doubt in {value:.0%} of the frames, the first of them "
        "{first_doubtful:05d}; look at `images`, or give masks with --masks",
    ),
)  # fmt: skip
"""What becomes of a film in which the subject was lost."""


class ReducedFrames(Sequence["Array"]):
    """Frames (H, W, 3) of a film at a size at which outlines are found, read when they are asked for.

    Args:
        files: of the frames.
        size: pixels of the longer side at most.
    """

    def __init__(self, files: Sequence[Path], size: int = OUTLINE_SIZE) -> None:
        self._files, self._size = files, size
        self._read = lru_cache(HELD_FRAMES)(lambda index: shrink(read_image(files[index])[..., :3], size))

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> ReducedFrames: ...

    def __getitem__(self, index: int | slice) -> Array | ReducedFrames:
        return ReducedFrames(self._files[index], self._size) if isinstance(index, slice) else self._read(index)


def cut_out_together(
    files: Sequence[Path], waiting: Collection[int], network: SubjectCutter
) -> Iterator[tuple[int, Matte, bool]]:
    """Cut the subject out of frames that do not tell it each by itself.

    Args:
        files: of all frames; those that wait as they were filmed, the others cut out.
        waiting: places of the frames that are cut out here, and replaced.
        network: follows the subject, if it can; else its colours and the flow do.

    Yields:
        the place of such a frame, what is cut out, and whether its mask is sure.
    """
    if network.follow is None:
        followed, method = _followed_by_colour(files, waiting), "grabcut"
    else:
        followed, method = network.follow(ReducedFrames(files, FOLLOWED_SIZE)), network.name
    for index in waiting:
        rgb = read_image(files[index])[..., :3]
        subject = _enlarged(followed[index].subject, rgb)
        rgba = outlined(rgb, subject) if subject.any() else nothing_of(rgb)
        write_image(files[index], rgba)
        yield index, Matte(rgba, method), followed[index].is_sure


def _followed_by_colour(files: Sequence[Path], waiting: Collection[int]) -> list[FollowedMask]:
    """The subject by its colours and the flow, from the frames in which alpha or a plain backdrop tells it."""
    film = ReducedFrames(files)
    known = {
        index: shrink(read_image(file), OUTLINE_SIZE)[..., 3] > SOLID
        for index, file in enumerate(files)
        if index not in waiting
    }
    return follow_subject(film, Carrier(film), known)


def _enlarged(mask: NDArray[np.bool_], image: Array) -> NDArray[np.bool_]:
    size = image.shape[1], image.shape[0]
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) > SOLID)
