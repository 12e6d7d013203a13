"""Keying: what differs in colour from a plain backdrop is the subject."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from a4d.matting.masks import Mask, dilated, disc
from a4d.matting.remains import LARGE, find_ground, without_fragments
from a4d.pixels import Array

MAX_NOISE = 0.03
"""Standard deviation per channel above which a border is a picture of something rather than a backdrop."""

MIN_AGREEMENT = 0.7
"""Share of the border that must agree; a subject may cover the rest."""

GAP = 0.006
"""Half width, as a share of the longer side, of a gap through which nothing is reached."""


WALL = 1.5
"""Times the threshold from which something holds back: what rings around an outline after compression does not."""


@dataclass(frozen=True)
class Backdrop:
    """A plain background: a colour that varies smoothly over the image, plus noise.

    Args:
        colours: (H, W, 3) sRGB.
        noise: standard deviation per channel.
    """

    colours: Array
    noise: float


def find_backdrop(
    rgb: Array,  # (H, W, 3)
) -> Backdrop | None:
    """The smooth colour on which most of the image's border agrees, or None where it does not agree on one."""
    height, width = rgb.shape[:2]
    band = max(1, round(0.02 * min(height, width)))
    border = np.ones((height, width), bool)
    border[band : height - band, band : width - band] = False
    fit = _fit(rgb, border, degree=1)
    if fit is None:
        return None
    backdrop, agreement = fit
    if agreement < MIN_AGREEMENT:
        return None
    # The plain area around the subject bears a closer fit than its border alone.
    plain = _reached_from_border(distance(rgb, backdrop) <= threshold(backdrop))
    refined = _fit(rgb, plain, degree=2)
    return refined[0] if refined else backdrop


def distance(rgb: Array, backdrop: Backdrop) -> Array:
    """(H, W) Euclidean distance in sRGB from the backdrop."""
    return np.linalg.norm(rgb - backdrop.colours, axis=-1)


def threshold(backdrop: Backdrop) -> float:
    """The distance that the backdrop's own noise hardly ever reaches."""
    return max(5 * backdrop.noise, 0.03)


@dataclass(frozen=True)
class Keyed:
    """What stands before a backdrop.

    Args:
        subject: (H, W) where it is, at least in part.
        has_floor: whether anything large and flat under it counts as floor.
        has_plinth: whether anything large that it stands on counts as a part of it.
        has_others: whether anything large beside it, of other colours, counts as no part of it.
    """

    subject: Mask
    has_floor: bool
    has_plinth: bool
    has_others: bool


def key(
    rgb: Array,  # (H, W, 3)
    backdrop: Backdrop,
) -> Keyed:
    """All that differs from the backdrop, without the ground, specks, and what shows through holes."""
    away = distance(rgb, backdrop)
    limit = threshold(backdrop)
    plain = away <= limit
    outside = _flooded(plain, away <= WALL * limit)
    # What only a narrow gap joins to the outside, and what lies within the outline, is a hole where it matches the
    # backdrop as closely as the backdrop itself: a light part of the subject on a light backdrop is shaded.
    count, labels, stats, _ = cv2.connectedComponentsWithStats((plain & ~outside).astype(np.uint8), connectivity=4)
    subject_area = (~outside).sum()
    for label in range(1, count):
        region = labels == label
        is_large = stats[label, cv2.CC_STAT_AREA] > 2e-3 * subject_area
        touches = bool((cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & outside).any())
        if (is_large or touches) and np.median(away[region]) < max(2 * backdrop.noise, 0.008):
            outside |= region
    ground = find_ground(rgb, backdrop.colours, outside)
    certain = away > 2 * limit
    subject = without_fragments(rgb, ~ground.outside, certain)
    others = ~ground.outside & ~subject & certain
    return Keyed(subject, ground.has_floor, ground.has_plinth, bool(others.sum() > LARGE * subject.sum()))


def _flooded(plain: Mask, open_: Mask) -> Mask:
    """What is reached from the border without squeezing through gaps: an outline may be as pale as the backdrop."""
    radius = max(1, round(GAP * max(plain.shape)))
    # Beyond the border there is nothing but backdrop.
    padded = cv2.copyMakeBorder(open_.astype(np.uint8), radius, radius, radius, radius, cv2.BORDER_REPLICATE)
    wide = cv2.erode(padded, disc(radius))[radius:-radius, radius:-radius].astype(bool)
    core = _reached_from_border(wide)
    return plain & dilated(core, radius)


def _fit(rgb: Array, where: Mask, degree: int) -> tuple[Backdrop, float] | None:
    """Fit colours as polynomials of the position, by least absolute deviations; and the share that agrees."""
    height, width = rgb.shape[:2]
    rows, columns = np.nonzero(where)
    step = max(1, len(rows) // 4000)
    rows, columns = rows[::step], columns[::step]
    if len(rows) < 12:
        return None

    def basis(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        v, u = (y + 0.5) / height * 2 - 1, (x + 0.5) / width * 2 - 1
        terms = [np.ones_like(u), u, v, u * u, u * v, v * v]
        return np.stack(terms[: 3 if degree == 1 else 6], axis=-1)

    terms, colours = basis(rows, columns), rgb[rows, columns].astype(np.float64)
    residuals = np.linalg.norm(colours - np.median(colours, axis=0), axis=-1)
    coefficients = np.zeros((terms.shape[1], 3))
    for _ in range(15):
        weights = 1 / np.maximum(residuals, 1e-3)[:, None]
        normal = terms.T @ (weights * terms) + 1e-9 * np.eye(terms.shape[1])
        coefficients = np.linalg.solve(normal, terms.T @ (weights * colours))
        residuals = np.linalg.norm(colours - terms @ coefficients, axis=-1)
    # The median length of a normal vector in three dimensions is 1.54 of its standard deviation per axis.
    noise = float(np.median(residuals)) / 1.54
    if noise > MAX_NOISE:
        return None
    everywhere = basis(*np.meshgrid(np.arange(height), np.arange(width), indexing="ij")) @ coefficients
    backdrop = Backdrop(np.clip(everywhere, 0, 1).astype(np.float32), noise)
    return backdrop, float(np.mean(residuals <= threshold(backdrop)))


def _reached_from_border(region: Mask) -> Mask:
    """The parts of a region that touch the image's border."""
    _, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    touched = np.zeros(int(labels.max()) + 1, bool)
    touched[border] = True
    touched[0] = False
    return touched[labels]
