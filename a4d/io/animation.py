"""Animated GIF, WebP and PNG through Pillow, which knows their transparency and disposal."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a4d.io.files import atomic_path
from a4d.io.images import open_checked, to_bytes, unreadable
from a4d.pixels import Array

ANIMATION_SUFFIXES = frozenset({".gif", ".webp", ".png", ".apng"})

UNSET_DURATION = 0.1
"""Seconds that browsers show a frame whose duration is 10 ms or less."""


GIF_TICK = 0.0101
"""Seconds by which equal durations may differ for being rounded to hundredths."""


def read_animation(
    path: Path, start: int = 0, end: int | None = None, fps: float | None = None
) -> tuple[Iterator[Array], float]:
    """Read an animation at a constant rate, with each frame complete as it is seen.

    Args:
        path: an existing file.
        start: the first frame, counted from 0.
        end: the frame after the last one; None is the end.
        fps: frames per second of the result, each the one shown at that moment; None is the mean rate.

    Returns:
        The frames, (H, W, 3) or (H, W, 4) float32 sRGB in [0, 1] with straight alpha, and their rate.

    Raises:
        InvalidInputError: the file is damaged or over 100 megapixels.
    """
    durations = np.array([duration for _, duration in _frames(path, decode=False)][start:end])
    if len(durations) == 0:
        return iter(()), fps or 1.0
    mean_rate = len(durations) / durations.sum()
    rate = fps or float(mean_rate)
    if fps is None and np.ptp(durations) <= GIF_TICK:
        shown = np.arange(len(durations))
    else:
        ends = np.cumsum(durations)
        # From the middle of the first frame: rounding must not decide, and the first frame must be shown.
        moments = np.arange(max(1, round(ends[-1] * rate))) / rate + durations.min() / 2
        shown = np.minimum(np.searchsorted(ends, moments, side="right"), len(durations) - 1)
    return _select(path, shown + start), rate


def write_animation(path: Path, frames: Iterable[Array], fps: float) -> None:
    """Write a GIF or WebP that loops for ever; see `a4d.io.video.write_video`.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    pictures = [Image.fromarray(to_bytes(frame)) for frame in frames]
    if not pictures:
        raise ValueError("an animation needs at least one frame")
    gif = path.suffix.lower() == ".gif"
    tick = 10 if gif else 1  # milliseconds
    moments = np.rint(np.arange(len(pictures) + 1) * 1000 / fps / tick).astype(int) * tick
    # A GIF's shorter durations are played at a tenth of a second by browsers.
    durations = [int(duration) for duration in np.maximum(np.diff(moments), 2 * tick if gif else 1)]
    options: dict[str, Any] = (
        {"format": "GIF", "disposal": 2, "optimize": False} if gif else {"format": "WEBP", "quality": 90}
    )
    with atomic_path(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options)


def _select(path: Path, shown: np.ndarray) -> Iterator[Array]:
    """The frames with the given ascending numbers, repeated where a number is."""
    repeats = np.bincount(shown)
    for number, (frame, _) in enumerate(_frames(path)):
        if number >= len(repeats):
            return
        if repeats[number]:
            for _ in range(repeats[number]):
                yield frame


def _frames(path: Path, decode: bool = True) -> Iterator[tuple[Array, float]]:
    """Each frame (H, W, 3|4) and how many seconds it is shown; frames that are not decoded are empty."""
    with path.open("rb") as stream:
        number, image = 0, None
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    image = image or open_checked(path, stream)
                    if number >= getattr(image, "n_frames", 1):
                        return
                    image.seek(number)
                    image.load()
                    seconds = float(image.info.get("duration") or 0) / 1000
                    frame = _straight(image) if decode else np.zeros((0, 0, 3), np.float32)
            except Exception as error:  # Pillow's readers raise nearly every type there is on damaged bytes
                raise unreadable(path, error) from None
            yield frame, seconds if seconds > 0.01 else UNSET_DURATION
            number += 1


def _straight(image: Image.Image) -> Array:
    samples = np.asarray(image.convert("RGBA"))
    if samples[..., 3].min() == 255 and not image.has_transparency_data:
        samples = samples[..., :3]
    return samples.astype(np.float32) / np.float32(255)
