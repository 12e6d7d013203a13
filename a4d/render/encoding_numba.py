"""Encodings on the CPU: Numba kernels with analytic gradients, deterministic whatever the number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from a4d.config import Config
from a4d.render.grid_layout import GridConfig, GridLayout, grid_layout
from a4d.render.hexplane_layout import HexplaneConfig, HexplaneLayout, hexplane_layout
from a4d.render.kernels import encoding_grid, hexplane


def unavailable() -> str:
    """Why this backend cannot be used here; empty, for it always can."""
    return ""


def refuses(values: Tensor, config: Config) -> str:
    """Why this backend does not take an encoding's parameters, or an empty string."""
    if values.device.type == "cpu" and values.dtype == torch.float32:
        return ""
    return f"the numba encodings take float32 on the CPU, not {values.dtype} on {values.device}"


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, level_weights: Sequence[float]) -> Tensor:
    """Interpolate every level of a multi-resolution grid; see `encoding_reference.encode_grid`, here float32 on the CPU."""
    encoded: Tensor = _Grid.apply(positions, table, layout, tuple(level_weights))
    return encoded


class _Grid(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, table: Tensor, layout: GridLayout, level_weights: tuple[float, ...]
    ) -> Tensor:
        positions = positions.contiguous()
        ctx.save_for_backward(positions, table)
        ctx.layout, ctx.level_weights = layout, np.asarray(level_weights, np.float32)
        ctx.channels = (0,) * layout.config.features
        encoded = positions.new_empty(len(positions), len(layout.levels) * len(ctx.channels))
        encoding_grid.encode(
            positions.detach().numpy(),
            table.detach().numpy().reshape(-1, len(ctx.channels)),
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
        positions, table = ctx.saved_tensors
        layout: GridLayout = ctx.layout
        gradient = gradient.contiguous().numpy()
        shared = (layout.levels, ctx.level_weights, layout.config.smooth, ctx.channels, gradient)
        position_gradient = table_gradient = None
        if ctx.needs_input_grad[0]:
            position_gradient = torch.empty_like(positions)
            entries = table.detach().numpy().reshape(-1, len(ctx.channels))
            encoding_grid.backward_positions(positions.detach().numpy(), entries, *shared, position_gradient.numpy())
        if ctx.needs_input_grad[1]:
            table_gradient = torch.zeros_like(table)
            entries = table_gradient.numpy().reshape(-1, len(ctx.channels))
            workers = min(numba.get_num_threads(), len(layout.levels))
            encoding_grid.backward_table(positions.detach().numpy(), *shared, workers, entries)
        return position_gradient, table_gradient, None, None


def encode_hexplane(coordinates: Tensor, space: Tensor, time: Tensor, layout: HexplaneLayout) -> Tensor:
    """Multiply the planes of every level; see `encoding_reference.encode_hexplane`, here float32 on the CPU."""
    encoded: Tensor = _Hexplane.apply(coordinates, space, time, layout)
    return encoded


class _Hexplane(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coordinates: Tensor, space: Tensor, time: Tensor, layout: HexplaneLayout) -> Tensor:
        coordinates = coordinates.contiguous()
        ctx.save_for_backward(coordinates, space, time)
        ctx.planes, ctx.channels = layout.planes, (0,) * layout.features
        encoded = coordinates.new_empty(len(coordinates), len(layout.planes) * layout.features)
        arrays = [tensor.detach().numpy() for tensor in (coordinates, space, time)]
        hexplane.encode(*arrays, ctx.planes, ctx.channels, encoded.numpy())
        return encoded

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        coordinates, space, time = ctx.saved_tensors
        arrays = [tensor.detach().numpy() for tensor in (coordinates, space, time)]
        coordinate_gradient = torch.empty_like(coordinates)
        plane_gradients = np.empty((*ctx.planes.shape, len(coordinates), len(ctx.channels)), np.float32)
        hexplane.backward_points(
            *arrays,
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
            arrays[0],
            ctx.planes,
            ctx.channels,
            plane_gradients,
            workers,
            space_gradient.numpy(),
            time_gradient.numpy(),
        )
        return coordinate_gradient, space_gradient, time_gradient, None


def warm_up() -> None:
    """Compile every kernel for the usual numbers of features, or load it from the cache."""
    for features in (1, 2, 4, 8):
        layout = grid_layout(GridConfig(dimensions=2, levels=1, features=features, finest_resolution=16))
        positions = torch.zeros(1, 2, requires_grad=True)
        table = torch.zeros(layout.parameters, requires_grad=True)
        encode_grid(positions, table, layout, (1.0,)).sum().backward()
    plane_layout = hexplane_layout(HexplaneConfig(resolutions=((2, 2, 2, 2),)))
    coordinates = torch.zeros(1, 4, requires_grad=True)
    space = torch.zeros(plane_layout.space_parameters, requires_grad=True)
    time = torch.zeros(plane_layout.time_parameters, requires_grad=True)
    encode_hexplane(coordinates, space, time, plane_layout).sum().backward()
