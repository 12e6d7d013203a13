"""BlazePose's landmark network: the joints and the outline of the person in a region (Bazarevsky et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.estimation.person.detection import Network
from a4d.estimation.person.region import Region
from a4d.io.keypoints import BLAZEPOSE, Landmarks
from a4d.pixels import Array

LANDMARK_SIZE, HEAT_SIZE, HEAT_REACH = 256, 64, 3
"""Pixels of the sides of the square that the network sees and of its heat maps; of these, how far one is looked at."""

LEAST_HEAT = 0.5
"""From which a heat map corrects its landmark."""

LEAST_PRESENCE, BODY = 0.5, slice(11, 33)
"""Probability from which there may be a person in the region, and the landmarks from the shoulders down."""

LANDMARKS, HIPS, TOP = 39, 33, 34
"""Points that the network tells, and which of them the next frame's region is made of."""

HOLE_SHARE = 0.007
"""Share of a mask's area up to which a hole in it is a mistake: noses and mouths, and no gap beside an arm."""


@dataclass(frozen=True)
class Sighting:
    """What may be a person, as one picture shows it.

    Args:
        landmarks: of it, in the order of `BLAZEPOSE`.
        mask: (H, W) in [0, 1].
        region: that the next picture of a film would be searched in.
        presence: probability that it is a person, in [0.5, 1].
        body_visibility: mean of the landmarks from the shoulders down that lie within the picture, in [0, 1]: beyond it
            none can be visible, which speaks neither for nor against a person.
    """

    landmarks: Landmarks
    mask: Array
    region: Region
    presence: float
    body_visibility: float


def look(
    network: Network,
    rgb: Array,  # (H, W, 3) sRGB in [0, 1]
    region: Region,
) -> Sighting | None:
    """What may be a person in a region; None where nothing is."""
    height, width = rgb.shape[:2]
    rows, flag, logits, heat, metres = network(region.cut(rgb, LANDMARK_SIZE)[None])
    presence = float(np.asarray(flag).reshape(()))
    if presence < LEAST_PRESENCE:
        return None
    values = np.asarray(rows, np.float64).reshape(LANDMARKS, 5)
    places = _refined(values[:, :2] / LANDMARK_SIZE, _sigmoid(np.asarray(heat)[0]))
    points = region.picture_from_square(places)
    visibility = _sigmoid(values[: len(BLAZEPOSE), 3])
    is_inside = np.asarray(((points >= 0) & (points < (width, height))).all(-1))[BODY]
    world = np.asarray(metres, np.float64).reshape(LANDMARKS, 3)[: len(BLAZEPOSE)]
    turned = np.concatenate([world[:, :2] @ region.rotation.T, world[:, 2:]], axis=-1)
    mask = tidied(region.lay_back(_sigmoid(np.asarray(logits, np.float32)[0, ..., 0]), (height, width)))
    shown = (points[: len(BLAZEPOSE)], visibility, turned)
    return Sighting(
        Landmarks(*(values.astype(np.float32) for values in shown)),
        mask,
        Region.from_axis(points[HIPS], points[TOP]),
        presence,
        float(visibility[BODY][is_inside].mean()) if is_inside.any() else 0.0,
    )


def tidied(
    mask: Array,  # (H, W) in [0, 1]
) -> Array:
    """The largest part of a mask, and what is soft around it, without small holes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8), connectivity=8)
    if count <= 1:
        return np.zeros_like(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(areas.argmax())
    # What is soft belongs to the part that is nearest.
    _, nearest = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    is_own = nearest == nearest[labels == largest][0]
    count, holes, stats, _ = cv2.connectedComponentsWithStats((mask <= 0.5).astype(np.uint8), connectivity=4)
    is_small = stats[:, cv2.CC_STAT_AREA] < HOLE_SHARE * areas.max()
    height, width = mask.shape
    left, top, wide, tall = (stats[:, column] for column in range(4))
    is_enclosed = (left > 0) & (top > 0) & (left + wide < width) & (top + tall < height)
    filled = np.where((is_small & is_enclosed)[holes] & (mask <= 0.5), 1, mask)
    return np.where(is_own, filled, 0).astype(np.float32)


def _refined(
    places: NDArray[np.float64],  # (L, 2) shares of the square's sides
    heat: NDArray[np.floating],  # (64, 64, L) in [0, 1]
) -> NDArray[np.float64]:
    """(L, 2) places moved to the centre of what their heat maps show around them."""
    refined = places.copy()
    is_inside = ((places >= 0) & (places < 1)).all(-1)
    for index in np.flatnonzero(is_inside):
        columns, rows = (_around(int(place * HEAT_SIZE)) for place in places[index])
        window = heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, index]
        if window.max() >= LEAST_HEAT:
            sums = np.array([window.sum(0) @ columns, window.sum(1) @ rows])
            refined[index] = sums / (window.sum() * HEAT_SIZE)
    return refined


def _around(middle: int) -> NDArray[np.int_]:
    """The rows or columns of a heat map that are near one."""
    return np.arange(max(middle - HEAT_REACH, 0), min(middle + HEAT_REACH + 1, HEAT_SIZE))


def _sigmoid(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1 / (1 + np.exp(-np.clip(values, -60, 60)))
