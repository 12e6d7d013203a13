"""How well a fitted body agrees with the frames, in figures and in pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from a4d.estimation.bodies.landmarks import LIMB_KEYPOINTS
from a4d.estimation.bodies.sightings import Sightings
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.pixels import Array
from a4d.render.mesh import rasterise

VISIBLE = 0.5
"""Confidence from which a keypoint counts."""

OUTLINE = (1.0, 0.2, 0.1)
"""Colour in which a body is drawn over a frame, sRGB."""


@dataclass(frozen=True)
class Agreement:
    """Of F frames, NaN where nothing is to be compared.

    Args:
        reprojection: (F,) mean distance in pixels of the twelve keypoints of the limbs.
        overlap: (F,) intersection over union of the body with its mask.
    """

    reprojection: Tensor
    overlap: Tensor


def agreement(
    animated: AnimatedBody,  # of F poses, in the world of the cameras
    landmarks: Tensor,  # (F, K, 3) of the same names as the sightings, world
    sightings: Sightings,
) -> Agreement:
    """Compare a body with what was seen of it."""
    limbs = [sightings.names.index(name) for name in LIMB_KEYPOINTS if name in sightings.names]
    projected, _ = sightings.cameras.project(landmarks[:, limbs])
    missed = (projected - sightings.points[:, limbs]).norm(dim=-1)
    missed = missed.where(sightings.confidence[:, limbs] >= VISIBLE, torch.nan)
    height, width = sightings.masks.shape[1:]
    known = sightings.known(height, width) > 0
    overlap = torch.full((len(sightings),), torch.nan)
    for frame in sightings.is_seen.nonzero()[:, 0].tolist():
        covered = coverage(animated, sightings.cameras[frame].resized(width, height), frame) & known
        mask = (sightings.masks[frame] > 0.5) & known
        overlap[frame] = (covered & mask).sum() / (covered | mask).sum().clamp(min=1)
    return Agreement(missed.nanmean(1), overlap)


def coverage(animated: AnimatedBody, camera: Cameras, frame: int) -> Tensor:
    """(H, W) bool: which pixels of a camera a pose covers."""
    body = animated.body
    posed = body.posed(animated.rotations[frame], animated.shape, animated.translation[frame])
    return rasterise(Mesh(posed.vertices, body.faces), camera).is_covered[0]


def outlined(picture: Array, covered: Tensor) -> Array:
    """A picture with the outline of a body over it.

    Args:
        picture: (H, W, 4) straight alpha.
        covered: (H, W) bool.

    Returns:
        (H, W, 3) on white.
    """
    alpha = picture[..., 3:]
    shown = np.array(picture[..., :3] * alpha + (1 - alpha))
    inside = covered.numpy().astype(np.uint8)
    edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    shown[edge] = OUTLINE
    return shown
