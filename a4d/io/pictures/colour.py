"""The sRGB transfer curve (IEC 61966-2-1): our colours are encoded, those inside glTF files are linear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear_from_srgb(
    srgb: NDArray,  # any shape, [0, 1]
) -> NDArray:
    """Linear light in [0, 1] of encoded values."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(
    linear: NDArray,  # any shape, [0, 1]
) -> NDArray:
    """Encoded values in [0, 1] of linear light."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
