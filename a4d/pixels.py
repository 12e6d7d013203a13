"""Arithmetic on images in memory: resampling, compositing and colours beyond the silhouette.

Images are float32 (H, W, C), sRGB in [0, 1]; a fourth channel is straight alpha. Pixel centres lie at +0.5.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, measured at the pixels' edges."""

WHITE = (1.0, 1.0, 1.0)

SOLID = 0.5
"""Alpha above which a pixel shows the subject."""


def resample(image: Array, size: tuple[int, int], box: Box | None = None) -> Array:
    """Resample a rectangle of an image to another number of pixels, antialiased and with premultiplied colours.

    Args:
        image: (H, W, 3) or (H, W, 4).
        size: width and height of the result.
        box: the rectangle, in fractions of pixels and possibly beyond the image; the whole image by default.
            Outside, an image with alpha is transparent and one without repeats its edge.

    Returns:
        (height, width, 3) or (height, width, 4).
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    margins = [max(0, int(np.ceil(beyond))) for beyond in (-top, bottom - height, -left, right - width)]
    if any(margins):
        image = np.pad(image, (margins[:2], margins[2:], (0, 0)), mode="constant" if image.shape[2] == 4 else "edge")
    window = (left + margins[2], top + margins[0], right + margins[2], bottom + margins[0])

    def resize(channel: Array) -> Array:
        picture = Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=window, reducing_gap=3.0))

    if image.shape[2] == 3:
        return np.clip(np.stack([resize(image[..., i]) for i in range(3)], axis=-1), 0, 1)
    alpha = image[..., 3]
    resized_alpha = resize(alpha)
    # The bicubic filter overshoots: what is left of it at a silhouette must not divide into a colour.
    divisor = np.maximum(resized_alpha, 1e-4)
    colours = [resize(image[..., i] * alpha) / divisor for i in range(3)]
    resampled = np.clip(np.stack([*colours, resized_alpha], axis=-1), 0, 1)
    resampled[resampled[..., 3] < 0.5 / 255] = 0
    return resampled


def shrink(image: Array, max_size: int) -> Array:
    """Reduce an image so that its longer side has at most `max_size` pixels; a smaller one is returned as it is."""
    height, width = image.shape[:2]
    scale = max_size / max(height, width)
    if scale >= 1:
        return image
    return resample(image, (max(1, round(width * scale)), max(1, round(height * scale))))


def composite(image: Array, background: Array | tuple[float, float, float]) -> Array:
    """Lay an image over a background.

    Args:
        image: (H, W, 4), or (H, W, 3), which hides the background.
        background: an sRGB colour, or an image (H, W, 3).

    Returns:
        (H, W, 3).
    """
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:]
    return image[..., :3] * alpha + (1 - alpha) * np.asarray(background, dtype=np.float32)


def over(front: Array, back: Array) -> Array:
    """Lay an image over another of the same size (Porter and Duff 1984).

    Args:
        front: (H, W, 4).
        back: (H, W, 3) or (H, W, 4).

    Returns:
        An image like `back`.
    """
    if back.shape[2] == 3:
        return composite(front, back)
    behind = back[..., 3:] * (1 - front[..., 3:])
    alpha = front[..., 3:] + behind
    colours = (front[..., :3] * front[..., 3:] + back[..., :3] * behind) / np.maximum(alpha, 1e-6)
    return np.concatenate([colours, alpha], axis=-1)


def nearest_fill(values: Array, known: NDArray[np.bool_]) -> Array:
    """Give every unknown pixel the value of the nearest known one.

    Args:
        values: (H, W, C).
        known: (H, W); where nothing is known the values are returned as they are.

    Returns:
        (H, W, C).
    """
    if not known.any() or known.all():
        return values
    unknown = np.where(known, 0, 1).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of_label = np.zeros((int(labels.max()) + 1, values.shape[2]), values.dtype)
    value_of_label[labels[known]] = values[known]
    filled = values.copy()
    filled[~known] = value_of_label[labels[~known]]
    return filled


def extend_colours(rgba: Array, faint: float = 0.0) -> Array:
    """Replace the meaningless colours under zero alpha by those of the nearest opaque pixels; alpha stays.

    Filters that look beyond a silhouette, of a resampler or of a texture unit, then find the subject's colour there.

    Args:
        rgba: (H, W, 4).
        faint: alpha up to which colours are replaced; where resampling divided by it they are mostly rounding.

    Returns:
        (H, W, 4).
    """
    alpha = rgba[..., 3]
    if not alpha.any():
        return rgba
    opaque = alpha >= 0.95 * alpha.max()
    extended = rgba.copy()
    extended[..., :3] = np.where((alpha <= faint)[..., None], nearest_fill(rgba[..., :3], opaque), rgba[..., :3])
    return extended
