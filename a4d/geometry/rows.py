"""Rows of a table by index, with gradients that are the same bits every time."""

from __future__ import annotations

from torch import Tensor


def rows(table: Tensor, indices: Tensor) -> Tensor:
    """`table[indices]`, whose gradient is summed in the order of the indices.

    That of an indexed read is summed by several threads as they come, so that a fit could not be repeated.

    Args:
        table: (N, ...).
        indices: (...) int64.

    Returns:
        (*indices.shape, *table.shape[1:]).
    """
    return table.index_select(0, indices.flatten()).view(*indices.shape, *table.shape[1:])
