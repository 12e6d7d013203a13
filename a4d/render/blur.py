"""Images at a coarser scale: Gaussian blur whose gradient reaches as far as it smooths."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

REACH = 3.0
"""Standard deviations at which the kernel ends."""


def blurred(image: Tensor, deviation: float) -> Tensor:
    """Gaussian blur, at the least resolution that shows it; zero lies around the image.

    Args:
        image: (B, H, W, C).
        deviation: standard deviation in pixels; the image itself below a quarter.

    Returns:
        (B, h, w, C), smaller by a whole factor of at most half the deviation.
    """
    if deviation < 0.25:
        return image
    factor = max(1, int(deviation / 2))
    planes = image.permute(0, 3, 1, 2)
    if factor > 1:
        planes = avg_pool2d(planes, factor, ceil_mode=True, count_include_pad=False)
    # The mean over a square of that side has itself a variance.
    rest = math.sqrt(max((deviation / factor) ** 2 - (1 - factor**-2) / 12, 0.01))
    reach = math.ceil(REACH * rest)
    place = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (place / rest) ** 2)
    kernel = kernel / kernel.sum()
    batch, channels = planes.shape[:2]
    single = planes.reshape(batch * channels, 1, *planes.shape[2:])
    rows = conv2d(single, kernel.view(1, 1, 1, -1), padding=(0, reach))
    smooth = conv2d(rows, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return smooth.view(batch, channels, *smooth.shape[2:]).permute(0, 2, 3, 1)
