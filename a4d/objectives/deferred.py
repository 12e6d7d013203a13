"""Renders whose graph is built patch by patch when gradients come back, so that memory is that of one patch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from a4d.geometry.cameras import Cameras


def render_in_patches(
    render: Callable[[Cameras], Tensor],
    cameras: Cameras,
    patch: int,
) -> Tensor:
    """A whole image whose backward pass renders square patches anew, one at a time.

    The forward pass keeps no graph; an objective reads the whole image and sends its gradient on every pixel; then each
    patch is rendered again with a graph, receives its part of the gradient, and is freed. What the renderer draws from
    the global random state is drawn alike both times.

    Args:
        render: images (B, h, w, C) of cameras; every pixel depends on its own ray alone. (A Gaussian rasteriser also
            limits its linearisation by the field of view, which is smaller for a patch: patches differ by thousandths.)
        cameras: B.
        patch: side in pixels; patches at the border are smaller.

    Returns:
        (B, H, W, C).
    """
    rows = []
    for top in range(0, cameras.height, patch):
        height = min(patch, cameras.height - top)
        columns = []
        for left in range(0, cameras.width, patch):
            part = cameras.cropped(left, top, min(patch, cameras.width - left), height)
            columns.append(checkpoint(render, part, use_reentrant=False))
        rows.append(torch.cat(columns, dim=2))
    return torch.cat(rows, dim=1)
