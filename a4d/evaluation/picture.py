"""How much of a picture a scene shows: what was cut out of it need not be what it is of."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from a4d.framing import Crop, place_back
from a4d.metrics import psnr
from a4d.pixels import Array

EDGE = 0.02
"""Share of the picture's longer side around a subject's outline that counts as its own."""


def figures_of_picture(frame: Array, crop: Crop, picture: Array) -> dict[str, float]:
    """Compare a render with the whole picture that its subject was cut out of.

    Args:
        frame: (S, S, 4) the render, straight alpha.
        crop: where it lies in the picture.
        picture: (H, W, 3), or (H, W, 4) with straight alpha, as it was given.

    Returns:
        `picture_psnr` in dB, of the render over one colour, that of the background, against the picture; and
        `contrast_left_out`, the share in [0, 1] of the picture's contrast that lies outside the render's outline.
    """
    shown = picture[..., :3] * picture[..., 3:] if picture.shape[2] == 4 else picture
    nothing = np.zeros((*shown.shape[:2], 4), np.float32)
    alpha = place_back(frame, crop, nothing)[..., 3]
    margin = 2 * round(EDGE * max(alpha.shape)) + 1
    inside = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((margin, margin), np.uint8)) > 0
    plain = np.broadcast_to(np.median(shown[~inside], axis=0) if not inside.all() else 0, shown.shape)
    scored = psnr(torch.from_numpy(place_back(frame, crop, plain.astype(np.float32))), torch.from_numpy(shown.copy()))
    contrast = _contrast(shown)
    total = float(contrast.sum())
    return {"picture_psnr": scored, "contrast_left_out": float(contrast[~inside].sum()) / total if total else 0.0}


def _contrast(rgb: Array) -> Array:
    """(H, W) length of the colours' gradient."""
    slopes = [cv2.Scharr(rgb, cv2.CV_32F, *direction) for direction in ((1, 0), (0, 1))]
    length: Array = np.sqrt(sum((slope**2).sum(-1) for slope in slopes))
    return length
