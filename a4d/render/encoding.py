"""Encodings of positions and time: multi-resolution grids, hexplanes and frequencies, over interchangeable backends.

Grids and hexplanes take coordinates in [0, 1] and clamp what lies outside, where the coordinate's gradient is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.errors import BackendUnavailableError
from a4d.render import backends
from a4d.render.grid_layout import GridConfig, grid_layout
from a4d.render.hexplane_layout import SPACE_PLANES, TIME_PLANES, HexplaneConfig, hexplane_layout

__all__ = [
    "GRID_BACKENDS",
    "HEXPLANE_BACKENDS",
    "SPACE_PLANES",
    "TIME_PLANES",
    "FrequencyConfig",
    "FrequencyEncoding",
    "GridConfig",
    "GridEncoding",
    "HexplaneConfig",
    "HexplaneEncoding",
    "encoding_backends",
    "progressive_level_weights",
]

GRID_BACKENDS = {
    "reference": "a4d.render.encoding_reference:encode_grid",
    "numba": "a4d.render.encoding_numba:encode_grid",
    "tinycudann": "a4d.render.encoding_tinycudann:encode_grid",
}
HEXPLANE_BACKENDS = {
    "reference": "a4d.render.encoding_reference:encode_hexplane",
    "numba": "a4d.render.encoding_numba:encode_hexplane",
}
REMEDIES = {
    "numba": "Install it with: pip install numba",
    "tinycudann": "Build it for this GPU with the command in pyproject.toml, or use the backend 'auto'",
}
DEVICES = {"numba": "cpu", "tinycudann": "cuda"}
"""Where a backend runs, in single precision; the reference runs anywhere, in any."""


def encoding_backends() -> dict[str, str | None]:
    """For each backend, None if it can be used on this machine, else the reason why not."""
    return backends.availability(GRID_BACKENDS)


def progressive_level_weights(levels: int, active_levels: float) -> tuple[float, ...]:
    """Weights of a coarse-to-fine schedule: 1 for the first `active_levels`, the fraction for the next, then 0."""
    return tuple(min(max(active_levels - level, 0.0), 1.0) for level in range(levels))


def _choose(table: Mapping[str, str], backend: str, values: Tensor, kind: str) -> Callable[..., Tensor]:
    """The function that encodes with these parameters: of the backend asked for, or of the fastest that takes them.

    Raises:
        UsageError: there is no such backend.
        BackendUnavailableError: the backend is not installed, or does not take them.
    """
    single = values.dtype == torch.float32
    # The tiled grids of tiny-cuda-nn have neither a table of our size nor our way of wrapping.
    has_kind = {"tinycudann": kind == "hash-grid"}
    if backend == "auto":
        fitting = [
            name
            for name, device in DEVICES.items()
            if name in table and device == values.device.type and single and has_kind.get(name, True)
        ]
        usable = [name for name in fitting if not isinstance(backends.load(table[name]), str)]
        return backends.choose(table, usable[0] if usable else "reference", REMEDIES)
    function = backends.choose(table, backend, REMEDIES)
    device = DEVICES.get(backend, values.device.type)
    if values.device.type != device or (backend in DEVICES and not single):
        raise BackendUnavailableError(
            f"the backend '{backend}' encodes float32 on {device}, not {values.dtype} on {values.device.type}",
            "Use the backend 'auto'",
        )
    if not has_kind.get(backend, True):
        raise BackendUnavailableError(f"the backend '{backend}' has no {kind}", "Use the backend 'auto'")
    return function


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
        backend: `reference` (any device and precision, slow), `numba` (CPU, float32), `tinycudann` (CUDA, float32, hash
            grids), or `auto` for the fastest that can be used.
    """

    def __init__(self, config: GridConfig, backend: str = "auto") -> None:
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
            UsageError: there is no backend of that name.
            BackendUnavailableError: the backend asked for is not installed, or does not take this grid or device.
        """
        weights = _checked_level_weights(self.config.levels, level_weights)
        _check_columns("positions", positions, self.config.dimensions)
        encode = _choose(GRID_BACKENDS, self.backend, self.table, self.config.kind)
        positions = positions.to(self.table.dtype).clamp(0, 1)
        return encode(positions, self.table, self.layout, weights)


class HexplaneEncoding(nn.Module):
    """Six planes of learnt features over pairs of x, y, z and time, multiplied; levels are concatenated.

    The product over planes and the concatenation over levels are those of K-Planes (Fridovich-Keil et al. 2023),
    4D Gaussian Splatting and Animate3D. Planes of space start uniform in [0.1, 0.5] and planes of time at 1, so that
    the encoding starts out constant in time.

    Args:
        config: the planes.
        backend: `reference` (any device and precision), `numba` (CPU, float32), or `auto` for the faster one here.
    """

    def __init__(self, config: HexplaneConfig, backend: str = "auto") -> None:
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
            UsageError: there is no backend of that name.
            BackendUnavailableError: the backend asked for is not installed, or does not take these tensors.
        """
        _check_columns("positions", positions, 3)
        if times.shape not in ((), positions.shape[:1]):
            raise ValueError(f"times must be () or ({len(positions)},), not {tuple(times.shape)}")
        encode = _choose(HEXPLANE_BACKENDS, self.backend, self.space, self.config.kind)
        positions = positions.to(self.space.dtype).clamp(0, 1)
        times = times.to(self.space.dtype).clamp(0, 1)
        if times.ndim == 0:
            return encode(positions, self.space, self._lines_at(times), self.frozen_layout)
        coordinates = torch.cat([positions, times[:, None]], dim=1)
        return encode(coordinates, self.space, self.time, self.layout)

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
    dimensions: int = Field(default=3, ge=1, le=4)
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
