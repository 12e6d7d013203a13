"""Where a film cuts from one shot to another, and which of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from a4d.errors import UsageError
from a4d.intake.settings import VideoSettings
from a4d.io.films.video import read_video
from a4d.pixels import WHITE, Array, composite

THUMBNAIL = 96
"""Pixels of the longer side at which shots are told apart."""

BLOCKS = 16, 12
"""Columns and rows of which the mean colours are compared."""

LEVELS = 6
"""Of each channel in a histogram of colours."""

NEIGHBOURS = 12
"""Steps beside a cut that show how much the film changes without one."""

BEYOND = 5.0
"""Times the median of those by which both measures change at a cut."""

LEAST = 0.1, 0.05
"""By which the histogram, and the blocks' mean colours, change at a cut at the least, of 1 each."""

ALONE = 0.45, 0.2
"""The same where there are too few steps to compare with."""

Change = tuple[float, float]
"""Shares of the histogram, and of the range of the blocks' colours, by which two frames differ."""


def chosen_shot(path: Path, config: VideoSettings, warn: Callable[[str], None]) -> tuple[range, int]:
    """The frames of the film's longest shot, or of the one that is asked for, and how many frames there are.

    Args:
        path: of the film.
        config: which of its frames are taken, and which shot of them.
        warn: told where there are several shots and none was asked for.

    Returns:
        places among the frames that are taken; their number.

    Raises:
        InvalidInputError: no frame of the film can be read.
        UsageError: there is no such shot.
    """
    video = read_video(path, config.start, config.end, config.fps, THUMBNAIL)
    shots = find_shots(video.sound_frames(strict=False, warn=lambda _: None))
    count = shots[-1].stop
    if config.shot is not None:
        if config.shot > len(shots):
            count_said = "1 shot" if len(shots) == 1 else f"{len(shots)} shots"
            raise UsageError(f"the film has {count_said}: {_named(shots)}", "Choose one of them with --shot")
        return shots[config.shot - 1], count
    longest = max(shots, key=len)
    if len(shots) > 1:
        number = shots.index(longest) + 1
        warn(
            f"The film has {len(shots)} shots, {_named(shots)} of the frames that are taken; "
            f"the longest, number {number}, is used: choose another with --shot"
        )
    return longest, count


def _named(shots: Sequence[range]) -> str:
    return ", ".join(f"{shot.start}-{shot.stop - 1}" for shot in shots)


def find_shots(
    frames: Iterable[Array],  # (H, W, 3) or (H, W, 4) each, small
) -> list[range]:
    """The runs of frames between which a film cuts: where it changes far more than before and after."""
    described = list(map(_described, frames))
    usual = [_change(one, other) for one, other in pairwise(described)]
    cuts = [step + 1 for step in range(len(usual)) if _is_cut(_lasting(described, step), usual, step)]
    return [range(start, stop) for start, stop in pairwise([0, *cuts, len(described)])]


def _described(frame: Array) -> tuple[Array, Array]:
    """Halved shares of a histogram of colours, and the mean colours of blocks by their number."""
    rgb = cv2.GaussianBlur(composite(frame, WHITE), (0, 0), 1)
    levels = np.minimum((rgb * LEVELS).astype(np.int64), LEVELS - 1) @ np.array([LEVELS**2, LEVELS, 1])
    histogram = np.bincount(levels.ravel(), minlength=LEVELS**3) / levels.size / 2
    blocks = np.asarray(cv2.resize(rgb, BLOCKS, interpolation=cv2.INTER_AREA))
    return histogram.astype(np.float32), (blocks / blocks.size).astype(np.float32)


def _change(one: tuple[Array, Array], other: tuple[Array, Array]) -> Change:
    colours, blocks = (float(np.abs(first - second).sum()) for first, second in zip(one, other, strict=True))
    return colours, blocks


def _lasting(described: Sequence[tuple[Array, Array]], step: int) -> Change:
    """The least change from the frames before a step to those after it: a single frame that flashes is no shot."""
    changes = [
        _change(one, other) for one in described[max(0, step - 1) : step + 1] for other in described[step + 1 :][:2]
    ]
    return min(change[0] for change in changes), min(change[1] for change in changes)


def _is_cut(lasting: Change, changes: Sequence[Change], step: int) -> bool:
    """Whether what changes for longer than a frame is far more than what changes beside."""
    first = max(0, min(step - NEIGHBOURS // 2, len(changes) - NEIGHBOURS - 1))
    beside = [changes[other] for other in range(first, min(len(changes), first + NEIGHBOURS + 1)) if other != step]
    if len(beside) < NEIGHBOURS // 2:
        return all(change > least for change, least in zip(lasting, ALONE, strict=True))
    usual = np.median(beside, axis=0)
    return all(
        change > max(least, BEYOND * common) for change, least, common in zip(lasting, LEAST, usual, strict=True)
    )
