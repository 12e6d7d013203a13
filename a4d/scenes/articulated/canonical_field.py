"""A shape at rest as functions of position: signed distances, colours and features, by perceptrons or behind grids."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from a4d.config import Config
from a4d.memory import TRAINED_NUMBER
from a4d.render.encoding import (
    FrequencyConfig,
    FrequencyEncoding,
    GridConfig,
    GridEncoding,
    progressive_level_weights,
)
from a4d.render.grid_layout import grid_layout
from a4d.scenes.perceptron import NetworkConfig, Perceptron, draw_weights
from a4d.scenes.seed_volume import Distances, SeedVolume


class WavesConfig(Config):
    """Perceptrons of the position and of its sines and cosines; the defaults are Lab4D's, and so the paper's."""

    kind: Literal["waves"] = "waves"
    frequencies: int = Field(default=10, ge=1, le=32, description="of the position, for the shape")
    width: int = Field(default=256, ge=4, le=1024)
    layers: int = Field(default=8, ge=1, le=16, description="of the shape's perceptron")
    skip: int = Field(default=4, ge=1, le=16, description="layer that reads the position once more, from 0")
    colour_frequencies: int = Field(default=12, ge=1, le=32)
    colour_layers: int = Field(default=2, ge=1, le=16)


class GridsConfig(Config):
    """A grid and a perceptron for the shape, and others for the colour."""

    kind: Literal["grids"] = "grids"
    encoding: GridConfig = GridConfig(levels=8, table=2**14, base_resolution=8, finest_resolution=96)
    width: int = Field(default=32, ge=4, le=1024)
    layers: int = Field(default=1, ge=1, le=16)


class FeaturesConfig(Config):
    """A perceptron of few waves that knows what a picture's features are like at every point (Lab4D's)."""

    channels: int = Field(default=16, ge=1, le=4096)
    frequencies: int = Field(default=6, ge=1, le=32)
    width: int = Field(default=128, ge=4, le=1024)
    layers: int = Field(default=5, ge=1, le=16)


class CanonicalFieldConfig(Config):
    """What distances, colours and features are functions of."""

    trunk: Annotated[WavesConfig | GridsConfig, Field(discriminator="kind")] = GridsConfig()
    head_width: int = Field(default=32, ge=4, le=1024, description="hidden numbers behind the colours")
    beta: float = Field(
        default=0.01, gt=0, description="metres over which density falls across the surface to begin with; learnt"
    )
    features: FeaturesConfig | None = None
    start_resolution: int = Field(default=64, ge=4, le=256, description="cells of the volume that keeps the start")

    def memory(self) -> int:
        """Bytes of the grids while they are optimised; perceptrons are small."""
        cells = 4 * (self.start_resolution + 1) ** 3
        if isinstance(self.trunk, GridsConfig):
            return cells + 2 * TRAINED_NUMBER * grid_layout(self.trunk.encoding).parameters
        return cells


class SkippingPerceptron(nn.Module):
    """Linear layers with a rectifier after each, of which one may read the inputs once more beside what came before.

    Args:
        inputs: numbers read.
        width: of every layer.
        layers: how many.
        skip: index of the layer that reads the inputs again, or None.
    """

    def __init__(self, inputs: int, width: int, layers: int, skip: int | None) -> None:
        super().__init__()
        self.skip = skip
        widths = [inputs, *[width + (inputs if layer == skip else 0) for layer in range(1, layers)]]
        self.layers = nn.ModuleList(nn.Linear(each, width) for each in widths)

    def forward(self, values: Tensor) -> Tensor:
        """(N, width) of (N, inputs)."""
        hidden = values
        for index, layer in enumerate(self.layers):
            hidden = torch.cat([hidden, values], dim=1) if index == self.skip else hidden
            hidden = relu(layer(hidden))
        return hidden


class Branch(nn.Module):
    """An encoding of the position, and a perceptron that reads it.

    Args:
        encoding: of points in three dimensions.
        width: of the perceptron, and of what it returns.
        layers: of the perceptron.
        skip: index of the layer that reads the encoding again, or None.
    """

    def __init__(
        self, encoding: FrequencyEncoding | GridEncoding, width: int, layers: int, skip: int | None = None
    ) -> None:
        super().__init__()
        self.encoding, self.width = encoding, width
        self.network = SkippingPerceptron(encoding.output_features, width, layers, skip)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all parameters anew."""
        if isinstance(self.encoding, GridEncoding):
            self.encoding.initialise(generator)
        for layer in self.network.layers:
            assert isinstance(layer, nn.Linear)
            draw_weights(layer.weight, layer.in_features, generator)
            nn.init.zeros_(layer.bias)

    def forward(self, unit: Tensor, detail: float) -> Tensor:
        """(N, width) at points (N, 3) in [-1, 1]³, with a share of the waves or levels."""
        config = self.encoding.config
        if isinstance(config, GridConfig):
            encoded = self.encoding((unit + 1) / 2, progressive_level_weights(config.levels, detail * config.levels))
        else:
            weights = progressive_level_weights(config.frequencies, detail * config.frequencies)
            encoded = self.encoding(unit, weights)
        features: Tensor = self.network(encoded)
        return features


