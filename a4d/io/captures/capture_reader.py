"""A posed capture from a file or folder of any kind that is read here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.captures.capture import CaptureChoice, PosedCapture
from a4d.io.captures.capture_masks import masks_beside
from a4d.io.captures.colmap import find_colmap_models, read_colmap
from a4d.io.captures.transforms_json import find_transforms, nested_transforms, read_transforms


def read_capture(path: Path, choice: CaptureChoice | None = None) -> PosedCapture:
    """Read a capture; where a folder has both kinds, `transforms.json` counts.

    Args:
        path: a `transforms*.json`, or a folder with one, or with a COLMAP model; a `transforms.json` may lie in a
            folder of its own below.
        choice: None reads all that there is.

    Returns:
        with masks where the capture names them, or a folder `masks` beside the images has them.

    Raises:
        MissingInputError: nothing is there, or images are missing.
        InvalidInputError: damaged, or of a kind that is not read.
        OutsideError: it names a file outside of the folder that holds them.
    """
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    folder = path if path.is_dir() else path.parent
    choice = choice or CaptureChoice()
    inside = replace(choice, root=choice.root or folder)
    if path.suffix.lower() == ".json" if path.is_file() else bool(find_transforms(path)):
        capture = read_transforms(path, inside)
    elif path.is_dir() and find_colmap_models(path):
        capture = read_colmap(path, choice)
    elif path.is_dir() and (nested := nested_transforms(path)) is not None:
        capture = read_transforms(nested, inside)
    else:
        is_npz = path.suffix.lower() == ".npz"
        reason = "arrays of Python objects are never loaded" if is_npz else "no cameras are in it"
        raise InvalidInputError(
            f"{path} is not read as a posed capture: {reason}", "Give a transforms.json or a COLMAP sparse model"
        )
    if capture.masks is not None or choice.unseen:
        return capture
    return replace(capture, masks=masks_beside(capture.images, inside.root or folder))
