"""What keying leaves that is no subject: shadows on the ground, and fragments."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.pixels import Array

Mask = NDArray[np.bool_]

DARKEST = 0.35
"""Share of the backdrop's brightness that is left in the darkest shadow that counts as one."""

TINT = 0.04
"""Distance in sRGB from the backdrop, darkened, up to which a pixel may be its shadow."""

SOFT = 0.03
"""Contrast between neighbours of 512 pixels up to which a shadow fades; an outline is sharper."""

COLOURLESS = 0.02
"""Share of tinted pixels below which a picture has no colours, which tell a shadow from a grey subject."""

LOWER_PART = 0.6
"""Share of the subject's height, from the top, above which nothing is a shadow."""

FLAT = 1.5
"""Times as wide as high is a shadow on the ground, at the least."""

SMALL = 1e-3
"""Share of the largest part below which another is a speck."""

LARGE = 0.02
"""Share of the largest part from which another may be the subject's."""

ALIKE = 0.5
"""Share of a part's pixels whose colours the largest part must have, too."""

NEAR = 0.01
"""Share of the longer side across which parts hang together."""


def with_shadows(
    rgb: Array,  # (H, W, 3)
    backdrop: Array,  # (H, W, 3)
    outside: Mask,  # (H, W)
) -> Mask:
    """(H, W) the outside, and the shadows that fade into it below the subject.

    A shadow is the backdrop with less light: darker, of no other tint, and without an edge on the way to the backdrop.
    """
    rows = np.flatnonzero((~outside).any(1))
    if not len(rows):
        return outside
    light = (rgb * backdrop).sum(-1) / np.maximum((backdrop**2).sum(-1), 1e-6)
    tint = np.linalg.norm(rgb - light[..., None] * backdrop, axis=-1)
    if float((tint[~outside] > TINT).mean()) < COLOURLESS:
        return outside
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    steps = [np.abs(np.diff(smooth, axis=axis, append=np.take(smooth, [-1], axis))).max(-1) for axis in (0, 1)]
    soft = np.maximum(*steps) < SOFT * 512 / max(rgb.shape[:2])
    may_be = (light > DARKEST) & (light < 1.02) & (tint < TINT) & soft
    may_be[: round(rows[0] + LOWER_PART * (rows[-1] - rows[0]))] = False
    _, labels = cv2.connectedComponents((may_be | outside).astype(np.uint8), connectivity=4)
    reached = np.unique(labels[outside])
    found = _flat_parts(np.isin(labels, reached[reached > 0]) & may_be & ~outside)
    # The seam between a shadow and the subject is as steep as an outline: what is left of it is thin.
    opened = cv2.morphologyEx((~(outside | found)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return outside | found | (_beside(found) & (opened == 0) & (tint < TINT))


def without_fragments(
    rgb: Array,  # (H, W, 3)
    subject: Mask,  # (H, W)
    certain: Mask,  # (H, W) where it differs from the backdrop beyond doubt
) -> Mask:
    """(H, W) the largest part, what nearly touches it, and other parts that are large and of its colours."""
    reach = max(1, round(NEAR * max(subject.shape)))
    joined = cv2.dilate(subject.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
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


def _flat_parts(mask: Mask) -> Mask:
    """The components that lie on the ground: what leaks into a subject is as high as that."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    is_flat = stats[:, cv2.CC_STAT_WIDTH] >= FLAT * stats[:, cv2.CC_STAT_HEIGHT]
    is_flat[0] = False
    return np.asarray(is_flat[labels])


def _beside(mask: Mask) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)


def _without_specks(subject: Mask, certain: Mask) -> Mask:
    """Drop components that are tiny beside the largest one or that nowhere differ for certain."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count <= 1:
        return subject
    sure = np.bincount(labels[certain], minlength=count) > 0
    keep = sure & (stats[:, cv2.CC_STAT_AREA] > SMALL * stats[1:, cv2.CC_STAT_AREA].max())
    keep[0] = False
    return keep[labels]
