"""Masks of pictures: how they grow, shrink and overlap, and what small parts and holes are none of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

FRAGMENT, HOLE = 0.05, 0.002
"""Shares of the subject below which parts beside it are none of it, and holes in it are none."""


def overlap(one: Mask, other: Mask) -> float:
    """Shared pixels by those of either; 0 of two empty masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def touches_border(
    subject: Mask,  # (H, W)
) -> bool:
    """Whether a subject reaches the border of its picture."""
    return bool(subject[0].any() or subject[-1].any() or subject[:, 0].any() or subject[:, -1].any())


def window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a mask, and a margin around them."""
    sides = (np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0)))
    rows, columns = (slice(max(0, int(side[0]) - margin), int(side[-1]) + 1 + margin) for side in sides)
    return rows, columns


def tidy(subject: Mask) -> Mask:
    """Without small parts beside the largest, and without small holes; thin limbs stay."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count <= 1:
        return subject
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas >= FRAGMENT * areas.max())[labels]
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    is_small = stats[:, cv2.CC_STAT_AREA] < HOLE * kept.sum()
    is_small[0] = False
    return np.asarray(kept | is_small[holes])


def dilated(mask: Mask, radius: int) -> Mask:
    """(H, W) a mask and all within so many pixels of it."""
    return cv2.dilate(mask.astype(np.uint8), disc(radius)).astype(bool)


def eroded(mask: Mask, radius: int) -> Mask:
    """(H, W) a mask without all within so many pixels of its outline."""
    return cv2.erode(mask.astype(np.uint8), disc(radius)).astype(bool)


def disc(radius: int) -> NDArray[np.uint8]:
    """(2 * radius + 1, 2 * radius + 1) what masks grow and shrink by."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)
