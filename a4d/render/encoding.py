"""Encodings of positions and time: multi-resolution grids, hexplanes and frequencies, over interchangeable backends.

Grids and hexplanes take coordinates in [0, 1] and clamp what lies outside, where the coordinate's gradient is zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.errors import BackendUnavailableError
from a4d.render.grid_layout import GridConfig, grid_layout
from a4d.render.hexplane_layout import SPACE_PLANES, TIME_PLANES, HexplaneConfig, hexplane_layout

__all__ = [
    "BACKENDS",
    "SPACE_PLANES",
    "TIME_PLANES",
    "Backend",
    "FrequencyConfig",
    "FrequencyEncoding",
    "GridConfig",
    "GridEncoding",
    "HexplaneConfig",
    "HexplaneEncoding",
    "availability",
    "progressive_level_weights",
]

Backend = Literal["auto", "torch", "numba", "tinycudann"]

BACKENDS = {
    "torch": "a4d.render.encoding_reference",
    "numba": "a4d.render.encoding_numba",
    "tinycudann": "a4d.render.encoding_tinycudann",
}
"""The module of each backend, imported when it is first used."""


def availability() -> dict[str, str]:
    """Why each backend cannot be used here, by name; an empty string where it can."""
    return {name: import_module(module).unavailable() for name, module in BACKENDS.items()}


def progressive_level_weights(levels: int, active_levels: float) -> tuple[float, ...]:
    """Weights of a coarse-to-fine schedule: 1 for the first `active_levels`, the fraction for the next, then 0."""
    return tuple(min(max(active_levels - level, 0.0), 1.0) for level in range(levels))


def _choose(backend: Backend, values: Tensor, config: Config) -> ModuleType:
    """The module that encodes with these parameters: the one asked for, or the fastest that takes them.

    Raises:
        BackendUnavailableError: the backend asked for is not installed, or does not take them.
    """
    reason = ""
    for name in ("numba", "tinycudann", "torch") if backend == "auto" else (backend,):
        module = import_module(BACKENDS[name])
        reason = module.refuses(values, config) or module.unavailable()
        if not reason:
            return module
    raise BackendUnavailableError(reason, "Use backend 'auto', or see `a4d doctor`")


def _checked_level_weights(levels: int, level_weights: Sequence[float] | None) -> tuple[float, ...]:
    weights = (1.0,) * levels if level_weights is None else tuple(float(weight) for weight in level_weights)
    if len(weights) != levels or not all(0 <= weight <= 1 for weight in weights):
        raise ValueError(f"level_weights must be {levels} numbers in [0, 1]")
    return weights


class GridEncoding(nn.Module):
    """A multi-resolution hash or tiled grid of learnt features (Müller et al. 2022).

    The parameters are one flat vector in the layout of tiny-cuda-nn, whatever the backend.

    Args:
        config: the grid.
        backend: `auto` takes numba on the CPU, tinycudann on CUDA where it is installed and has this grid, else torch.
    """

    def __init__(self, config: GridConfig, backend: Backend = "auto") -> None:
        super().__init__()
        self.config = config
        self.backend = backend
        self.layout = grid_layout(config)
        self.output_features = config.levels * config.features
        self.table = nn.Parameter(torch.empty(self.layout.parameters))
        self.initialise()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None, bound: float = 1e-4) -> None:
        """Draw every feature uniformly from [-bound, bound]."""
        self.table.uniform_(-bound, bound, generator=generator)

    def forward(
        self,
        positions: Tensor,  # (N, D) in [0, 1]
        level_weights: Sequence[float] | None = None,  # (L,) in [0, 1]
    ) -> Tensor:
        """Features at positions, (N, L * F); differentiable once, by the table and by the positions.

        A level of weight 0 gives exact zeros and gets no gradient; without weights every level counts in full.

        Raises:
            BackendUnavailableError: the backend asked for is not installed, or does not take this grid or device.
        """
        weights = _checked_level_weights(self.config.levels, level_weights)
        _check_columns("positions", positions, self.config.dimensions)
        backend = _choose(self.backend, self.table, self.config)
        positions = positions.to(self.table.dtype).clamp(0, 1)
        features: Tensor = backend.encode_grid(positions, self.table, self.layout, weights)
        return features


class HexplaneEncoding(nn.Module):
    """Six planes of learnt features over pairs of x, y, z and time, multiplied; levels are concatenated.

    The product over planes and the concatenation over levels are those of K-Planes (Fridovich-Keil et al. 2023),
    4D Gaussian Splatting and Animate3D. Planes of space start uniform in [0.1, 0.5] and planes of time at 1, so that
    the encoding starts out constant in time.

    Args:
        config: the planes.
        backend: `auto` takes numba for float32 on the CPU, else torch.
    """

    def __init__(self, config: HexplaneConfig, backend: Backend = "auto") -> None:
        super().__init__()
        self.config = config
        self.backend = backend
        self.layout = hexplane_layout(config)
        self.frozen_layout = self.layout.frozen_in_time()
        self.output_features = len(config.resolutions) * config.features
        self.space = nn.Parameter(torch.empty(self.layout.space_parameters))
        self.time = nn.Parameter(torch.empty(self.layout.time_parameters))
        self.initialise()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw the planes of space anew and set the planes of time to 1."""
        self.space.uniform_(0.1, 0.5, generator=generator)
        self.time.fill_(1)

    def plane(self, level: int, name: str) -> Tensor:
        """A view (rows, columns, F) of one plane, such as `xt`, whose columns run along x and rows along time."""
        record = self.layout.planes[level, (SPACE_PLANES + TIME_PLANES).index(name)]
        values = self.time if record["timed"] else self.space
        shape = (int(record["rows"]), int(record["columns"]), self.config.features)
        return values.as_strided(shape, (int(record["row_step"]), self.config.features, 1), int(record["offset"]))

    def forward(
        self,
        positions: Tensor,  # (N, 3) in [0, 1]
        times: Tensor,  # () or (N,) in [0, 1]
    ) -> Tensor:
        """Features at positions and times, (N, L * F); differentiable once, by the planes, positions and times.

        Many points at one instant are faster with a single time: the planes of time are interpolated once.

        Raises:
            BackendUnavailableError: the backend asked for is not installed, or does not take these tensors.
        """
        _check_columns("positions", positions, 3)
        if times.shape not in ((), positions.shape[:1]):
            raise ValueError(f"times must be () or ({len(positions)},), not {tuple(times.shape)}")
        backend = _choose(self.backend, self.space, self.config)
        positions = positions.to(self.space.dtype).clamp(0, 1)
        times = times.to(self.space.dtype).clamp(0, 1)
        if times.ndim == 0:
            features: Tensor = backend.encode_hexplane(positions, self.space, self._lines_at(times), self.frozen_layout)
        else:
            coordinates = torch.cat([positions, times[:, None]], dim=1)
            features = backend.encode_hexplane(coordinates, self.space, self.time, self.layout)
        return features

    def _lines_at(self, time: Tensor) -> Tensor:
        """The planes of time at one instant, flat in the layout that is frozen in time."""
        lines = []
        blocks = self.time.split([math.prod(shape) for shape in self.layout.time_blocks])
        for block, shape in zip(blocks, self.layout.time_blocks, strict=True):
            row = time * (shape[0] - 1)
            before = row.detach().nan_to_num().long().clamp(max=shape[0] - 2)
            rows = block.view(shape[0], -1).index_select(0, torch.stack([before, before + 1]))
            lines.append(torch.lerp(rows[0], rows[1], row - before))
        return torch.cat(lines)


