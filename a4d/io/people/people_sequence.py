"""What every data set of people is read into: frames with masks, their cameras, and the person's poses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.array_files import read_array
from a4d.io.captures.capture import PosedCapture
from a4d.io.files import natural_key
from a4d.io.pictures.images import list_images, read_image
from a4d.io.suffixes import PICTURE_SUFFIXES
from a4d.io.trackers.person_track import PersonTrack
from a4d.pixels import Array

FRAMES_PER_SECOND = 30.0
"""Of all these sets, none of which says it."""


@dataclass(frozen=True)
class PeopleSequence:
    """A person at N moments, one frame each.

    Args:
        capture: N frames with cameras and splits, in a world in metres, and the lens where it is no pinhole.
        track: the person at the N moments, in the same world.
        pictures: gives the N frames in their order, each as (H, W, 3) or (H, W, 4) sRGB and its mask (h, w), 1 on the
            person.
    """

    capture: PosedCapture
    track: PersonTrack
    pictures: Callable[[], Iterator[tuple[Array, Array]]]

    def __len__(self) -> int:
        return len(self.capture)


def images_with_masks(folder: Path, masks: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The images in `images` and their masks in `masks`, one each, matched in the order of their names.

    Args:
        folder: of the sequence.
        masks: the folder of masks, if it is another one.

    Raises:
        MissingInputError: one of the folders is not there.
        InvalidInputError: there are more of one than of the other.
    """
    images, folder_of_masks = folder / "images", masks or folder / "masks"
    for needed in (images, folder_of_masks):
        if not needed.is_dir():
            raise MissingInputError(f"there is no folder {needed}", "Each image of such a sequence has its mask")
    pictures = list_images(images)
    suffixes = {".npy", *PICTURE_SUFFIXES}
    files = sorted((f for f in folder_of_masks.iterdir() if f.suffix.lower() in suffixes), key=natural_key)
    if len(pictures) != len(files):
        raise InvalidInputError(f"{images} has {len(pictures)} images, and {folder_of_masks} {len(files)} masks")
    return pictures, files


def pictures_of(
    images: Sequence[Path], masks: Sequence[Path], is_inverted: bool = False
) -> Callable[[], Iterator[tuple[Array, Array]]]:
    """What gives images and their masks one after the other.

    Args:
        images: N files.
        masks: N files.
        is_inverted: 0 on the person and largest beside it.
    """

    def pictures() -> Iterator[tuple[Array, Array]]:
        for image, mask in zip(images, masks, strict=True):
            values = read_mask(mask)
            yield read_image(image, upright=False), 1 - values if is_inverted else values

    return pictures


def read_mask(path: Path) -> Array:
    """(h, w) in [0, 1] of a picture, or of a `.npy` whose numbers are 0 and 1, or up to 255.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no mask.
    """
    if path.suffix.lower() != ".npy":
        return read_image(path, upright=False)[..., 0]
    return scaled_mask(path, read_array(path))


def scaled_mask(path: Path, values: NDArray) -> Array:
    """(h, w) in [0, 1] of numbers that are 0 and 1, or up to 255.

    Raises:
        InvalidInputError: they are neither.
    """
    values = values[..., 0] if values.ndim == 3 else values
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not 0 <= values.min() <= values.max() <= 255:
        raise InvalidInputError(f"{path} is no mask: its numbers are no picture of 0 to 1 or 255")
    return values.astype(np.float32) / np.float32(255 if values.max() > 1 else 1)
