"""Joints of a person in a box by a vision transformer (Xu et al. 2022, ViTPose)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import BackendUnavailableError
from a4d.estimation.vision import Preparation, read_preparation
from a4d.io.keypoints import COCO, Landmarks
from a4d.pixels import SOLID, WHITE, Array, composite
from a4d.priors.weights_folder import WeightsFolder

ROOM = 1.25
"""How much larger the picture that the network sees is than the box around the person."""

LEAST_HEAT = 1e-3
"""Below which a heat map says nothing."""


class ViTPose:
    """A network that tells COCO's joints of the person in a box.

    Args:
        model: of transformers, with `heatmaps` among its outputs.
        preparation: of its pictures.
    """

    def __init__(self, model: Any, preparation: Preparation) -> None:
        self.model, self.preparation = model, preparation

    @torch.no_grad()
    def __call__(
        self,
        rgba: Array,  # (H, W, 4) sRGB in [0, 1], straight alpha
    ) -> Landmarks | None:
        """The joints of the subject: in the box around its alpha; None where there is none."""
        rows, columns = (np.flatnonzero((rgba[..., 3] > SOLID).any(axis)) for axis in (1, 0))
        if not len(rows):
            return None
        corners = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float64)
        matrix = _square_from_picture(corners, self.preparation.size)
        height, width = self.preparation.size
        cut = cv2.warpAffine(composite(rgba, WHITE), matrix, (width, height), flags=cv2.INTER_LINEAR)
        pixels = self.preparation(torch.from_numpy(np.asarray(cut, np.float32)))
        heat = self.model(pixels.to(self.model.device, self.model.dtype)).heatmaps[0].float().cpu().numpy()
        places, scores = peaks(heat)
        # Both ends of the square are pixels' centres, of the picture that is seen and of the heat maps.
        seen = places * (np.array([width, height]) - 1) / (np.array(heat.shape[:0:-1]) - 1)
        points = (seen - matrix[:, 2]) / np.diag(matrix[:, :2]) + 0.5
        return Landmarks(points.astype(np.float32), scores.clip(0, 1).astype(np.float32), None)


def peaks(
    heat: NDArray[np.float32],  # (K, H, W)
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(K, 2) column and row of the largest value of each heat map, between pixels; and (K,) that value.

    The logarithm of a smoothed peak is a paraboloid, whose top one step of Newton's method finds (Zhang et al. 2020).
    """
    height, width = heat.shape[1:]
    flat = heat.reshape(len(heat), -1)
    indices, places = flat.argmax(-1), np.zeros((len(heat), 2))
    for index, (row, column) in enumerate(zip(*np.unravel_index(indices, (height, width)), strict=True)):
        smooth = cv2.GaussianBlur(heat[index], (3, 3), 0.8, borderType=cv2.BORDER_REFLECT)
        logarithm = np.pad(np.log(np.clip(smooth, LEAST_HEAT, None)).astype(np.float64), 1, mode="edge")
        around = logarithm[row : row + 3, column : column + 3]
        slope = np.array([around[1, 2] - around[1, 0], around[2, 1] - around[0, 1]]) / 2
        bend_x, bend_y = (line[2] - 2 * line[1] + line[0] for line in (around[1], around[:, 1]))
        twist = (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0]) / 4
        bend = np.array([[bend_x, twist], [twist, bend_y]])
        is_peak = bend_x < 0 and np.linalg.det(bend) > 0
        step = -np.linalg.solve(bend, slope) if is_peak else np.zeros(2)
        places[index] = np.array([column, row]) + step.clip(-1, 1)
    return places, flat[np.arange(len(flat)), indices]


def load_vitpose(folder: WeightsFolder) -> ViTPose:
    """A network in transformers' layout.

    Raises:
        BackendUnavailableError: files are missing or damaged, or it tells other joints than COCO's 17.
    """
    from transformers import VitPoseForPoseEstimation

    model = folder.model("", VitPoseForPoseEstimation)
    if model.config.num_labels != len(COCO):
        raise BackendUnavailableError(f"{folder.path} tells {model.config.num_labels} joints, not COCO's {len(COCO)}")
    return ViTPose(model, read_preparation(folder))


def _square_from_picture(
    corners: NDArray[np.float64],  # (2, 2) of the box in pixels
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """(2, 3) from indices of the picture's pixels to those of what is seen: the box in the middle, with room around it.

    Args:
        corners: left, top and right, bottom.
        size: height and width of what is seen, whose first and last pixels' centres are the ends (Huang et al. 2020).
    """
    seen = np.array(size[::-1], np.float64)
    extent = ROOM * seen * ((corners[1] - corners[0]) / seen).max()
    scale = (seen - 1) / extent
    start = corners.mean(0) - 0.5 - extent / 2
    return np.column_stack([np.diag(scale), -start * scale])