class FrequencyConfig(Config):
    """Sines and cosines of doubling frequencies."""

    kind: Literal["frequency"] = "frequency"
    dimensions: int = Field(default=3, ge=1)
    frequencies: int = Field(default=10, ge=1, le=32)
    include_input: bool = False


class FrequencyEncoding(nn.Module):
    """sin(2^k pi x) and cos(2^k pi x) for k = 0, 1, ... (Mildenhall et al. 2020, section 5.1), of any real x.

    Features are ordered by coordinate, then frequency, then sine before cosine, as in tiny-cuda-nn; with
    `include_input` the coordinates come first.
    """

    def __init__(self, config: FrequencyConfig) -> None:
        super().__init__()
        self.config = config
        self.output_features = config.dimensions * (2 * config.frequencies + config.include_input)

    def forward(
        self,
        positions: Tensor,  # (N, D)
        level_weights: Sequence[float] | None = None,  # (frequencies,) in [0, 1]
    ) -> Tensor:
        """Features at positions, (N, D * 2 * frequencies), the coordinates before them where they are included."""
        _check_columns("positions", positions, self.config.dimensions)
        weights = positions.new_tensor(_checked_level_weights(self.config.frequencies, level_weights))
        factors = positions.new_tensor([math.pi * 2**k for k in range(self.config.frequencies)])
        angles = positions[..., None] * factors
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1) * weights[:, None]
        waves = waves.flatten(start_dim=1)
        return torch.cat([positions, waves], dim=1) if self.config.include_input else waves


def _check_columns(name: str, values: Tensor, columns: int) -> None:
    if values.ndim != 2 or values.shape[1] != columns:
        raise ValueError(f"{name} must be (N, {columns}), not {tuple(values.shape)}")
