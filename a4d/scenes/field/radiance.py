"""Density and colour as functions of position and time: a multi-resolution grid, and a small network behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.geometry.surfaces.differences import corner_differences
from a4d.render.encoding import GridConfig, GridEncoding
from a4d.render.grid_layout import grid_layout
from a4d.scenes.perceptron import NetworkConfig, Perceptron
from a4d.scenes.seed_volume import SeedVolume

SEED_RESOLUTION = 64
"""Cells of the volume that keeps the distances to the shape that a field starts from."""

MOST_EXPONENT = 15.0
"""Where the gradient of the exponential stops growing (Müller et al. 2022)."""


class DensityConfig(Config):
    """How the network's first output becomes a density, and the ball that an untrained field shows."""

    activation: Literal["exp", "softplus"] = "exp"
    bias: float = Field(default=0.0, description="added before the activation, everywhere")
    blob: float = Field(default=5.0, ge=0, description="added before the activation in the centre")
    blob_radius: float = Field(default=0.3, gt=0, description="metres")
    blob_shape: Literal["gaussian", "cone", "seed"] = Field(
        default="gaussian",
        description="blob exp(-r²/2R²) (DreamFusion); blob (1 - r/R), negative outside (Magic3D); or with the distance "
        "d to what is known of the shape, blob (1/2 - d/R) between blob and -blob",
    )


class Grid4D(Config):
    """A grid over space and time whose features are added to those of the static one (threestudio's Animate124)."""

    kind: Literal["grid-4d"] = "grid-4d"
    table: int = Field(default=2**15, ge=8, le=2**24, description="most entries per level, a power of two")
    base_resolution: int = Field(default=8, ge=1, le=2**16)
    finest_resolution: int = Field(default=256, ge=1, le=2**19)


class GridStack(Config):
    """One static grid per instant, interpolated between neighbouring instants (Animate124, section 3.2)."""

    kind: Literal["grid-stack"] = "grid-stack"
    count: int = Field(default=16, ge=2, le=256, description="instants, the first and the last at the clip's ends")


TimeConfig = Annotated[Grid4D | GridStack, Field(discriminator="kind")]


class _TruncatedExponential(torch.autograd.Function):
    """The exponential, whose gradient stops growing at `MOST_EXPONENT`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """The exponentials of the values."""
        ctx.save_for_backward(values)
        return values.exp()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The gradient by the values."""
        (values,) = ctx.saved_tensors
        return gradient * values.clamp(max=MOST_EXPONENT).exp()


class StaticFeatures(nn.Module):
    """Features of a position alone.

    Args:
        config: the grid.
    """

    def __init__(self, config: GridConfig) -> None:
        super().__init__()
        self.instants = 1
        self.space = GridEncoding(config)

    @property
    def moving(self) -> list[nn.Parameter]:
        """Parameters that time alone needs."""
        return []

    def initialise(self, generator: torch.Generator) -> None:
        """Draw small features; what time adds to them starts at nothing."""
        self.space.initialise(generator)

    def adopt(self, static: StaticFeatures) -> None:
        """Start as a static field's features, at all times."""
        self.space.load_state_dict(static.space.state_dict())

    def forward(self, unit: Tensor, times: Tensor, level_weights: Sequence[float]) -> Tensor:
        """Features (N, L * F) at positions (N, 3) and times (N,), both in [0, 1]."""
        encoded: Tensor = self.space(unit, level_weights)
        return encoded


class Grid4DFeatures(StaticFeatures):
    """Features of a position, plus those of position and time."""

    def __init__(self, config: GridConfig, time: Grid4D) -> None:
        super().__init__(config)
        self.instants = 16
        self.spacetime = GridEncoding(spacetime_grid(config, time))
        self.spacetime.initialise(bound=0.0)

    @property
    def moving(self) -> list[nn.Parameter]:
        """The grid over space and time."""
        return [self.spacetime.table]

    def forward(self, unit: Tensor, times: Tensor, level_weights: Sequence[float]) -> Tensor:
        """The sum of both grids."""
        encoded: Tensor = self.space(unit, level_weights)
        moved: Tensor = self.spacetime(torch.cat([unit, times[:, None]], dim=1), level_weights)
        return encoded + moved


