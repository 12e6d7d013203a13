"""Line drawings on paper: what their lines enclose is the subject, though it has the paper's colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from a4d.matting.masks import Mask, dilated
from a4d.pixels import Array, shrink

FINEST = 1024
"""Pixels of the longer side at which lines are looked for."""

STROKE = 0.025
"""Half the width of the widest stroke, as a share of the longer side."""

CONTRAST = 0.12
"""How much darker than the paper around it ink is, in sRGB, in the channel where it differs most, at the least."""

FAINTEST = 0.35
"""And as a share of the contrast of the darkest ink: what is fainter are the marks of the paper."""

GAP = 0.012
"""Half the width of gaps in an outline that are closed, as a share of the longer side."""

LIKE_PAPER = 0.12
"""Distance in sRGB from the paper around a drawing up to which it is paper within."""

EMPTY = 0.3
"""Share of a drawing that is paper between its lines, at the least."""

PAINTED = 0.2
"""Share of what is no paper that lies in parts wider than a stroke, at the most."""

UNEVEN = 0.6
"""Standard deviation of the width of lines, as a share of its mean, at the most: a pen's is the same everywhere."""

SMALLEST = 0.01
"""Share of the picture that a drawing covers, at the least."""


@dataclass(frozen=True)
class Drawing:
    """Lines on paper.

    Args:
        subject: (H, W) what the lines enclose, and they themselves.
        ink: (H, W) the lines.
        paper: (H, W, 3) sRGB of the paper, under the lines too.
    """

    subject: Mask
    ink: Mask
    paper: Array

    @property
    def is_plain(self) -> bool:
        """Whether the lines are narrow and of one width, and between them is the paper that is around them."""
        if not SMALLEST <= self.subject.mean() < 1 or _unevenness(self.ink) > UNEVEN:
            return False
        beside = dilated(self.subject, 8) & ~dilated(self.subject, 3)
        around = np.median(self.paper[beside if beside.any() else ~self.subject], axis=0)
        within = self.subject & ~dilated(self.ink, 2)
        is_paper = np.linalg.norm(self.paper - around, axis=-1) < LIKE_PAPER
        empty, painted = (within & is_paper).sum(), (within & ~is_paper).sum()
        return bool(empty > EMPTY * self.subject.sum() and painted < PAINTED * (painted + self.ink.sum()))


def find_drawing(
    rgb: Array,  # (H, W, 3)
) -> Drawing | None:
    """What lines that are darker than the paper enclose, gaps in them closed; None where there are no lines.

    What they separate from the picture's border is inside, also where it is a ring's hole: lines do not tell.
    """
    small = shrink(rgb, FINEST)
    side = max(small.shape[:2])
    paper = _paper(small, max(2, round(STROKE * side)))
    contrast = (paper - small).max(-1)
    ink = contrast > max(CONTRAST, FAINTEST * float(np.quantile(contrast, 0.995)))
    if not ink.any():
        return None
    subject = _enclosed(ink, max(2, round(GAP * side)))
    size = rgb.shape[1::-1]
    whole, lines = (cv2.resize(mask.astype(np.float32), size) > 0.5 for mask in (subject, ink & subject))
    return Drawing(np.asarray(whole), np.asarray(lines), np.asarray(cv2.resize(paper, size), np.float32))


def _paper(rgb: Array, radius: int) -> Array:
    """(H, W, 3) a picture without what is dark and narrow."""
    median = cv2.medianBlur(np.rint(255 * rgb).astype(np.uint8), 3)
    window = (2 * radius + 1,) * 2
    closed = cv2.morphologyEx(median, cv2.MORPH_CLOSE, np.ones(window, np.uint8), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(closed.astype(np.float32), window) / 255, np.float32)


def _enclosed(ink: Mask, reach: int) -> Mask:
    """The largest part of what strokes enclose and of them, gaps closed."""
    padded = np.pad(ink, 2 * reach)
    closed = _filled(~dilated(~_filled(dilated(padded, reach)), reach) | padded)
    subject = closed[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def _unevenness(ink: Mask) -> float:
    """Standard deviation of the width of strokes along their middle, as a share of its mean."""
    depth = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 5)
    widths = depth[ink & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))]
    return float(widths.std() / widths.mean()) if len(widths) else 0.0


def _filled(mask: Mask) -> Mask:
    """A mask with all that it separates from the upper left corner."""
    canvas = mask.astype(np.uint8)
    cv2.floodFill(canvas, None, (0, 0), 2)
    return np.asarray(canvas != 2)
