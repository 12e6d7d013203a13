"""Structural similarity as a differentiable image loss (Wang et al. 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from a4d.render.kernels.structural_similarity import C1, C2, WEIGHTS, compare, compare_backward

Array = np.ndarray[Any, np.dtype[Any]]


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Mean structural similarity.

    Args:
        images: (B, H, W, C) in [0, 1].
        targets: (B, H, W, C) in [0, 1].

    Returns:
        Scalar in [-1, 1]; 1 where the images are equal.
    """
    return ssim_map(images, targets).mean()


def ssim_map(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of the neighbourhood of each pixel, differentiable by both images.

    The window is a Gaussian of 1.5 pixels cut to 11 x 11, the constants are 0.01^2 and 0.03^2, and beyond their border
    images are zero, as in 3DGS; at least 5 pixels from the border this is the similarity of the original paper.

    Args:
        images: (B, H, W, C) in [0, 1].
        targets: (B, H, W, C) in [0, 1].

    Returns:
        (B, H, W, C) in [-1, 1].

    Raises:
        ValueError: the shapes differ or are not of four axes.
    """
    if images.shape != targets.shape or images.dim() != 4:
        raise ValueError(f"expected two images (B, H, W, C), got {tuple(images.shape)} and {tuple(targets.shape)}")
    if images.device.type == "cpu" and images.dtype == torch.float32:
        similarity: Tensor = _Similarity.apply(images, targets.to(images))
        return similarity
    return convolved_ssim_map(images, targets.to(images))


def convolved_ssim_map(images: Tensor, targets: Tensor) -> Tensor:
    """`ssim_map` in plain torch, for any device and precision."""
    channels = images.shape[-1]
    a, b = images.movedim(-1, 1), targets.movedim(-1, 1)
    stacked = torch.cat([a, b, a * a + b * b, a * b], dim=1)
    window = torch.from_numpy(np.concatenate([WEIGHTS[:0:-1], WEIGHTS])).to(images).expand(4 * channels, 1, 1, -1)
    filtered = conv2d(stacked, window, padding=(0, 5), groups=4 * channels)
    filtered = conv2d(filtered, window.transpose(2, 3), padding=(5, 0), groups=4 * channels)
    mean_a, mean_b, squares, product = filtered.split(channels, dim=1)
    squares = squares - mean_a * mean_a - mean_b * mean_b
    product = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + float(C1)) / (mean_a * mean_a + mean_b * mean_b + float(C1))
    return (luminance * (2 * product + float(C2)) / (squares + float(C2))).movedim(1, -1)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    images = torch.zeros(1, 2, 2, 3, requires_grad=True)
    ssim(images, torch.zeros_like(images)).backward()


class _Similarity(torch.autograd.Function):
    """The kernels of `structural_similarity`, with gradients by both images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, targets: Tensor) -> Tensor:
        """(B, H, W, C) similarities of images and targets of that shape."""
        values, derivatives = _compare(images, targets, images.requires_grad)
        ctx.save_for_backward(images, targets)
        ctx.derivatives = derivatives
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients by images and targets, each where it is wanted."""
        images, targets = ctx.saved_tensors
        by_images, by_targets = None, None
        if ctx.needs_input_grad[0]:
            by_images = _gradient(images, targets, ctx.derivatives, upstream)
        if ctx.needs_input_grad[1]:
            by_targets = _gradient(targets, images, _compare(targets, images, True)[1], upstream)
        return by_images, by_targets


def _compare(images: Tensor, targets: Tensor, wants_derivatives: bool) -> tuple[Tensor, Array]:
    values = torch.empty(images.shape)
    rows = _rows(values)
    derivatives = np.empty((3, *rows.shape) if wants_derivatives else (3, 0, 0, 0), np.float32)
    compare(_rows(images), _rows(targets), images.shape[-1], rows, derivatives)
    return values, derivatives


def _gradient(images: Tensor, targets: Tensor, derivatives: Array, upstream: Tensor) -> Tensor:
    gradient = torch.empty(images.shape)
    compare_backward(_rows(images), _rows(targets), images.shape[-1], derivatives, _rows(upstream), _rows(gradient))
    return gradient


def _rows(images: Tensor) -> Array:
    """(B, H, W * C) view of images, or a copy where they do not lie in memory like that."""
    return images.detach().contiguous().flatten(2).numpy()
