"""What sources of several kinds share: pictures beside a picture, and errors that name their file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from a4d.errors import InvalidInputError, UsageError
from a4d.framing import Crop, cut
from a4d.io.frame_channels import write_visibility
from a4d.pixels import Array
from a4d.workspace.transaction import Transaction


def write_filmed(work: Transaction, crop: Crop, count: int) -> None:
    """Write the channel `visibility` of frames that share a crop: 0 where it reaches beyond the source."""
    folder, filmed = work.replace("visibility"), np.ones((crop.source_height, crop.source_width, 4), np.float32)
    seen = cut(filmed, crop)[..., 3]
    for index in range(count):
        write_visibility(folder / f"{index:05d}.png", seen)


def as_filmed(work: Transaction) -> dict[str, bool]:
    """The note that images are as they were taken again, where an earlier run had straightened them."""
    return {"straightened": False} if work.note("straightened") else {}


@contextmanager
def naming(path: Path, part: str = "") -> Iterator[None]:
    """Say of which file, and of which part of it, an error in the block speaks."""
    try:
        yield
    except InvalidInputError as error:
        if str(path) not in error.problem:
            error.problem = ": ".join(filter(None, (str(path), part, error.problem)))
        raise


def as_rgba(
    values: Array,  # (H, W) or (H, W, 3)
    alpha: Array,  # (H, W)
) -> Array:
    """(H, W, 4) a map or a picture with straight alpha."""
    rgb = np.repeat(values[..., None], 3, axis=-1) if values.ndim == 2 else values
    return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


def same_size(values: Array, shape: tuple[int, ...], path: Path) -> Array:
    """A mask or depth map at the image's size; a reduced copy of the same picture is enlarged.

    Args:
        values: (h, w) in any range.
        shape: H, W of the image.
        path: of the map, for the message.

    Raises:
        UsageError: it is of another aspect ratio.
    """
    if abs(values.shape[0] * shape[1] / (values.shape[1] * shape[0]) - 1) > 0.02:
        raise UsageError(
            f"{path} is {values.shape[1]}x{values.shape[0]}, but its image {shape[1]}x{shape[0]}",
            "Give one of the whole picture; it may be smaller, in the same proportions",
        )
    if values.shape == shape:
        return values
    return cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).astype(np.float32)
