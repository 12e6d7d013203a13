"""What sources of several kinds share: settings, pictures beside a picture, and errors that name their file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from a4d.config import Config
from a4d.errors import InvalidInputError, UsageError
from a4d.pixels import Array
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from a4d.framing import Crop


class Matting(Config):
    """How a subject is told from what is around it."""

    matting: Literal["auto", "alpha", "uniform", "grabcut", "rembg"] = Field(
        default="auto", description="how the subject is cut out of its background"
    )


class Square(Config):
    """How large frames become."""

    size: int = Field(default=512, ge=16, le=4096, description="pixels of the square frame's side")


class Framing(Matting, Square):
    """The square frame around a subject."""

    margin: float = Field(default=0.1, ge=0, lt=0.45, description="free part of the frame on each side")
    visibility: bool = Field(
        default=False, description="write which part of the frame was filmed as a channel of an image or a video"
    )


class Reduction(Config):
    """How large pictures stay that are taken in whole."""

    max_size: int = Field(default=1600, ge=16, le=16_384, description="photographs are reduced to this many pixels")


class Rate(Config):
    """How many moments of a second are taken."""

    fps: float | None = Field(
        default=None, gt=0, le=1000, description="frames per second to take from a video or an animation"
    )


class Period(Rate):
    """Which frames of a film are taken."""

    start: int = Field(default=0, ge=0, description="first frame of a video, counted from 0")
    end: int | None = Field(default=None, ge=1, description="the frame after a video's last one")


def write_filmed(work: Transaction, crop: Crop, count: int) -> None:
    """Write the channel `visibility` of frames that share a crop: 0 where it reaches beyond the source."""
    import numpy as np

    from a4d.framing import cut
    from a4d.io.frame_channels import write_visibility

    folder, filmed = work.replace("visibility"), np.ones((crop.source_height, crop.source_width, 4), np.float32)
    seen = cut(filmed, crop)[..., 3]
    for index in range(count):
        write_visibility(folder / f"{index:05d}.png", seen)


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
    import numpy as np

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
    import cv2
    import numpy as np

    if abs(values.shape[0] * shape[1] / (values.shape[1] * shape[0]) - 1) > 0.02:
        raise UsageError(f"{path} is {values.shape[1]}x{values.shape[0]}, but its image {shape[1]}x{shape[0]}")
    if values.shape == shape:
        return values
    return cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).astype(np.float32)
