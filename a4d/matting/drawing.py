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

SOFT = 0.005
"""How far a line's edge reaches beside it, as a share of the longer side."""

AROUND = (0.0075, 0.02)
"""From where to where the paper is that is around a drawing, as shares of the longer side."""

MARGIN = 0.1
"""Share of the picture's width and height along each border within which a frame is drawn."""


@dataclass(frozen=True)
class Drawing:
    """Lines on paper.

    Args:
        subject: (H, W) what the lines enclose, and they themselves.
        paper: (H, W, 3) sRGB of the paper, under the lines too.
        is_plain: whether the lines are narrow and of one width, and between them is the paper that is around them.
        has_frame: whether there is a frame around it that is none of the subject.
    """

    subject: Mask
    paper: Array
    is_plain: bool
    has_frame: bool


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
    ink, reach = _ink(contrast, np.ones(contrast.shape, bool)), max(2, round(GAP * side))
    if not ink.any():
        return None
    frame = _frame(ink, reach)
    if frame.any():
        # A frame may be of darker ink than what is drawn in it.
        ink = _ink(contrast, ink & ~frame | ~dilated(frame, _pixels(SOFT, frame)))
    subject = _enclosed(ink, reach)
    is_plain, size = _is_plain(subject, ink & subject, paper), rgb.shape[1::-1]
    whole = cv2.resize(subject.astype(np.float32), size) > 0.5
    return Drawing(np.asarray(whole), np.asarray(cv2.resize(paper, size), np.float32), is_plain, bool(frame.any()))


def _ink(
    contrast: Array,  # (H, W)
    where: Mask,  # (H, W)
) -> Mask:
    """(H, W) what is darker than its paper, by as much as the darkest ink there tells."""
    return where & (contrast > max(CONTRAST, FAINTEST * float(np.quantile(contrast[where], 0.995))))


def _pixels(share: float, of: Mask) -> int:
    """A share of the longer side."""
    return max(1, round(share * max(of.shape)))


def _is_plain(subject: Mask, ink: Mask, paper: Array) -> bool:
    """Whether lines are those of a drawing; see `Drawing`."""
    if not SMALLEST <= subject.mean() < 1 or _unevenness(ink) > UNEVEN:
        return False
    soft, near, far = (_pixels(share, ink) for share in (SOFT, *AROUND))
    beside = dilated(subject, far) & ~dilated(subject, near)
    around = np.median(paper[beside if beside.any() else ~subject], axis=0)
    within = subject & ~dilated(ink, soft)
    is_paper = np.linalg.norm(paper - around, axis=-1) < LIKE_PAPER
    empty, painted = (within & is_paper).sum(), (within & ~is_paper).sum()
    return bool(empty > EMPTY * subject.sum() and painted < PAINTED * (painted + ink.sum()))


def _frame(ink: Mask, reach: int) -> Mask:
    """(H, W) strokes along the border of the picture that enclose all others; empty where these are no drawing."""
    rows, columns = (max(1, round(MARGIN * side)) for side in ink.shape)
    middle = np.zeros_like(ink)
    middle[rows:-rows, columns:-columns] = True
    _, labels = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    rest = ink & np.isin(labels, np.unique(labels[middle & ink]))
    frame = ink & ~rest
    is_around = rest.any() and frame.any() and bool(_enclosed(frame, reach)[middle].all())
    return frame if is_around and _enclosed(rest, reach).mean() >= SMALLEST else np.zeros_like(ink)


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
