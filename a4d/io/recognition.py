"""Whether a file is a picture or a film, by what is in it: an animated WebP or PNG bears the name of a still one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from a4d.errors import BackendUnavailableError
from a4d.io.films.film_probe import is_film
from a4d.io.pictures.images import count_frames, open_header, unreadable
from a4d.io.suffixes import FILM_SUFFIXES

MOTION_JPEG = (".mjpg", ".mjpeg")
"""Names of JPEGs one after the other, of which the content begins like that of a single one."""


def picture_or_film(path: Path) -> Literal["image", "video"] | None:
    """Tell what a file is; no pixel is decoded.

    Args:
        path: an existing file. Where it has a film's name and is no picture, the name is believed.

    Returns:
        "image" for a picture, also for one that needs another package; "video" for what shows several moments; None
        for what is neither.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            image = open_header(path, stream)
            is_sequence = image.format == "JPEG" and path.suffix.lower() in MOTION_JPEG
            return "video" if is_sequence or count_frames(image) > 1 else "image"
    except Exception as error:  # Pillow's readers raise nearly every type there is on what is no picture
        if isinstance(unreadable(path, error), BackendUnavailableError):
            return "image"
    return "video" if path.suffix.lower() in FILM_SUFFIXES or is_film(path) else None