class GridStackFeatures(StaticFeatures):
    """Features of the two instants around a time, interpolated; `space` is the first instant."""

    def __init__(self, config: GridConfig, time: GridStack) -> None:
        super().__init__(config)
        self.instants = time.count
        self.later = nn.ModuleList(GridEncoding(config) for _ in range(time.count - 1))

    @property
    def moving(self) -> list[nn.Parameter]:
        """The grids of all instants but the first."""
        return [grid.table for grid in self._grids[1:]]

    @property
    def _grids(self) -> list[GridEncoding]:
        return [self.space, *(grid for grid in self.later if isinstance(grid, GridEncoding))]

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the features of one instant for all."""
        self.space.initialise(generator)
        self._repeat()

    def adopt(self, static: StaticFeatures) -> None:
        """Start every instant as a static field's grid."""
        super().adopt(static)
        self._repeat()

    def _repeat(self) -> None:
        for grid in self.later:
            grid.load_state_dict(self.space.state_dict())

    def forward(self, unit: Tensor, times: Tensor, level_weights: Sequence[float]) -> Tensor:
        """Interpolated features; a grid is asked only for the points whose time it borders.

        Where both instants are the same the result is theirs to the last bit: a field that comes to move begins as it
        was.
        """
        place = times * (self.instants - 1)
        before = place.long().clamp(0, self.instants - 2)
        fraction = (place - before).to(unit.dtype)
        earlier = later = unit.new_zeros(len(unit), self.space.output_features)
        for index, grid in enumerate(self._grids):
            is_before, is_after = (before == index) & (fraction < 1), (before + 1 == index) & (fraction > 0)
            chosen = (is_before | is_after).nonzero()[:, 0]
            if len(chosen):
                part = grid(unit.index_select(0, chosen), level_weights).to(earlier.dtype)
                earlier = earlier.index_add(0, chosen, part * is_before[chosen, None])
                later = later.index_add(0, chosen, part * is_after[chosen, None])
        return earlier + fraction[:, None] * (later - earlier)


def spacetime_grid(config: GridConfig, time: Grid4D) -> GridConfig:
    """The grid over space and time beside a static one."""
    sizes = {"table": time.table, "base_resolution": time.base_resolution, "per_level_scale": None}
    # Built anew rather than copied, so that it is validated.
    values = {**config.model_dump(), **sizes, "finest_resolution": time.finest_resolution, "dimensions": 4}
    return GridConfig.model_validate(values)


def feature_parameters(encoding: GridConfig, time: Grid4D | GridStack | None) -> int:
    """How many numbers the features of a static or a moving field have."""
    space = grid_layout(encoding).parameters
    if isinstance(time, Grid4D):
        return space + grid_layout(spacetime_grid(encoding, time)).parameters
    return space * (time.count if isinstance(time, GridStack) else 1)


def build_features(encoding: GridConfig, time: Grid4D | GridStack | None) -> StaticFeatures:
    """The features of a static or a moving field."""
    if isinstance(time, Grid4D):
        return Grid4DFeatures(encoding, time)
    if isinstance(time, GridStack):
        return GridStackFeatures(encoding, time)
    return StaticFeatures(encoding)


class RadianceField(nn.Module):
    """Density and albedo inside the cube [-bound, bound]³.

    Args:
        features: what the network reads.
        network: its size.
        density: activation and blob.
        bound: metres.
    """

    def __init__(self, features: StaticFeatures, network: NetworkConfig, density: DensityConfig, bound: float) -> None:
        super().__init__()
        self.features, self.density_config, self.bound = features, density, bound
        self.network = Perceptron(features.space.output_features, network, 4)
        self.seed = SeedVolume(SEED_RESOLUTION, bound) if density.blob_shape == "seed" else None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all parameters anew."""
        self.features.initialise(generator)
        self.network.initialise(generator)

    def forward(
        self,
        points: Tensor,  # (N, 3) world, metres
        times: Tensor,  # (N,) in [0, 1]
        level_weights: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        """(N,) densities before their activation, and (N, 3) albedo, sRGB in [0, 1]."""
        points = points.to(self.features.space.table.dtype)
        features = self.features((points / self.bound + 1) / 2, times, level_weights)
        outputs = self.network(features)
        return outputs[:, 0] + self._prior(points), outputs[:, 1:].sigmoid()

    def _prior(self, points: Tensor) -> Tensor:
        """What is added to the network's density: the blob and the bias, (N,)."""
        config = self.density_config
        if self.seed is not None:
            return config.blob * (0.5 - self.seed(points) / config.blob_radius).clamp(-1, 1) + config.bias
        relative = points.norm(dim=-1) / config.blob_radius
        shape = 1 - relative if config.blob_shape == "cone" else torch.exp(-(relative**2) / 2)
        return config.blob * shape + config.bias

    def activate(self, raw: Tensor) -> Tensor:
        """Densities per metre of values before the activation."""
        if self.density_config.activation == "softplus":
            return nn.functional.softplus(raw)
        activated: Tensor = _TruncatedExponential.apply(raw)
        return activated

    def raw_density(self, density: float) -> float:
        """The value before the activation that becomes a density, per metre."""
        if self.density_config.activation == "softplus":
            return density + math.log(-math.expm1(-density))
        return math.log(density)

    def normals(self, points: Tensor, times: Tensor, level_weights: Sequence[float], reach: float = 0.01) -> Tensor:
        """Unit normals, (N, 3): where density falls fastest, by differences between four corners of a tetrahedron.

        Differences are those of values before the activation: it changes no direction, and they neither vanish in
        empty space nor overflow.

        Args:
            points: (N, 3) world, metres.
            times: (N,) in [0, 1].
            level_weights: of the grid's levels.
            reach: half of the side of the cube around the tetrahedron, metres.
        """
        repeated = times.repeat_interleave(4)
        rise = corner_differences(lambda around: self(around, repeated, level_weights)[0], points, reach)
        return nn.functional.normalize(-rise, dim=-1)
