"""The specification of every grid encoding, in plain torch: any device, any floating dtype, gradients by autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from a4d.render.grid_layout import GridLayout
from a4d.render.hexplane_layout import HexplaneLayout

UINT32 = 2**32


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, level_weights: Sequence[float]) -> Tensor:
    """Interpolate every level of a multi-resolution grid.

    Args:
        positions: (N, D) in [0, 1].
        table: (layout.parameters,) flat features, of the same dtype.
        layout: where the features lie.
        level_weights: (L,) factors; a level of weight 0 is exactly 0 and gets no gradient.

    Returns:
        (N, L * F) features, level by level.
    """
    entries = table.view(-1, layout.config.features)
    encoded = []
    for level, weight in zip(layout.levels, level_weights, strict=True):
        if weight == 0:
            encoded.append(entries.new_zeros(len(positions), entries.shape[1]))
        else:
            encoded.append(weight * _Level.apply(positions, entries, level, layout.config.smooth))
    return torch.cat(encoded, dim=1)


class _Level(torch.autograd.Function):
    """One level's features, computed again when gradients come back.

    What autograd would keep of a point, indices and weights of eight corners per level, is many times its features.
    """

    @staticmethod
    def forward(ctx: Any, positions: Tensor, entries: Tensor, level: np.void, smooth: bool) -> Tensor:
        """(N, F) features of positions (N, 3) in [0, 1]."""
        ctx.save_for_backward(positions, entries)
        ctx.level, ctx.smooth = level, smooth
        return _encode_level(positions, entries, level, smooth)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by positions and entries, each where it is wanted."""
        needed = ctx.needs_input_grad[:2]
        positions, entries = (
            saved.detach().requires_grad_(is_needed) for saved, is_needed in zip(ctx.saved_tensors, needed, strict=True)
        )
        with torch.enable_grad():
            encoded = _encode_level(positions, entries, ctx.level, ctx.smooth)
        wanted = [each for each in (positions, entries) if each.requires_grad]
        found = iter(torch.autograd.grad(encoded, wanted, gradient))
        return *(next(found) if is_needed else None for is_needed in needed), None, None


def _encode_level(positions: Tensor, entries: Tensor, level: np.void, smooth: bool) -> Tensor:
    """One level's interpolated features, (N, F)."""
    # In double precision the product of two single ones is exact: every backend finds the same cell and fraction.
    scaled = positions.double() * float(level["scale"]) + 0.5
    cell = scaled.detach().floor()
    upper = (scaled - cell).to(entries.dtype)
    if smooth:
        upper = upper * upper * (3 - 2 * upper)
    lower = 1 - upper
    dimensions = positions.shape[1]
    encoded = entries.new_zeros(len(positions), entries.shape[1])
    for corner in range(2**dimensions):
        bits = [corner >> axis & 1 for axis in range(dimensions)]
        vertex = cell.long() + torch.tensor(bits, device=positions.device)
        weight = math.prod((upper if bit else lower)[:, axis, None] for axis, bit in enumerate(bits))
        encoded = encoded + weight * functional.embedding(_entry(vertex, level), entries)
    return encoded


def _entry(vertex: Tensor, level: np.void) -> Tensor:
    """The entry (N,) in which the features of a vertex (N, D) of integer coordinates lie."""
    # Products and sums are those of 32-bit unsigned integers, which torch does not have: taken modulo 2^32.
    terms = [column * int(m) % UINT32 for column, m in zip(vertex.unbind(1), level["multipliers"], strict=False)]
    index = terms[0]
    for term in terms[1:]:
        index = index ^ term if level["hashed"] else index + term
    return int(level["offset"]) + index % int(level["size"])


def encode_hexplane(coordinates: Tensor, space: Tensor, time: Tensor, layout: HexplaneLayout) -> Tensor:
    """Multiply the six bilinearly interpolated planes of every level.

    Args:
        coordinates: (N, 4) x, y, z, t in [0, 1], or (N, 3) where the time planes have one row.
        space: (layout.space_parameters,) flat planes, of the same dtype.
        time: (layout.time_parameters,) flat planes, of the same dtype.
        layout: where the planes lie.

    Returns:
        (N, L * F) features, level by level.
    """
    levels = []
    for planes in layout.planes:
        product = coordinates.new_ones(layout.features, len(coordinates))
        for plane in planes:
            product = product * _sample_plane(coordinates, time if plane["timed"] else space, plane, layout.features)
        levels.append(product.t())
    return torch.cat(levels, dim=1)


def _sample_plane(coordinates: Tensor, values: Tensor, plane: np.void, features: int) -> Tensor:
    """One plane's interpolated features, (F, N)."""
    rows, columns = int(plane["rows"]), int(plane["columns"])
    strides = (1, int(plane["row_step"]), features)
    image = values.as_strided((features, rows, columns), strides, int(plane["offset"]))
    column = coordinates[:, int(plane["column_axis"])]
    row = coordinates[:, int(plane["row_axis"])] if rows > 1 else torch.zeros_like(column)
    where = 2 * torch.stack([column, row], dim=-1) - 1
    return functional.grid_sample(image[None], where[None, None], align_corners=True, padding_mode="border")[0, :, 0]
