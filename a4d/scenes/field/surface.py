"""The surface of what a field holds, out of its values on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def outer_surface(
    values: NDArray[np.floating[Any]],  # (R, R, R) positive within, somewhere
    bound: float,
) -> tuple[Tensor, Tensor]:
    """The closed surface where values on a grid over a cube are zero, but for that of cavities.

    Args:
        values: at the corners of even cells, along x, y and z.
        bound: half of the cube's side, metres.

    Returns:
        (V, 3) metres; (F, 3) int64.
    """
    from scipy.ndimage import binary_fill_holes
    from skimage.measure import marching_cubes

    # No light comes into a cavity: what is thin in there was never seen, and is no surface.
    values = np.where(binary_fill_holes(values > 0), np.abs(values), values)
    # Outside the cube there is nothing at all: what reaches its walls is closed right there.
    padded = np.pad(values, 1, constant_values=-1000 * float(values.max()))
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="ascent")
    spacing = 2 * bound / (len(values) - 1)
    positions = torch.from_numpy(np.ascontiguousarray(vertices - 1, np.float32)) * spacing - bound
    return positions, torch.from_numpy(np.ascontiguousarray(faces, np.int64))
