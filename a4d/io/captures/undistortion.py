"""Removing lens distortion, so that every image behind this point comes from a pinhole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.captures.capture import Lens, PosedCapture

HALF_PIXEL = np.array([0.0, 0.0, 0.5, 0.5])
"""OpenCV puts pixel centres at whole numbers, we at halves."""


@dataclass(frozen=True)
class Undistortion:
    """Where each pixel of the straightened image lies in the one taken.

    Args:
        map_x: (H, W) float32 column, pixel centres at whole numbers as OpenCV has them.
        map_y: (H, W) float32 row.
        intrinsics: (4,) fx, fy, cx, cy of the straightened image, pixel centres at halves.
    """

    map_x: NDArray[np.float32]
    map_y: NDArray[np.float32]
    intrinsics: NDArray[np.float64]

    def apply(
        self,
        image: NDArray[np.float32],  # (H, W, C) in [0, 1]; of four channels the last is straight alpha
    ) -> NDArray[np.float32]:
        """The straightened image, (H, W, C)."""
        has_alpha = image.shape[2] == 4
        # Colours of transparent pixels mean nothing and must not bleed into their neighbours.
        source = np.concatenate([image[..., :3] * image[..., 3:], image[..., 3:]], axis=2) if has_alpha else image
        straight = cv2.remap(source, self.map_x, self.map_y, cv2.INTER_LINEAR)
        result = np.asarray(straight, np.float32).reshape(*self.map_x.shape, -1)
        if has_alpha:
            result[..., :3] /= np.maximum(result[..., 3:], 1e-6)
        return result.clip(0.0, 1.0)


def undistortion(
    intrinsics: NDArray[np.float64],  # (4,) fx, fy, cx, cy, pixel centres at halves
    size: tuple[int, int],  # width, height in pixels
    lens: Lens,
) -> Undistortion:
    """The way from a lens to a pinhole that sees the largest part without empty borders, at the same image size.

    Raises:
        InvalidInputError: the perspective model has a fourth radial term, or the lens folds the image over.
    """
    fx, fy, cx, cy = intrinsics - HALF_PIXEL
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    k1, k2, k3, k4 = lens.radial
    if lens.is_fisheye:
        factors = np.array([k1, k2, k3, k4])
        straight = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(matrix, factors, size, np.eye(3), balance=0.0)
        maps = cv2.fisheye.initUndistortRectifyMap(matrix, factors, np.eye(3), straight, size, cv2.CV_32FC1)
    else:
        if k4:
            raise InvalidInputError("the lens has a fourth radial term (k4), which only fisheye models support")
        factors = np.array([k1, k2, *lens.tangential, k3])
        straight, _ = cv2.getOptimalNewCameraMatrix(matrix, factors, size, 0.0)
        maps = cv2.initUndistortRectifyMap(matrix, factors, np.eye(3), straight, size, cv2.CV_32FC1)
    result = np.array([straight[0, 0], straight[1, 1], straight[0, 2], straight[1, 2]]) + HALF_PIXEL
    if not np.isfinite(result).all() or (result[:2] <= 0).any():
        raise InvalidInputError("the lens's distortion cannot be undone: no pinhole sees what it saw")
    return Undistortion(np.asarray(maps[0], np.float32), np.asarray(maps[1], np.float32), result)


def without_distortion(capture: PosedCapture) -> tuple[PosedCapture, tuple[Undistortion | None, ...]]:
    """The capture as pinholes would have taken it.

    Returns:
        the capture with new intrinsics, still naming the files as taken; per image what must be applied to its pixels
        and those of its mask, or None where it came from a pinhole.

    Raises:
        InvalidInputError: a lens cannot be undone.
    """
    if capture.lenses is None:
        return capture, (None,) * len(capture)
    known: dict[tuple, Undistortion] = {}
    steps = list[Undistortion | None]()
    intrinsics = capture.intrinsics.copy()
    for i, lens in enumerate(capture.lenses):
        if lens is None:
            steps.append(None)
            continue
        width, height = capture.sizes[i].tolist()
        key = (lens, width, height, *capture.intrinsics[i])
        if key not in known:
            known[key] = undistortion(capture.intrinsics[i], (width, height), lens)
        steps.append(known[key])
        intrinsics[i] = known[key].intrinsics
    return replace(capture, intrinsics=intrinsics, lenses=None), tuple(steps)
