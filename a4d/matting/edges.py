"""Soft edges: alpha from the compositing equation C = a F + (1 - a) B, and the subject's colours without background."""

from __future__ import annotations

import cv2
import numpy as np

from a4d.matting.masks import Mask, dilated, disc
from a4d.pixels import Array, nearest_fill

CONTRAST = 0.15
"""Distance in sRGB of subject and background from which colour alone tells them apart."""

FAINT = 0.16
"""Contrast just behind its outline up to which an edge may be a wide one."""


def soft_edges(
    rgb: Array,  # (H, W, 3)
    subject: Mask,  # (H, W)
    radius: int,
    background: Array | None = None,  # (H, W, 3)
    noise: float = 0.0,
) -> Array:
    """Alpha of a hard mask, re-estimated within `radius` pixels of its outline.

    Each pixel of that band lies between the colour of the nearest certain subject and that of the background; alpha is
    how far along. Where the two look alike, the blurred mask decides instead.

    Args:
        rgb: sRGB.
        subject: the hard mask; where the background is given it holds every pixel with a part of the subject in it.
        radius: half width of the band, pixels; where the background is given the band follows fur and blur further.
        background: the background everywhere, where it is known; else it is taken from outside the band.
        noise: standard deviation of the background per channel.

    Returns:
        (H, W) in [0, 1].
    """
    inside, reach = _core(subject, radius), radius
    if background is None:
        outside = ~dilated(subject, radius)
        background = nearest_fill(_mean_within(rgb, outside, 2), outside)
    else:
        outside, reach = ~dilated(subject, 1), 6 * radius
        inside &= ~_ramp(np.linalg.norm(rgb - background, axis=-1), subject, radius, reach)
    foreground = nearest_fill(_mean_within(rgb, inside, 1), inside)
    across = foreground - background
    length = np.linalg.norm(across, axis=-1)
    projection = ((rgb - background) * across).sum(-1) / np.maximum(length**2, 1e-8)
    floor = np.minimum(2 * noise / np.maximum(length, 1e-4) + 0.02, 0.4)
    alpha = np.clip((projection - floor) / (1 - 2 * floor), 0, 1)
    blurred = cv2.GaussianBlur(subject.astype(np.float32), (0, 0), max(0.5, radius / 3))
    trust = np.clip(length / CONTRAST, 0, 1) ** 2
    alpha = trust * alpha + (1 - trust) * blurred
    alpha[inside] = 1
    alpha[outside] = 0
    return _fill_pits(alpha.astype(np.float32), 4 * reach)


def decontaminate(
    rgb: Array,  # (H, W, 3)
    alpha: Array,  # (H, W)
    background: Array | None = None,  # (H, W, 3)
) -> Array:
    """The subject's own colours under a given alpha, extended outward over all of the transparent area.

    Solves C = a F + (1 - a) B for F. Where little of F is in the pixel, and the equation would amplify noise, the
    colour of the nearest opaque pixels takes over.

    Args:
        rgb: sRGB, with the background mixed into its edges.
        alpha: in [0, 1].
        background: the background everywhere; by default the nearest colours of zero alpha.

    Returns:
        (H, W, 4) straight alpha.
    """
    if background is None:
        background = nearest_fill(_mean_within(rgb, alpha == 0, 2), alpha == 0)
    opaque = alpha >= min(0.99, float(alpha.max()))
    nearest = nearest_fill(_mean_within(rgb, opaque, 1), opaque)
    weight = alpha[..., None]
    solved = np.clip((rgb - (1 - weight) * background) / np.maximum(weight, 1e-3), 0, 1)
    trust = np.clip((weight - 0.2) / 0.6, 0, 1)
    colours = np.where(opaque[..., None], rgb, trust * solved + (1 - trust) * nearest)
    return np.concatenate([colours, weight], axis=-1).astype(np.float32)


def _core(subject: Mask, radius: int) -> Mask:
    """What surely is subject: its inside, and the middle of parts too thin to have one."""
    padded = cv2.copyMakeBorder(subject.astype(np.uint8), radius, radius, radius, radius, cv2.BORDER_REPLICATE)
    inside = cv2.erode(padded, disc(radius))[radius:-radius, radius:-radius].astype(bool)
    thin = subject & ~dilated(inside, radius + 1)
    depth = cv2.distanceTransform(subject.astype(np.uint8), cv2.DIST_L2, 5)
    ridge = depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))
    return inside | (thin & ridge)


def _ramp(contrast: Array, subject: Mask, radius: int, reach: int) -> Mask:
    """Where the contrast rises from a faint outline to far more: fur and blur fade out wider than a sharp edge.

    The outline of something pale is faint too, but so is what lies behind it.
    """
    smooth = np.asarray(cv2.GaussianBlur(contrast, (0, 0), max(1.0, radius / 2)), np.float32)
    depth = cv2.distanceTransform(subject.astype(np.uint8), cv2.DIST_L2, 5)
    outline, deep = (np.abs(depth - level) < 1 for level in (radius, reach))
    contrast_there = [nearest_fill(smooth[..., None], ring)[..., 0] for ring in (outline, deep)]
    rises = (contrast_there[0] < FAINT) & (contrast_there[1] > 3 * contrast_there[0])
    return np.asarray((depth < reach) & dilated(deep, 2 * reach) & rises & (smooth < 0.6 * contrast_there[1]))


def _mean_within(rgb: Array, mask: Mask, radius: int) -> Array:
    """Colours averaged over a window, of the masked pixels alone."""
    weight = mask.astype(np.float32)
    size = (2 * radius + 1, 2 * radius + 1)
    total = cv2.boxFilter(rgb * weight[..., None], -1, size, normalize=False)
    count = cv2.boxFilter(weight, -1, size, normalize=False)[..., None]
    return np.where(count > 0, total / np.maximum(count, 1), rgb).astype(np.float32)


def _fill_pits(alpha: Array, reach: int) -> Array:
    """Raise what is enclosed by higher alpha: a pale stripe beside an outline is paint, not a gap."""
    filled = np.where(alpha > 0, np.float32(1), np.float32(0))
    for _ in range(reach):
        filled = np.maximum(alpha, cv2.erode(filled, np.ones((3, 3), np.uint8)))
    return filled
