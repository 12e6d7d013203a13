"""Images at a coarser scale: Gaussian blur whose gradient reaches as far as it smooths."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

SHARP = 0.25
"""Pixels of standard deviation below which an image stays as it is."""


def blurred(image: Tensor, deviation: float) -> Tensor:
    """Gaussian blur, sampled no finer than it needs; zero lies around the image.

    Args:
        image: (B, H, W, C).
        deviation: standard deviation in pixels.

    Returns:
        (B, h, w, C), smaller by a whole factor of at most the deviation.
    """
    if deviation < SHARP:
        return image
    rows = _kernel(image.shape[1], round(deviation, 2)).to(image)
    columns = _kernel(image.shape[2], round(deviation, 2)).to(image)
    planes = image.permute(0, 3, 1, 2)
    return (rows @ planes @ columns.T).permute(0, 2, 3, 1)


@lru_cache(maxsize=256)
def _kernel(size: int, deviation: float) -> Tensor:
    """(h, H) weights of the pixels of a line for the means around every few of them."""
    factor = max(1, int(deviation))
    centre = torch.arange((size - 1) % factor // 2, size, factor)[:, None]
    weights = torch.exp(-0.5 * ((torch.arange(size) - centre) / deviation) ** 2)
    whole = torch.exp(-0.5 * (torch.arange(-4 * factor - 4, 4 * factor + 5) / deviation) ** 2).sum()
    return weights / whole
