"""What keying leaves that is no subject: the ground with its shadows and slabs, and fragments."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.matting.masks import Mask
from a4d.pixels import Array

DARKEST = 0.35
"""Share of the backdrop's brightness that is left in the darkest shadow that counts as one."""

TINT = 0.04
"""Distance in sRGB from the backdrop, darkened, up to which a pixel may be its shadow."""

SOFT = 0.025
"""Contrast between neighbours of 512 pixels up to which a shadow fades whatever its form."""

BLUR = 3.0
"""Pixels, of 512 and at the least, by which a picture is blurred to see what of it was sharp."""

SHARP = 1.4
"""Times as steep as in the blurred picture is an outline at the least; what fades is hardly steeper."""

LEAK = 0.3
"""Of its width, that a part has at most in the highest row of what lies low: a leak into a subject goes on above."""

LOWER_PART = 0.6
"""Share of the subject's height, from the top, above which nothing is a shadow."""

FLAT = 1.5
"""Times as wide as high is what lies on the ground, at the least."""

BRIGHTEST = 1.25
"""Times as bright as the backdrop is a floor at the most."""

LEVEL = 0.08
"""Of the subject's height, by which a floor may end above its lowest row."""

STICKING_OUT = 0.05
"""Of a slab's width, by which it is seen beside what stands on it, at the least; the sole of a shoe is less."""

ENTERED = 0.2
"""Of a slab's height, to which what stands in it reaches down at the least."""

FOOT, UPRIGHT = 0.85, 0.9
"""A plinth's share of its height, from the top, at which it has this share of its largest width at the least."""

SMALL = 1e-3
"""Share of the largest part below which another is a speck."""

LARGE = 0.02
"""Share of the largest part from which another may be the subject's, and of the subject from which a slab may."""

ALIKE = 0.5
"""Share of a part's pixels whose colours the largest part must have, too."""

NEAR = 0.01
"""Share of the longer side across which parts hang together."""


@dataclass(frozen=True)
class Ground:
    """What is around a subject and under it.

    Args:
        outside: (H, W) all that is not the subject.
        has_floor: whether anything large and flat under it counts as floor.
        has_plinth: whether anything large that it stands on counts as a part of it.
    """

    outside: Mask
    has_floor: bool
    has_plinth: bool


def find_ground(
    rgb: Array,  # (H, W, 3)
    backdrop: Array,  # (H, W, 3)
    outside: Mask,  # (H, W)
) -> Ground:
    """The outside with the shadows that fade into it below the subject and with floors that have an edge.

    Ground has the tint of the backdrop and no edges within. A shadow is darker, and without an edge on the way to the
    backdrop. A slab sticks out on both sides of what stands in it, or lies between feet, as low as these.
    """
    rows = np.flatnonzero((~outside).any(1))
    if not len(rows):
        return Ground(outside, has_floor=False, has_plinth=False)
    light = (rgb * backdrop).sum(-1) / np.maximum((backdrop**2).sum(-1), 1e-6)
    is_tinted = np.linalg.norm(rgb - light[..., None] * backdrop, axis=-1) < TINT
    plain = (light > DARKEST) & is_tinted & _is_soft(rgb)
    highest = round(rows[0] + LOWER_PART * (rows[-1] - rows[0]))
    shadows = _shadows(plain & (light < 1.02), outside, highest)
    slabs, plinths = _slabs(plain & (light < BRIGHTEST), outside | shadows, highest)
    ground = shadows | slabs
    edges = _edges(ground, ~(outside | ground), is_tinted)
    least = LARGE * (~outside).sum()
    return Ground(outside | ground | edges, bool(slabs.sum() > least), bool(plinths.sum() > least))


def _edges(ground: Mask, rest: Mask, is_tinted: Mask) -> Mask:
    """What is thin and of the ground's tint beside it: seams, which are as steep as an outline, and what lies flat."""
    reach = max(2, round(NEAR * max(ground.shape)))
    lying = _flat_parts(_beside(ground, reach) & _is_thin(rest, 2 * reach) & is_tinted)
    return (_beside(ground) & _is_thin(rest, 3) & is_tinted) | lying


