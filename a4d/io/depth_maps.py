"""Depth maps that others made: pictures of counts, or arrays of numbers, near or far being bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.array_files import read_array
from a4d.io.pictures.exr import read_exr_depth
from a4d.io.pictures.images import read_depth
from a4d.pixels import Array

Larger = Literal["nearer", "farther"]
"""What larger values of a map mean."""

ARRAY_SUFFIX, EXR_SUFFIX = ".npy", ".exr"

FLAT = 1e-12
"""Range below which a depth counts as the same everywhere."""


def read_depth_map(path: Path) -> Array:
    """(H, W) a map as it is stored: of integers in [0, 1], of other numbers as they are.

    Args:
        path: a grey picture, `.exr`, or an array (H, W) or (H, W, 1) in `.npy`.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, coloured, of another shape, or not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in (ARRAY_SUFFIX, EXR_SUFFIX):
        return read_depth(path)
    values: NDArray[Any] = read_array(path) if suffix == ARRAY_SUFFIX else read_exr_depth(path)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise InvalidInputError(f"{path} is {values.dtype} {values.shape}, and no depth map")
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{path} holds values that are not finite")
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return (values / np.iinfo(values.dtype).max).astype(np.float32)


def nearness(
    values: Array,  # (H, W) of any range
    subject: NDArray[np.bool_],  # (H, W)
    larger: Larger,
) -> Array:
    """(H, W) in [0, 1], 1 at the nearest place of the subject and 0 at its farthest; 0 beside it.

    It is what Animate124 makes of disparity (Zhao et al. 2023, released preprocessing); of metric depth it is linear in
    the depth itself.
    """
    if not subject.any():
        return np.zeros_like(values)
    nearer = values if larger == "nearer" else -values
    low, high = float(nearer[subject].min()), float(nearer[subject].max())
    scaled = (nearer - low) / max(high - low, FLAT)
    return np.where(subject, scaled, 0).astype(np.float32)
