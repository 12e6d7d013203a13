"""Encodings on the CPU: Numba kernels with analytic gradients, deterministic whatever the number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from a4d.render.grid_layout import GridConfig, GridLayout, grid_layout
from a4d.render.hexplane_layout import HexplaneConfig, HexplaneLayout, hexplane_layout
from a4d.render.kernels import encoding_grid, hexplane


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, level_weights: Sequence[float]) -> Tensor:
    """Interpolate every level of a grid; see `encoding_reference.encode_grid`, here float32 on the CPU."""
    encoded: Tensor = _Grid.apply(positions, table, layout, tuple(level_weights))
    return encoded


def _entries(values: Tensor, layout: GridLayout) -> np.ndarray:
    """Flat parameters as an array (entries, F) on the same memory."""
    return values.detach().numpy().reshape(-1, layout.config.features)


class _Grid(torch.autograd.Function):
    """The kernels of `encoding_grid`, with gradients by positions and table."""

    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, table: Tensor, layout: GridLayout, level_weights: tuple[float, ...]
    ) -> Tensor:
        """(N, L * F) features of positions (N, 3) in [0, 1]."""
        positions = positions.contiguous()
        ctx.save_for_backward(positions, table)
        ctx.layout, ctx.level_weights = layout, np.asarray(level_weights, np.float32)
        ctx.channels = (0,) * layout.config.features
        encoded = positions.new_empty(len(positions), len(layout.levels) * len(ctx.channels))
        encoding_grid.encode(
            positions.detach().numpy(),
            _entries(table, layout),
            layout.levels,
            ctx.level_weights,
            layout.config.smooth,
            ctx.channels,
            encoded.numpy(),
        )
        return encoded

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients by positions and table, each where it is wanted."""
        positions, table = ctx.saved_tensors
        layout: GridLayout = ctx.layout
        weights, smooth, channels = ctx.level_weights, layout.config.smooth, ctx.channels
        points, arriving = positions.detach().numpy(), gradient.contiguous().numpy()
        position_gradient = table_gradient = None
        if ctx.needs_input_grad[0]:
            position_gradient = torch.empty_like(positions)
            entries, result = _entries(table, layout), position_gradient.numpy()
            encoding_grid.backward_positions(
                points, entries, layout.levels, weights, smooth, channels, arriving, result
            )
        if ctx.needs_input_grad[1]:
            table_gradient = torch.zeros_like(table)
            workers, result = min(numba.get_num_threads(), len(layout.levels)), _entries(table_gradient, layout)
            encoding_grid.backward_table(points, layout.levels, weights, smooth, channels, arriving, workers, result)
        return position_gradient, table_gradient, None, None


def encode_hexplane(coordinates: Tensor, space: Tensor, time: Tensor, layout: HexplaneLayout) -> Tensor:
    """Multiply the planes of every level; see `encoding_reference.encode_hexplane`, here float32 on the CPU."""
    encoded: Tensor = _Hexplane.apply(coordinates, space, time, layout)
    return encoded


class _Hexplane(torch.autograd.Function):
    """The kernels of `hexplane`, with gradients by coordinates and planes."""

    @staticmethod
    def forward(ctx: Any, coordinates: Tensor, space: Tensor, time: Tensor, layout: HexplaneLayout) -> Tensor:
        """(N, P * F) features of coordinates (N, 4) in [0, 1]: positions and time."""
        coordinates = coordinates.contiguous()
        ctx.save_for_backward(coordinates, space, time)
        ctx.planes, ctx.channels = layout.planes, (0,) * layout.features
        encoded = coordinates.new_empty(len(coordinates), len(layout.planes) * layout.features)
        hexplane.encode(
            coordinates.detach().numpy(),
            space.detach().numpy(),
            time.detach().numpy(),
            ctx.planes,
            ctx.channels,
            encoded.numpy(),
        )
        return encoded

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """Gradients by coordinates, and by the planes over space and over time where either is wanted."""
        coordinates, space, time = ctx.saved_tensors
        points = coordinates.detach().numpy()
        coordinate_gradient = torch.empty_like(coordinates)
        plane_gradients = np.empty((*ctx.planes.shape, len(coordinates), len(ctx.channels)), np.float32)
        hexplane.backward_points(
            points,
            space.detach().numpy(),
            time.detach().numpy(),
            ctx.planes,
            ctx.channels,
            gradient.contiguous().numpy(),
            plane_gradients,
            coordinate_gradient.numpy(),
        )
        if not any(ctx.needs_input_grad[1:3]):
            return coordinate_gradient, None, None, None
        space_gradient, time_gradient = torch.zeros_like(space), torch.zeros_like(time)
        workers = min(numba.get_num_threads(), ctx.planes.size)
        hexplane.backward_planes(
            points,
            ctx.planes,
            ctx.channels,
            plane_gradients,
            workers,
            space_gradient.numpy(),
            time_gradient.numpy(),
        )
        return coordinate_gradient, space_gradient, time_gradient, None


def warm_up() -> None:
    """Compile every kernel for the default numbers of features, or load it from the cache."""
    layout = grid_layout(GridConfig(levels=1))
    positions = torch.zeros(1, 3, requires_grad=True)
    table = torch.zeros(layout.parameters, requires_grad=True)
    encode_grid(positions, table, layout, (1.0,)).sum().backward()
    planes = hexplane_layout(HexplaneConfig(resolutions=((2, 2, 2, 2),)))
    coordinates = torch.zeros(1, 4, requires_grad=True)
    space = torch.zeros(planes.space_parameters, requires_grad=True)
    time = torch.zeros(planes.time_parameters, requires_grad=True)
    encode_hexplane(coordinates, space, time, planes).sum().backward()
