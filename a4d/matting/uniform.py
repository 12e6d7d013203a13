"""Keying: what differs in colour from a plain backdrop is the subject."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.pixels import Array

Mask = NDArray[np.bool_]

MAX_NOISE = 0.03
"""Standard deviation per channel above which a border is a picture of something rather than a backdrop."""

MIN_AGREEMENT = 0.7
"""Share of the border that must agree; a subject may cover the rest."""


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


def key(
    rgb: Array,  # (H, W, 3)
    backdrop: Backdrop,
) -> Mask:
    """(H, W) where the subject is, at least in part: all that differs, without specks and what shows through holes."""
    away = distance(rgb, backdrop)
    limit = threshold(backdrop)
    plain = away <= limit
    outside = _reached_from_border(plain)
    subject = ~outside
    # Inside the outline, only a region that matches the backdrop as closely as the backdrop itself is a hole in it:
    # a light part of the subject on a light backdrop is shaded.
    count, labels, stats, _ = cv2.connectedComponentsWithStats((plain & ~outside).astype(np.uint8), connectivity=4)
    for label in range(1, count):
        region = labels == label
        large = stats[label, cv2.CC_STAT_AREA] > 2e-3 * subject.sum()
        if large and np.median(away[region]) < max(2 * backdrop.noise, 0.008):
            subject[region] = False
    return _without_specks(subject, away > 2 * limit)


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


def _without_specks(subject: Mask, certain: Mask) -> Mask:
    """Drop components that are tiny beside the largest one or that nowhere differ for certain."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count <= 1:
        return subject
    sure = np.bincount(labels[certain], minlength=count) > 0
    keep = sure & (stats[:, cv2.CC_STAT_AREA] > 1e-3 * stats[1:, cv2.CC_STAT_AREA].max())
    keep[0] = False
    return keep[labels]
