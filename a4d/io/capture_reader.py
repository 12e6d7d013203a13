"""A posed capture from a file or folder of any kind that is read here."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.capture import PosedCapture
from a4d.io.colmap import find_colmap_model, read_colmap
from a4d.io.transforms_json import find_transforms, read_transforms


def read_capture(
    path: Path, images_folder: Path | None = None, skip_missing: bool = False, root: Path | None = None
) -> PosedCapture:
    """Read a capture; where a folder has both kinds, `transforms.json` counts.

    Args:
        path: a `transforms*.json`, or a folder with one, or with a COLMAP model.
        images_folder: of a COLMAP model's images; searched if absent.
        skip_missing: leave out images that are not on disk instead of refusing.
        root: the folder that holds all that a `transforms.json` may name; its own if absent.

    Raises:
        MissingInputError: nothing is there, or images are missing.
        InvalidInputError: damaged, or of a kind that is not read.
        OutsideError: it names a file outside of the folder that holds them.
    """
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if path.is_file() and path.suffix.lower() == ".json":
        return read_transforms(path, skip_missing, root)
    if path.is_dir() and find_transforms(path):
        return read_transforms(path, skip_missing, root)
    if path.is_dir() and find_colmap_model(path) is not None:
        return read_colmap(path, images_folder, skip_missing)
    reason = "arrays of Python objects are never loaded" if path.suffix.lower() == ".npz" else "no cameras are in it"
    raise InvalidInputError(
        f"{path} is not read as a posed capture: {reason}", "Give a transforms.json or a COLMAP sparse model"
    )
