"""Animated GIF, WebP and PNG through Pillow, which knows their transparency and disposal."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from a4d.errors import A4DError, InvalidInputError
from a4d.io.files import atomic_path
from a4d.io.pictures.colour_profiles import in_srgb, marked_colours
from a4d.io.pictures.images import ANIMATED, FORMATS, count_frames, has_poster, open_header, to_bytes, unreadable
from a4d.io.pictures.transfer_functions import ColourSpace
from a4d.pixels import Array

UNSET_DURATION = 0.1
"""Seconds that browsers show a frame whose duration is 10 ms or less."""


GIF_TICK = 0.0101
"""Seconds by which equal durations may differ for being rounded to hundredths."""


def is_animation(path: Path) -> bool:
    """Whether Pillow reads the film in a file, be it of a single moment; its content is what counts."""
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            return Image.open(stream, formats=FORMATS).format in ANIMATED
    except Exception:  # Pillow's readers raise nearly every type there is on what is no picture
        return False


def read_animation(
    path: Path, start: int = 0, end: int | None = None, fps: float | None = None
) -> tuple[Iterator[Array], float, int]:
    """Read an animation at a constant rate, with each frame complete as it is seen.

    Args:
        path: an existing file.
        start: the first frame, counted from 0.
        end: the frame after the last one; None is the end.
        fps: frames per second of the result, each the one shown at that moment; None is the mean rate.

    Returns:
        The frames, (H, W, 3) or (H, W, 4) float32 sRGB in [0, 1] with straight alpha, their rate and their number.

    Raises:
        InvalidInputError: the file is damaged or over 100 megapixels; if frames before are sound, after these.
    """
    sound, damage = _durations(path)
    shown, rate = _shown(np.array(sound[start:end]), fps)
    if not len(shown):
        return iter(()), rate, 0
    frames = _select(path, shown + start)
    if damage is not None and (end is None or end > len(sound)):
        frames = itertools.chain(frames, _raising(damage))
    return frames, rate, len(shown)


def animation_frames(path: Path, start: int = 0, end: int | None = None, fps: float | None = None) -> NDArray[np.int64]:
    """(N,) which of its own frames `read_animation` takes."""
    return start + _shown(np.array(_durations(path)[0][start:end]), fps)[0]


def _shown(
    durations: NDArray[np.float64],  # (M,) seconds
    fps: float | None,
) -> tuple[NDArray[np.int64], float]:
    """(N,) which frames are shown at a constant rate, and that rate; see `read_animation`."""
    if len(durations) == 0:
        return np.zeros(0, np.int64), fps or 1.0
    rate = fps or float(len(durations) / durations.sum())
    if fps is None and np.ptp(durations) <= GIF_TICK:
        return np.arange(len(durations)), rate
    ends = np.cumsum(durations)
    # From the middle of the first frame: rounding must not decide, and the first frame must be shown.
    moments = np.arange(max(1, round(ends[-1] * rate))) / rate + durations.min() / 2
    return np.minimum(np.searchsorted(ends, moments, side="right"), len(durations) - 1), rate


def write_animation(path: Path, frames: Iterable[Array], fps: float) -> None:
    """Write a GIF or WebP that loops for ever; see `a4d.io.films.video.write_video`.

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
        for _ in range(repeats[number]):
            yield frame
        if number + 1 == len(repeats):  # what follows may be damaged, and is not wanted
            return


def incomplete(path: Path, count: int, promised: int, reason: str) -> InvalidInputError:
    """The refusal of a film of which some frames are missing; `reason` may be empty."""
    because = f": {reason}" if reason else ""
    remedy = f"Its first {count} frames are sound: give an end" if count else ""
    return InvalidInputError(f"{path} is incomplete, with {count} of {promised} frames{because}", remedy)


def _durations(path: Path) -> tuple[list[float], A4DError | None]:
    """Seconds that each frame is shown, and what is wrong with the file after the last of them.

    Raises:
        InvalidInputError: no frame is sound.
    """
    durations: list[float] = []
    try:
        for _, duration in _frames(path, decode=False):
            durations.append(duration)
    except InvalidInputError as error:
        if not durations:
            raise
        with path.open("rb") as stream:
            promised = count_frames(open_header(path, stream))
        return durations, incomplete(path, len(durations), promised, error.problem.removeprefix(f"{path} is damaged: "))
    return durations, None


def _raising(error: A4DError) -> Iterator[Array]:
    raise error
    yield


def _frames(path: Path, decode: bool = True) -> Iterator[tuple[Array, float]]:
    """Each frame (H, W, 3|4) and how many seconds it is shown; frames that are not decoded are empty."""
    number = 0
    with path.open("rb") as stream, path.open("rb") as beside:
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if number == 0:
                        image = open_header(path, stream)
                        colours = marked_colours(image, beside) or ColourSpace()
                    if number >= count_frames(image):
                        return
                    image.seek(number + has_poster(image))
                    image.load()
                    seconds = float(image.info.get("duration") or 0) / 1000
                    frame = colours.to_srgb(_straight(image)) if decode else np.zeros((0, 0, 3), np.float32)
            except Exception as error:  # Pillow's readers raise nearly every type there is on damaged bytes
                raise unreadable(path, error) from None
            yield frame, seconds if seconds > 0.01 else UNSET_DURATION
            number += 1


def _straight(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3), or (H, W, 4) where something may be transparent."""
    samples = np.asarray(in_srgb(image, "RGBA", warn=lambda message: None))
    return samples if samples[..., 3].min() < 255 or image.has_transparency_data else samples[..., :3]
