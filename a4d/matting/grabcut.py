"""Segmentation of a photo by GrabCut (Rother et al. 2004), started from several guesses that vote."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.matting.masks import Mask, dilated, disc, eroded
from a4d.matting.prominence import by_colour, by_connection
from a4d.pixels import Array, shrink

VOTING_SIZE = 192
"""Pixels of the longer side at which the subject is found; so coarse, texture does not distract."""

OUTLINE_SIZE = 448
"""Pixels of the longer side at which its outline is found."""

EDGE_CONTRAST = 0.1
"""Distance in sRGB between the two sides of an edge."""


def find_subject(
    rgb: Array,  # (H, W, 3)
) -> tuple[Mask, float]:
    """The most prominent thing in a photo.

    Returns:
        (H, W) where it is, without small components and small holes; and how sure that is, in [0, 1]: how much the
        guesses agreed times how much of the outline is an edge.
    """
    samples = _bytes(shrink(rgb, VOTING_SIZE))
    votes = [_cut(samples, labels, iterations=3) for labels in _guesses(samples)]
    elected = np.mean(votes, axis=0) > 0.5
    agreement = float(np.mean([(vote & elected).sum() / max((vote | elected).sum(), 1) for vote in votes]))
    finer = shrink(rgb, OUTLINE_SIZE)
    subject = _tidy(_outline(finer, _tidy(elected)))
    return _enlarge(subject, rgb.shape), agreement * _edge_share(finer, subject)


def _guesses(samples: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """GrabCut's labels from what the border cuts off, from what colours the border lacks, and from a plain frame."""
    lab = cv2.cvtColor(cv2.GaussianBlur(samples, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32)
    margin = max(1, round(0.03 * min(samples.shape[:2])))
    frame = np.full(samples.shape[:2], cv2.GC_BGD, np.uint8)
    frame[margin:, margin:-margin] = cv2.GC_PR_FGD
    return [_labels(by_connection(lab)), _labels(by_colour(lab)), frame]


def _labels(prominence: Array) -> NDArray[np.uint8]:
    """Seeds from a map: what is far above or below the best threshold is certain, the rest for GrabCut to decide."""
    middle = cv2.threshold(np.rint(prominence * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 255
    labels = np.where(prominence > middle, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[prominence > max(float(np.quantile(prominence, 0.97)), (1 + middle) / 2)] = cv2.GC_FGD
    labels[prominence < 0.5 * middle] = cv2.GC_BGD
    return labels


def _cut(samples: NDArray[np.uint8], labels: NDArray[np.uint8], iterations: int) -> Mask:
    subject = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if subject.all() or not subject.any():
        return subject
    cv2.setRNGSeed(0)
    cut, _, _ = cv2.grabCut(
        np.ascontiguousarray(samples[..., ::-1]),
        labels.copy(),
        (0, 0, 1, 1),
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        iterations,
        cv2.GC_INIT_WITH_MASK,
    )
    return np.asarray((cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD))


def _outline(rgb: Array, coarse: Mask) -> Mask:
    """The same subject on a finer grid, free to move its outline by about a pixel of the coarse one."""
    subject = _enlarge(coarse, rgb.shape)
    reach = max(1, round(1.5 * rgb.shape[0] / coarse.shape[0]))
    labels = np.where(subject, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[eroded(subject, reach)] = cv2.GC_FGD
    labels[~dilated(subject, reach)] = cv2.GC_BGD
    return _cut(_bytes(rgb), labels, iterations=2)


def _edge_share(rgb: Array, subject: Mask) -> float:
    """The share of a subject's outline across which the colours differ."""
    inside = subject.astype(np.float32)

    def mean(weight: Array) -> Array:
        total = np.asarray(cv2.boxFilter(rgb * weight[..., None], -1, (7, 7)), np.float32)
        share = np.asarray(cv2.boxFilter(weight, -1, (7, 7)), np.float32)
        return np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32)

    rim = subject & (cv2.erode(inside, np.ones((3, 3), np.uint8)) == 0)
    if not rim.any():
        return 0.0
    contrast = np.linalg.norm(mean(inside) - mean(1 - inside), axis=-1)[rim]
    return float(np.mean(contrast > EDGE_CONTRAST))


def _tidy(subject: Mask) -> Mask:
    """The largest component and those that are not small beside it, opened and without small holes."""
    opened = cv2.morphologyEx(subject.astype(np.uint8), cv2.MORPH_OPEN, disc(1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count <= 1:
        return subject
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas >= 0.1 * areas.max())[labels]
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.01 * kept.sum()
    small[0] = False
    return kept | small[holes]


def _enlarge(mask: Mask, shape: tuple[int, ...]) -> Mask:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) > 0.5)


def _bytes(rgb: Array) -> NDArray[np.uint8]:
    return np.rint(rgb * 255).astype(np.uint8)
