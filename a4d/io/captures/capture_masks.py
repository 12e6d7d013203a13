"""Masks that lie in a folder `masks` beside a capture's images, as COLMAP and many scripts keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a4d.io.containment import stays_inside

FOLDER = "masks"


def masks_beside(images: Sequence[Path], root: Path) -> tuple[Path | None, ...] | None:
    """The mask of each image, which is called like it, or like it with `.png` added; None where no image has one.

    Args:
        images: below `root`.
        root: outside of which nothing is looked for.
    """
    masks = tuple(_mask_of(image.absolute(), root.absolute()) for image in images)
    return masks if any(masks) else None


def _mask_of(image: Path, root: Path) -> Path | None:
    for place in image.parents:
        if not place.is_relative_to(root):
            return None
        parts = image.relative_to(place).parts
        # The folder of masks stands in for that of the images, or beside the images themselves.
        for name in [Path(*parts[start:]) for start in (0, 1) if parts[start:]]:
            for file in (place / FOLDER / f"{name}.png", place / FOLDER / name.with_suffix(".png")):
                if file != image and file.is_file() and stays_inside(root, file):
                    return file
    return None