class CanonicalField(nn.Module):
    """Distances, colours and features of a shape at rest in the cube [-bound, bound]³.

    Distances are those of the shape that it starts from, and what is learnt beside them.

    Args:
        config: what they are functions of.
        bound: metres.
    """

    def __init__(self, config: CanonicalFieldConfig, bound: float) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        self.geometry, self.colour = _branches(config.trunk)
        self.start = SeedVolume(config.start_resolution, bound)
        self.distance_head = nn.Linear(self.geometry.width, 1)
        self.colour_head = Perceptron(self.geometry.width, NetworkConfig(width=config.head_width), 3)
        self.log_inverse_beta = nn.Parameter(torch.tensor(-math.log(config.beta)))
        self.semantic: Branch | None = None
        if (features := config.features) is not None:
            self.semantic = Branch(_waves(features.frequencies), features.width, features.layers)
            self.feature_head = Perceptron(features.width, NetworkConfig(width=features.width), features.channels)

    @torch.no_grad()
    def initialise(self, distances: Distances, generator: torch.Generator) -> None:
        """Draw the parameters anew, and begin with the distances of a shape."""
        self.start.initialise(distances)
        self.geometry.initialise(generator)
        self.colour.initialise(generator)
        # What is learnt of the distances begins at nothing, and takes the shape from where it is.
        nn.init.zeros_(self.distance_head.weight)
        nn.init.zeros_(self.distance_head.bias)
        self.colour_head.initialise(generator)
        if self.semantic is not None:
            self.semantic.initialise(generator)
            self.feature_head.initialise(generator)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Grids and perceptrons of the shape, of the colour and of the features, and the sharpness of the surface."""
        semantic = [] if self.semantic is None else [*self.semantic.parameters(), *self.feature_head.parameters()]
        return {
            "geometry_encoding": list(self.geometry.encoding.parameters()),
            "geometry_network": [*self.geometry.network.parameters(), *self.distance_head.parameters()],
            "colour_encoding": list(self.colour.encoding.parameters()),
            "colour_network": [*self.colour.network.parameters(), *self.colour_head.parameters()],
            "sharpness": [self.log_inverse_beta],
            "features": semantic,
        }

    def distances(
        self,
        points: Tensor,  # (N, 3) at rest, metres
        detail: float = 1.0,
    ) -> Tensor:
        """(N,) metres, negative inside; `detail` is the share of waves or levels that take part.

        Beyond the cube they grow by the distance from it.
        """
        return self._distances(points, self.geometry(self._unit(points), detail))

    def _unit(self, points: Tensor) -> Tensor:
        """(N, 3) in [-1, 1]³: the nearest of the cube's."""
        return (points / self.bound).clamp(-1, 1)

    def _distances(self, points: Tensor, geometry: Tensor) -> Tensor:
        # In units of the cube's half side, so that what is learnt has the size that perceptrons are made for.
        learnt: Tensor = self.bound * self.distance_head(geometry)[:, 0]
        beyond = (points.abs() - self.bound).clamp_min(0).norm(dim=-1)
        return self.start(points) + learnt + beyond

    def forward(self, points: Tensor, detail: float = 1.0) -> tuple[Tensor, Tensor]:
        """(N,) distances in metres and (N, 3) sRGB in [0, 1] at points (N, 3); no colour depends on the view."""
        unit = self._unit(points)
        geometry = self.geometry(unit, detail)
        colours = self.colour_head(geometry + self.colour(unit, detail)).sigmoid()
        return self._distances(points, geometry), colours

    def features(self, points: Tensor, detail: float = 1.0) -> Tensor:
        """(N, C) of unit length at points (N, 3), where there are any."""
        assert self.semantic is not None
        return normalize(self.feature_head(self.semantic(self._unit(points), detail)), dim=-1)

    def density(self, distances: Tensor) -> Tensor:
        """(N,) per metre at distances (N,)."""
        return laplace_density(distances, self.log_inverse_beta.exp())


def _branches(config: WavesConfig | GridsConfig) -> tuple[Branch, Branch]:
    """Those of the shape and of the colour."""
    if isinstance(config, GridsConfig):
        geometry, colour = (Branch(GridEncoding(config.encoding), config.width, config.layers) for _ in range(2))
        return geometry, colour
    return (
        Branch(_waves(config.frequencies), config.width, config.layers, config.skip),
        Branch(_waves(config.colour_frequencies), config.width, config.colour_layers),
    )


def laplace_density(
    distances: Tensor,  # (N,) metres, negative inside
    inverse_beta: Tensor,  # () per metre
) -> Tensor:
    """(N,) per metre: 1 / beta deep inside, half of it on the surface, and none far outside.

    Beta times it is the cumulated Laplace distribution (Yariv et al. 2021, VolSDF, equation 2).
    """
    return inverse_beta * (0.5 + 0.5 * distances.sign() * torch.expm1(-distances.abs() * inverse_beta))


def _waves(frequencies: int) -> FrequencyEncoding:
    """The position, and its sines and cosines."""
    return FrequencyEncoding(FrequencyConfig(frequencies=frequencies, include_input=True))
