"""Slopes of functions of position that cannot be differentiated twice: differences between corners of a tetrahedron."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Values = Callable[[Tensor], Tensor]
"""(M,) of points (M, 3)."""


def corner_differences(values: Values, points: Tensor, reach: float) -> Tensor:
    """(N, 3) along the steepest rise of a function at points (N, 3), 4 `reach` times as long as the gradient.

    Four values are enough for three slopes, and part of the autograd graph like any others.

    Args:
        values: the function.
        points: (N, 3).
        reach: half of the side of the cube around the tetrahedron, in the unit of the points.
    """
    corners = points.new_tensor([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])
    raw = values((points[:, None] + reach * corners).reshape(-1, 3)).view(-1, 4)
    return raw @ corners.to(raw.dtype)


def gradients(values: Values, points: Tensor, reach: float) -> Tensor:
    """(N, 3) gradient of a function at points (N, 3), exact to the second order of `reach`."""
    return corner_differences(values, points, reach) / (4 * reach)
