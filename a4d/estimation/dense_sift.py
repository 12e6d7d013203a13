"""Features of a picture's patches without weights: histograms of gradients on a grid (Lowe 2004), all upright."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

CELLS = 64
"""Patches along the longer side of a picture."""

WINDOW = 8
"""Of them, along the side of what one descriptor sees."""

WINDOW_OF_KEYPOINT = 6.0
"""Pixels along the side of a descriptor's window per pixel of a keypoint's size: four histograms of one and a half."""


class DenseSift:
    """What the surroundings of each patch look like, whatever their brightness and contrast."""

    def __init__(self) -> None:
        self._sift = cv2.SIFT.create()

    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(h, w, 128) float32 of unit length, a grid of patches over the whole picture; 0 where it is of one colour."""
        grey = cv2.cvtColor(np.rint(255 * rgb.numpy()).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        side = max(grey.shape) / CELLS
        rows, columns = (max(round(extent / side), 1) for extent in grey.shape)
        height, width = grey.shape[0] / rows, grey.shape[1] / columns
        size = WINDOW * side / WINDOW_OF_KEYPOINT
        # Keypoints count from the middle of the first pixel.
        places = [((j + 0.5) * width - 0.5, (i + 0.5) * height - 0.5) for i in range(rows) for j in range(columns)]
        _, described = self._sift.compute(grey, [cv2.KeyPoint(x, y, size, 0.0) for x, y in places])
        # Square roots of shares make Euclidean distances those of histograms (Arandjelovic and Zisserman 2012).
        shares = described / np.maximum(described.sum(1, keepdims=True), 1e-6)
        return torch.from_numpy(np.sqrt(shares)).view(rows, columns, -1)
