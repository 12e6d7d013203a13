"""Outlines of coverage, as distances in pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def outline_distance(
    coverage: Floats,  # (H, W) in [0, 1]
) -> Floats:
    """(H, W) signed distance to where coverage is one half, in pixels, positive inside.

    The soft edge places the outline between the centres of pixels.
    """
    inside = np.pad(coverage > 0.5, 1).astype(np.uint8)
    within = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    beyond = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    distance = np.where(within > 0, within - 0.5, 0.5 - beyond)
    distance = np.where(np.abs(distance) < 0.75, np.clip(coverage - 0.5, -0.5, 0.5), distance)
    return distance.astype(np.float32)
