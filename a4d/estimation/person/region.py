"""The turned square of a picture in which a person stands upright, as BlazePose's landmark network is shown it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.pixels import Array

ROOM = 1.25
"""How much wider the square is than the circle around the body that two points tell."""


@dataclass(frozen=True)
class Region:
    """A square of a picture, in pixels right and down with the first pixel's centre at (0.5, 0.5).

    Args:
        centre: (2,) of the square, the middle of the hips.
        side: of the square, pixels.
        angle: by which the person leans to the picture's right, radians in [-pi, pi).
    """

    centre: NDArray[np.floating]
    side: float
    angle: float

    @classmethod
    def from_axis(
        cls,
        hips: NDArray[np.floating],  # (2,) pixels
        top: NDArray[np.floating],  # (2,) pixels
    ) -> Region:
        """The square around the hips, turned so that a point of the circle around the body is straight above them."""
        across, down = (float(value) for value in np.asarray(top, np.float64) - hips)
        angle = math.pi / 2 - math.atan2(-down, across)
        wrapped = (angle + math.pi) % (2 * math.pi) - math.pi
        return cls(np.asarray(hips, np.float64), 2 * ROOM * math.hypot(across, down), wrapped)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(2, 2) from axes of the square to those of the picture."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def picture_from_square(
        self,
        points: NDArray[np.floating],  # (..., 2) shares of the square's sides, in [0, 1] within it
    ) -> NDArray[np.float64]:
        """(..., 2) the same points in pixels of the picture."""
        return self.centre + (np.asarray(points, np.float64) - 0.5) * self.side @ self.rotation.T

    def cut(
        self,
        rgb: Array,  # (H, W, 3)
        size: int,
    ) -> Array:
        """(size, size, 3) the square upright, bilinear; beyond the picture its border goes on."""
        # A bilinear sample sees two pixels a side: what is reduced further is averaged first.
        whole = np.array(rgb.shape[1::-1])
        if (reduction := int(self.side / (2 * size))) > 1:
            reduced = np.maximum(1, whole // reduction)
            rgb = np.asarray(cv2.resize(rgb, reduced.tolist(), interpolation=cv2.INTER_AREA), np.float32)
        scale = (np.array(rgb.shape[1::-1]) / whole)[:, None]
        matrix = self._matrix(size) * scale
        matrix[:, 2:] += (scale - 1) / 2
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(rgb, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, np.float32)

    def lay_back(
        self,
        values: Array,  # (size, size)
        shape: tuple[int, int],
    ) -> Array:
        """(H, W) values of the square's pixels where they lie in a picture, bilinear; 0 beyond the square."""
        height, width = shape
        laid = cv2.warpAffine(values, self._matrix(len(values)), (width, height), flags=cv2.INTER_LINEAR)
        return np.asarray(laid, np.float32)

    def _matrix(self, size: int) -> NDArray[np.float64]:
        """(2, 3) from the indices of the square's pixels to those of the picture's, whose centres they are."""
        linear = self.rotation * (self.side / size)
        return np.column_stack([linear, self.picture_from_square(np.full(2, 0.5 / size)) - 0.5])
