"""Images of Gaussians that move: those of each moment are drawn together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from a4d.geometry.gaussians import Gaussians
from a4d.render.render import Render, concatenated


def render_by_moment(
    moments: Callable[[list[float]], Sequence[Gaussians]],
    draw: Callable[[Gaussians, Tensor], Render],
    times: Tensor,  # (B,) in [0, 1]
) -> Render:
    """B views, in their order.

    Args:
        moments: the Gaussians at several times, asked for once.
        draw: the views of one moment from its Gaussians and the (K,) indices of these views.
        times: of the views.
    """
    distinct, place = times.unique(return_inverse=True)
    order = [(place == index).nonzero()[:, 0] for index in range(len(distinct))]
    each = moments([float(time) for time in distinct])
    parts = [draw(gaussians, chosen) for gaussians, chosen in zip(each, order, strict=True)]
    return concatenated(parts)[torch.cat(order).argsort()]
