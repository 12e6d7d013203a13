"""Segmentation of a photo: GrabCut, started from how unlike the border a colour is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.matting.edges import guided_filter
from a4d.pixels import Array, shrink

Mask = NDArray[np.bool_]

WORKING_SIZE = 320
"""Pixels of the longer side at which the subject is found."""


def find_subject(
    rgb: Array,  # (H, W, 3)
) -> Mask:
    """(H, W) the most prominent thing in a photo, by GrabCut (Rother et al. 2004) on a reduced copy.

    The start is a guess: colours that are common within the image and rare along its border, toward its middle. All
    components that are small beside the largest are dropped and small holes are closed.
    """
    small = np.rint(shrink(rgb, WORKING_SIZE) * 255).astype(np.uint8)
    prior = _prominence(small)
    labels = _first_labels(prior)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), labels, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    subject = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    subject = _tidy(subject, prior)
    size = rgb.shape[1::-1]
    enlarged = cv2.resize(subject.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    radius = max(2, round(2 * max(size) / WORKING_SIZE))
    return guided_filter(guide, enlarged, radius, 1e-3) > 0.5


def _prominence(rgb: NDArray[np.uint8]) -> Array:
    """(H, W) in [0, 1] how likely a pixel belongs to the subject, from colour and place."""
    height, width = rgb.shape[:2]
    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1.5), cv2.COLOR_RGB2LAB)
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    central = np.exp(-(u**2 + v**2) / (2 * 0.5**2)).astype(np.float32)
    rim = (np.maximum(np.abs(u), np.abs(v)) > 0.9) & (v < 0.9)  # subjects often stand on the lower border
    inside = _colour_frequency(lab, central)
    outside = _colour_frequency(lab, rim.astype(np.float32))
    ratio = inside / (inside + outside + 1e-8)
    return guided_filter(lab[..., 0].astype(np.float32) / 255, (ratio * np.sqrt(central)).astype(np.float32), 6, 1e-3)


def _colour_frequency(lab: NDArray[np.uint8], weights: Array) -> Array:
    """How often each pixel's colour occurs among the weighted pixels, per unit of weight."""
    bins = (lab // np.array([16, 8, 8], np.uint8)).astype(int)
    histogram = np.zeros((16, 32, 32), np.float32)
    np.add.at(histogram, tuple(np.moveaxis(bins, -1, 0)), weights)
    for axis in range(3):
        moved = np.moveaxis(histogram, axis, 0)
        flat = np.ascontiguousarray(moved).reshape(len(moved), -1)
        smooth = cv2.GaussianBlur(flat, (1, 5), 1.0).reshape(moved.shape)
        histogram = np.moveaxis(smooth, 0, axis)
    return (histogram / weights.sum())[tuple(np.moveaxis(bins, -1, 0))]


def _first_labels(prior: Array) -> NDArray[np.uint8]:
    """Seeds: the highest prominence is subject, the lowest is background, between lies what GrabCut decides."""
    low, middle, high = np.quantile(prior, [0.2, 0.6, 0.92])
    labels = np.where(prior > middle, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[prior > high] = cv2.GC_FGD
    labels[prior < low] = cv2.GC_BGD
    return labels


def _tidy(subject: Mask, prior: Array) -> Mask:
    """The most plausible component and those near its size, opened and without small holes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(subject.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    count, labels = cv2.connectedComponents(opened, connectivity=4)
    if count <= 1:
        return subject
    weight = np.bincount(labels.ravel(), weights=prior.ravel(), minlength=count)
    weight[0] = 0
    kept = (weight >= 0.3 * weight.max())[labels]
    count, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.01 * kept.sum()
    small[0] = False
    return kept | small[holes]
