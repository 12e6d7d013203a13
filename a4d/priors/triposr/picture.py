"""A cut-out picture as the model was trained to see one: in the middle of a square, before grey."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from a4d.errors import InvalidInputError

FILL = 0.85
"""The subject's longer side as a share of the square's."""

GREY = 0.5


def framed(
    rgba: Tensor,  # (H, W, 4) uint8, straight alpha
    fill: float = FILL,
) -> Tensor:
    """(S, S, 4) the subject in the middle of a transparent square.

    As in training, the last row and the last column of the subject are lost, and an odd pixel of the margin goes to the
    right and below.

    Raises:
        InvalidInputError: the picture shows nothing.
    """
    rows, columns = (rgba[..., 3] > 0).nonzero(as_tuple=True)
    if len(rows) == 0 or rows.max() == rows.min() or columns.max() == columns.min():
        raise InvalidInputError("the picture shows no subject", "Check its alpha channel")
    subject = rgba[int(rows.min()) : int(rows.max()), int(columns.min()) : int(columns.max())]
    side = max(subject.shape[:2])
    return _in_square(_in_square(subject, side), int(side / fill))


def before_grey(
    rgba: Tensor,  # (H, W, 4) uint8, straight alpha
) -> Tensor:
    """(H, W, 3) uint8."""
    colours = rgba.float() / 255
    alpha = colours[..., 3:]
    # Truncated, as in training.
    return ((colours[..., :3] * alpha + GREY * (1 - alpha)) * 255).to(torch.uint8)


def resized(
    pictures: Tensor,  # (B, H, W, 3) in [0, 1]
    size: int,
) -> Tensor:
    """(B, size, size, 3), without regard to the aspect ratio."""
    channels_first = pictures.permute(0, 3, 1, 2)
    if channels_first.shape[-2:] != (size, size):
        channels_first = interpolate(channels_first, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return channels_first.permute(0, 2, 3, 1)


def _in_square(
    rgba: Tensor,  # (H, W, 4)
    side: int,
) -> Tensor:
    """(side, side, 4) with transparent margins."""
    height, width = side - rgba.shape[0], side - rgba.shape[1]
    left, above = width // 2, height // 2
    return pad(rgba, (0, 0, left, width - left, above, height - above))
