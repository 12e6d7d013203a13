"""Masks of a film's frames that the user has: which picture of a folder belongs to which frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from a4d.errors import InvalidInputError
from a4d.intake.common import same_size
from a4d.io.pictures.images import list_images, read_image
from a4d.matting.matte import Matte, brightness_or_alpha, matte, nothing_of
from a4d.pixels import SOLID, Array

LAST_NUMBER = re.compile(r"(\d+)\D*")


class GivenMasks:
    """Cuts a film's frames out by masks in a folder.

    Args:
        folder: of a mask per frame that is taken, in their order; of one per frame of the shot; or of masks whose names
            end in the frames' numbers in the film, of which some may belong to frames that are not taken.
        numbers: of all frames that are taken, counted from 0 in the film.
        shot: places among those of the frames that are used.

    Raises:
        MissingInputError: there is no such folder.
        InvalidInputError: it holds no pictures, or others than those.
    """

    def __init__(self, folder: Path, numbers: Sequence[int], shot: range) -> None:
        masks = list_images(folder)
        by_number = {number: mask for mask in masks if (number := _number(mask)) is not None}
        wanted = [int(numbers[place]) for place in shot]
        if len(masks) == len(numbers):
            self._masks = [masks[place] for place in shot]
        elif len(by_number) == len(masks) and all(number in by_number for number in wanted):
            self._masks = [by_number[number] for number in wanted]
        elif len(masks) == len(shot):
            self._masks = masks
        else:
            raise InvalidInputError(
                f"{folder} holds {len(masks)} masks, and {len(numbers)} frames are taken",
                "Give one for each frame that --start, --end and --fps choose, or name them by the frames of the film",
            )

    def __call__(self, frame: Array, index: int) -> Matte:
        """The subject of a frame alone; nothing where the mask is empty.

        Args:
            frame: (H, W, 3) or (H, W, 4).
            index: its place in the shot.

        Raises:
            InvalidInputError: the mask is damaged.
            UsageError: it is of another aspect ratio.
        """
        file = self._masks[index]
        mask = same_size(brightness_or_alpha(read_image(file)), frame.shape[:2], file)
        return matte(frame, mask=mask) if (mask > SOLID).any() else Matte(nothing_of(frame), "mask")


def _number(file: Path) -> int | None:
    """The number that a file's name ends in."""
    found = LAST_NUMBER.findall(file.stem)
    return int(found[-1]) if found else None
