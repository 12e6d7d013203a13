"""Guesses at what a photo is of, from how its colours lie in the frame; each map is (H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.pixels import Array

LOWER_PART = 0.25
"""Share of the sides, measured from below, that is not taken for background: subjects stand on the lower border."""


def central(height: int, width: int) -> Array:
    """How near a pixel is to the middle, 1 there and about 0.14 at the middle of a side."""
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.exp(-2 * (u**2 + v**2)).astype(np.float32)


def by_connection(
    lab: Array,  # (H, W, 3) CIELAB, 0 to 255 per channel
) -> Array:
    """What is cut off from the border by edges, and unlike the colours of at least three sides of it."""
    height, width = lab.shape[:2]
    border = np.zeros((height, width), bool)
    border[:2] = border[:, :2] = border[:, -2:] = True
    border[round((1 - LOWER_PART) * height) :] = False
    connection = _normalise(barrier_distance(lab, border)) + _normalise(_unlike_sides(lab))
    return _normalise(connection * np.sqrt(central(height, width)))


def by_colour(
    lab: Array,  # (H, W, 3) CIELAB, 0 to 255 per channel
) -> Array:
    """What has colours that are common in the middle and rare along the border."""
    height, width = lab.shape[:2]
    weights = central(height, width)
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    rim = (np.maximum(np.abs(u), np.abs(v)) > 0.9) & (v < 0.9)
    inside, outside = _colour_frequency(lab, weights), _colour_frequency(lab, rim.astype(np.float32))
    ratio = inside / (inside + outside + 1e-8)
    smooth = cv2.GaussianBlur(ratio * np.sqrt(weights), (0, 0), 0.02 * max(height, width))
    return _normalise(np.asarray(smooth, np.float32))


def barrier_distance(
    colours: Array,  # (H, W, C)
    seeds: NDArray[np.bool_],  # (H, W), some of them True
) -> Array:
    """(H, W) the least range of colours, summed over channels, that a path from a seed must cross.

    The minimum barrier distance (Strand et al. 2013), approximated by sweeping twice over the image in each of four
    directions as in the fast version of Zhang et al. (2015), a whole line at a time.
    """
    highest, lowest = colours.copy(), colours.copy()
    distance = np.where(seeds, 0, np.inf).astype(np.float32)
    turned: list[Callable[[Array], Array]] = [
        lambda array: array,
        lambda array: array[::-1],
        lambda array: array.swapaxes(0, 1),
        lambda array: array.swapaxes(0, 1)[::-1],
    ]
    for turn in 2 * turned:
        _sweep_down(turn(colours), turn(highest), turn(lowest), turn(distance))
    return distance


def _sweep_down(colours: Array, highest: Array, lowest: Array, distance: Array) -> None:
    """Let paths grow from each line into the next, straight and diagonally, in place."""
    columns = distance.shape[1]
    for line in range(1, len(distance)):
        for shift in (0, 1, -1):
            into, out_of = slice(max(0, shift), columns + min(0, shift)), slice(max(0, -shift), columns - max(0, shift))
            high = np.maximum(highest[line - 1, out_of], colours[line, into])
            low = np.minimum(lowest[line - 1, out_of], colours[line, into])
            cost = np.where(np.isfinite(distance[line - 1, out_of]), (high - low).sum(-1), np.inf)
            shorter = cost < distance[line, into]
            distance[line, into][shorter] = cost[shorter]
            highest[line, into][shorter] = high[shorter]
            lowest[line, into][shorter] = low[shorter]


def _unlike_sides(lab: Array) -> Array:
    """Mahalanobis distance from the colours of the four sides, without the largest: a subject may touch one side."""
    band = max(2, round(0.06 * min(lab.shape[:2])))
    distances = []
    for side in (lab[:band], lab[-band:], lab[:, :band], lab[:, -band:]):
        samples = side.reshape(-1, 3).astype(np.float64)
        inverse = np.linalg.inv(np.cov(samples.T) + 20 * np.eye(3))
        offsets = lab - samples.mean(axis=0)
        length = np.sqrt(np.maximum(np.einsum("hwi,ij,hwj->hw", offsets, inverse, offsets), 0))
        distances.append(length / max(float(length.max()), 1e-6))
    return (sum(distances) - np.max(distances, axis=0)).astype(np.float32)


def _colour_frequency(lab: Array, weights: Array) -> Array:
    """How often each pixel's colour occurs among the weighted pixels, per unit of weight."""
    bins = tuple((np.clip(lab[..., i], 0, 255) * (1 / (16 if i == 0 else 8))).astype(int) for i in range(3))
    histogram: Array = np.zeros((16, 32, 32), np.float32)
    np.add.at(histogram, bins, weights)
    for axis in range(3):
        lines = np.ascontiguousarray(np.moveaxis(histogram, axis, 0))
        smooth = np.asarray(cv2.GaussianBlur(lines.reshape(len(lines), -1), (1, 5), 1.0), np.float32)
        histogram = np.array(np.moveaxis(smooth.reshape(lines.shape), 0, axis))
    return histogram[bins] / weights.sum()


def _normalise(values: Array) -> Array:
    return ((values - values.min()) / max(float(np.ptp(values)), 1e-6)).astype(np.float32)
