"""The canonical square frame: a subject centred and scaled in it, and the way back into the source image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from a4d.config import Config
from a4d.errors import InvalidInputError
from a4d.pixels import Array, extend_colours, over, resample

FAINT = 0.1
"""Alpha up to which a pixel does not count for the subject's extent: haze must not move the frame."""


class Crop(Config):
    """A square of the source image, possibly reaching beyond it, that became the frame.

    Both images' coordinates are in pixels from the top left corner, with pixel centres at +0.5.

    Args:
        source_width: pixels.
        source_height: pixels.
        left: the square's left edge in the source, pixels.
        top: the square's top edge in the source, pixels.
        side: the square's side in the source, pixels.
        size: the frame's side, pixels.
    """

    source_width: int = Field(gt=0)
    source_height: int = Field(gt=0)
    left: float
    top: float
    side: float = Field(gt=0)
    size: int = Field(gt=0)

    @property
    def scale(self) -> float:
        """Frame pixels per source pixel."""
        return self.size / self.side

    def frame_from_source(
        self,
        points: NDArray[np.floating],  # (..., 2) x, y in the source
    ) -> NDArray[np.floating]:
        """(..., 2) the same points in the frame."""
        return (points - np.array([self.left, self.top])) * self.scale


def crop_around(alpha: Array, size: int = 512, margin: float = 0.1) -> Crop:
    """The square in which a subject is centred and as large as its margin allows.

    Args:
        alpha: (H, W) of the subject; for a video, the largest of all its frames.
        size: the frame's side, pixels.
        margin: the free part of the frame on each side, in [0, 0.5).

    Raises:
        InvalidInputError: the image is fully transparent.
    """
    solid = alpha > FAINT * alpha.max()
    if not solid.any():
        raise InvalidInputError("the image is fully transparent", "Give one that shows its subject, or a mask")
    columns, rows = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
    width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    side = float(max(width, height)) / (1 - 2 * margin)
    return Crop(
        source_width=alpha.shape[1],
        source_height=alpha.shape[0],
        left=float(columns[0] + width / 2 - side / 2),
        top=float(rows[0] + height / 2 - side / 2),
        side=side,
        size=size,
    )


def cut(rgba: Array, crop: Crop) -> Array:
    """The frame of an image, antialiased; transparent where it reaches beyond the source.

    Args:
        rgba: (source_height, source_width, 4).
        crop: the square to cut.

    Returns:
        (size, size, 4) straight alpha, with the subject's colours extended under the transparent area.
    """
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    return extend_colours(resample(rgba, (crop.size, crop.size), box), faint=0.1)


def place_back(frame: Array, crop: Crop, source: Array) -> Array:
    """Lay a frame, such as a render, over the image that its crop was taken from.

    Args:
        frame: (S, S, 3) or (S, S, 4); S need not be the crop's size.
        crop: where the frame lies.
        source: (H, W, 3) or (H, W, 4), of the size that the crop names or another copy of the same picture.

    Returns:
        An image like the source.
    """
    if frame.shape[2] == 3:
        frame = np.concatenate([frame, np.ones_like(frame[..., :1])], axis=-1)
    corners = np.array([[0, 0], [crop.source_width, crop.source_height]], dtype=np.float64)
    (left, top), (right, bottom) = crop.frame_from_source(corners) * (frame.shape[0] / crop.size)
    return over(resample(frame, (source.shape[1], source.shape[0]), (left, top, right, bottom)), source)
