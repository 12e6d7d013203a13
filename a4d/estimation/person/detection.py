"""BlazePose's detector: where in a picture there may be people, how large and which way up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.estimation.person.region import Region
from a4d.pixels import Array

Network = Callable[[Array], Sequence[Array]]
"""A network that takes a batch of one picture (1, H, W, 3) and gives its outputs in their order."""

DETECTOR_SIZE = 224
"""Pixels of the side of the square that the detector sees."""

ANCHOR_GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells of a side, and anchors of a cell, of the strides 8, 16 and three times 32."""

LEAST_SCORE, SURE_SCORE = 0.5, 0.75
"""From which a detection counts in a picture, and in a part of it, where cups and paws look like people more often."""

SAME_OVERLAP = 0.3
"""Intersection over union from which two boxes are of the same person."""

HIPS, TOP = 0, 1
"""Which of a detection's points are the middle of the hips, and one of the circle around the body."""


@dataclass(frozen=True)
class Detection:
    """Someone who may be in a picture.

    Args:
        score: in [0, 1].
        box: (4,) left, top, right, bottom of the face in pixels.
        points: (4, 2) pixels: the middle of the hips, one of the circle around the body, and both of its upper half.
    """

    score: float
    box: NDArray[np.float64]
    points: NDArray[np.float64]

    @property
    def region(self) -> Region:
        """The square around the body."""
        return Region.from_axis(self.points[HIPS], self.points[TOP])


@lru_cache(maxsize=1)
def anchors() -> NDArray[np.float64]:
    """(2254, 2) centres x, y of the detector's anchors in [0, 1], by grid, row, column and anchor of a cell."""
    layers = []
    for cells, of_cell in ANCHOR_GRIDS:
        rows, columns = np.indices((cells, cells))
        centres = (np.stack([columns, rows], axis=-1) + 0.5) / cells
        layers.append(centres.reshape(-1, 2).repeat(of_cell, axis=0))
    return np.concatenate(layers)


def detect(
    network: Network,
    rgb: Array,  # (H, W, 3) sRGB in [0, 1]
) -> list[Detection]:
    """The people in a picture, the largest first; those below about a quarter of its longer side are overlooked."""
    return _blended(*_decoded(network, rgb))


def detect_closely(
    network: Network,
    rgb: Array,  # (H, W, 3) sRGB in [0, 1]
) -> list[Detection]:
    """The people in a picture and in overlapping squares of half its longer side, the largest first."""
    values, scores = ([each] for each in _decoded(network, rgb))
    for left, top, side in _tiles(*rgb.shape[:2]):
        found, sureness = _decoded(network, rgb[top : top + side, left : left + side])
        is_sure = sureness >= SURE_SCORE
        values.append(found[is_sure] + np.array([left, top]))
        scores.append(sureness[is_sure])
    return _blended(np.concatenate(values), np.concatenate(scores))


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Left, top and side of squares that cover a picture, each half over the next."""
    side = -(-max(height, width) // 2)
    step = max(side // 2, 1)
    lefts, tops = (
        sorted({min(at, max(extent - side, 0)) for at in range(0, extent, step)}) for extent in (width, height)
    )
    return [(left, top, side) for top in tops for left in lefts]


def _decoded(
    network: Network,
    rgb: Array,  # (H, W, 3)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 6, 2) two corners and four points of what the network finds, in pixels, and (N,) scores."""
    letterbox, scale, margin = _letterbox(rgb)
    rows, logits = network(letterbox[None] * 2 - 1)
    scores = 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64).reshape(-1), -100, 100)))
    kept = scores >= LEAST_SCORE
    values = np.asarray(rows, np.float64).reshape(-1, 12)[kept].reshape(-1, 6, 2) / DETECTOR_SIZE
    centres, sizes, points = values[:, 0] + anchors()[kept], values[:, 1], values[:, 2:] + anchors()[kept][:, None]
    corners = np.stack([centres - sizes / 2, centres + sizes / 2], axis=1)
    return (np.concatenate([corners, points], axis=1) * DETECTOR_SIZE - margin) / scale, scores[kept]


def _letterbox(rgb: Array) -> tuple[Array, float, NDArray[np.float64]]:
    """The picture reduced into the detector's square on black; its scale, and the margin left and above in pixels."""
    height, width = rgb.shape[:2]
    scale = DETECTOR_SIZE / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    margin = (DETECTOR_SIZE - np.array(inner)) // 2
    square = np.zeros((DETECTOR_SIZE, DETECTOR_SIZE, 3), np.float32)
    left, top = margin
    square[top : top + inner[1], left : left + inner[0]] = cv2.resize(rgb, inner, interpolation=method)
    return square, scale, margin.astype(np.float64)


def _blended(
    values: NDArray[np.float64],  # (N, 6, 2) two corners and four points
    scores: NDArray[np.float64],  # (N,)
) -> list[Detection]:
    """Non-maximum suppression that averages the boxes of one person, weighted by their scores; the largest first."""
    detections, left = [], np.argsort(-scores, kind="stable")
    while len(left):
        best = left[0]
        same = _overlap(values[best, :2], values[left, :2]) > SAME_OVERLAP
        # A box without an area overlaps nothing, not even itself.
        same[0] = True
        group, left = left[same], left[~same]
        blended = np.average(values[group], axis=0, weights=scores[group])
        detections.append(Detection(float(scores[best]), blended[:2].reshape(4), blended[2:]))
    return sorted(detections, key=lambda detection: -detection.region.side)


def _overlap(
    box: NDArray[np.float64],  # (2, 2) corners
    others: NDArray[np.float64],  # (N, 2, 2)
) -> NDArray[np.float64]:
    """(N,) intersection over union."""
    shared = np.minimum(box[1], others[:, 1]) - np.maximum(box[0], others[:, 0])
    intersection = np.maximum(shared, 0).prod(-1)
    areas = np.maximum(others[:, 1] - others[:, 0], 0).prod(-1)
    union = areas + np.maximum(box[1] - box[0], 0).prod() - intersection
    return np.asarray(intersection / np.maximum(union, 1e-12))