def _is_thin(mask: Mask, width: int) -> Mask:
    """Where a mask is less wide than so many pixels."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    return mask & (opened == 0)


def _is_soft(rgb: Array) -> Mask:
    """(H, W) where neighbours differ little, or hardly more than in the blurred picture; outlines are sharper."""
    scale = max(rgb.shape[:2]) / 512
    fine, coarse = _steps(rgb, 1.0), _steps(rgb, BLUR * max(scale, 1.0))
    is_steep = fine > SOFT / scale
    # What is steep beside a sharp place belongs to its outline, so that none has gaps.
    return ~(is_steep & _beside(is_steep & (fine > SHARP * coarse)))


def _steps(rgb: Array, blur: float) -> Array:
    """(H, W) the largest difference between neighbours of a blurred picture."""
    smooth = cv2.GaussianBlur(rgb, (0, 0), blur)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # Pixels on both sides of a step belong to it: else what is beyond it would reach the outside.
    steps = np.maximum(cv2.dilate(smooth, cross) - smooth, smooth - cv2.erode(smooth, cross))
    return np.asarray(steps.max(-1))


def _shadows(plain: Mask, outside: Mask, highest: int) -> Mask:
    """What hangs together with the outside without an edge, below a row, and lies flat."""
    may_be = plain.copy()
    may_be[:highest] = False
    _, labels = cv2.connectedComponents((may_be | outside).astype(np.uint8), connectivity=4)
    reached = np.unique(labels[outside])
    return _flat_parts(np.isin(labels, reached[reached > 0]) & may_be & ~outside, highest)


def _slabs(plain: Mask, outside: Mask, highest: int) -> tuple[Mask, Mask]:
    """Slabs that are ground, and plinths.

    Both are plain parts, each all below a row and as low as the subject. Ground sticks out from under it or lies
    between feet; a plinth sticks out, too, but is upright and carries the subject on top.
    """
    subject, found, plinths = ~outside, np.zeros_like(outside), np.zeros_like(outside)
    rows = np.flatnonzero(subject.any(1))
    if not len(rows):
        return found, plinths
    reach, level = max(2, round(NEAR * max(outside.shape))), round(LEVEL * (rows[-1] + 1 - rows[0]))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((plain & subject).astype(np.uint8), connectivity=4)
    _, top, width, tall, area = stats.T
    is_low = (top >= highest) & (top + tall > rows[-1] - level)
    is_candidate = is_low & (area > SMALL * subject.sum()) & (width >= FLAT * tall)
    candidates = np.flatnonzero(is_candidate[1:]) + 1
    for label in candidates[np.argsort(-(top + tall)[candidates])]:
        part = labels == label
        rest = subject & ~_beside(part, reach)
        if _lies_above(part, rest):
            continue
        beside, below = (rest[max(0, row) :] for row in (top[label] - level, top[label] + tall[label] - level))
        is_wider = _sticks_out(part, beside)
        if is_wider and _is_upright(part) and not _is_entered(part, plain, reach):
            plinths |= part
        elif (is_wider and not (part & _beside(plinths, reach)).any()) or _lies_between(part, below, reach):
            found |= part
    return found, plinths


def _lies_above(part: Mask, others: Mask) -> bool:
    """Whether there is something below most of a part, as there is below the top of a foot but not below ground."""
    below = len(part) - 1 - part[::-1].argmax(0)
    columns = part.any(0)
    return bool((len(part) - 1 - others[::-1].argmax(0) > below)[columns & others.any(0)].sum() > columns.sum() / 2)


def _is_upright(part: Mask) -> bool:
    """Whether a part is as wide near its foot as anywhere."""
    rows = np.flatnonzero(part.any(1))
    widths = [np.ptp(np.flatnonzero(row)) + 1 if row.any() else 0 for row in part[rows[0] : rows[-1] + 1]]
    return bool(widths[round(FOOT * (len(widths) - 1))] >= UPRIGHT * max(widths))


def _sticks_out(part: Mask, others: Mask) -> bool:
    """Whether a part reaches farther than all others both left and right."""
    own, taken = np.flatnonzero(part.any(0)), np.flatnonzero(others.any(0))
    least = STICKING_OUT * (own[-1] + 1 - own[0])
    return len(taken) > 0 and bool(min(taken[0] - own[0], own[-1] - taken[-1]) > least)


def _is_entered(part: Mask, plain: Mask, reach: int) -> bool:
    """Whether something stands in a part rather than on top of it: what is plain is interrupted there."""
    rows, width = np.flatnonzero(part.any(1)), part.shape[1]
    deep = slice(rows[0] + round(ENTERED * (rows[-1] + 1 - rows[0])), rows[-1] + 1)
    own, columns = part[deep], np.arange(width)
    is_within = (columns > own.argmax(1)[:, None]) & (columns < width - 1 - own[:, ::-1].argmax(1)[:, None])
    gaps = is_within & own.any(1, keepdims=True) & ~plain[deep]
    return bool((gaps & ~_is_thin(gaps, reach + 1)).any())


def _lies_between(part: Mask, others: Mask, reach: int) -> bool:
    """Whether there are others both left and right of a part."""
    own, taken = np.flatnonzero(part.any(0)), np.flatnonzero(others.any(0))
    return len(taken) > 0 and bool(taken[0] < own[0] - reach and taken[-1] > own[-1] + reach)


def without_fragments(
    rgb: Array,  # (H, W, 3)
    subject: Mask,  # (H, W)
    certain: Mask,  # (H, W) where it differs from the backdrop beyond doubt
) -> Mask:
    """(H, W) the largest part, what nearly touches it, and other parts that are large and of its colours."""
    joined = _beside(subject, max(1, round(NEAR * max(subject.shape)))).astype(np.uint8)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    labels = np.where(subject, labels, 0)
    if count <= 1:
        return subject
    areas = np.bincount(labels.ravel(), minlength=count)
    areas[0] = 0
    largest = int(areas.argmax())
    colours = _bins(rgb)
    own = np.bincount(colours[labels == largest], minlength=BINS**3) > 0
    keep = np.zeros(count, bool)
    keep[largest] = True
    for label in range(1, count):
        if areas[label] > LARGE * areas[largest] and not keep[label]:
            region = labels == label
            keep[label] = bool(certain[region].any()) and float(own[colours[region]].mean()) > ALIKE
    return _without_specks(keep[labels], certain)


BINS = 8
"""Of a colour channel, by which colours are told apart."""


def _bins(rgb: Array) -> NDArray[np.int64]:
    """(H, W) which colour of a coarse table each pixel has."""
    parts = np.clip((rgb * BINS).astype(np.int64), 0, BINS - 1)
    return np.asarray((parts[..., 0] * BINS + parts[..., 1]) * BINS + parts[..., 2], np.int64)


def _flat_parts(mask: Mask, highest: int = 0) -> Mask:
    """The components that lie on the ground: what leaks into a subject is as high as that, or wide at a highest row."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    is_flat = stats[:, cv2.CC_STAT_WIDTH] >= FLAT * stats[:, cv2.CC_STAT_HEIGHT]
    is_flat &= np.bincount(labels[highest], minlength=len(stats)) <= LEAK * stats[:, cv2.CC_STAT_WIDTH]
    is_flat[0] = False
    return np.asarray(is_flat[labels])


def _beside(mask: Mask, reach: int = 2) -> Mask:
    """A mask and what is so many pixels from it along either axis."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)


def _without_specks(subject: Mask, certain: Mask) -> Mask:
    """Drop components that are tiny beside the largest one or that nowhere differ for certain."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count <= 1:
        return subject
    sure = np.bincount(labels[certain], minlength=count) > 0
    keep = sure & (stats[:, cv2.CC_STAT_AREA] > SMALL * stats[1:, cv2.CC_STAT_AREA].max())
    keep[0] = False
    return keep[labels]
