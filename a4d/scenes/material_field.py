"""Surface appearance as a function of position: a hash grid, and a small network behind it."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.render.encoding import GridConfig, GridEncoding
from a4d.render.shading import SurfaceMaterial, decode_srgb
from a4d.scenes.perceptron import NetworkConfig, Perceptron

Interval = tuple[float, float]


class MaterialConfig(Config):
    """The network and the ranges of what it says."""

    encoding: GridConfig = GridConfig(levels=10, table=2**15, base_resolution=16, finest_resolution=512)
    network: NetworkConfig = NetworkConfig()
    albedo: Interval = Field(default=(0.0, 1.0), description="sRGB")
    roughness: Interval = (0.08, 0.9)
    metallic: Interval = (0.0, 1.0)
    bump: float = Field(default=0.0, ge=0, le=4, description="longest offset that is added to a normal; 0 adds none")


class MaterialField(nn.Module):
    """Albedo, roughness, metalness and an offset of the normal in the cube [-bound, bound]³.

    Args:
        config: network and ranges.
        bound: metres.
    """

    def __init__(self, config: MaterialConfig, bound: float) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        self.encoding = GridEncoding(config.encoding)
        self.network = Perceptron(self.encoding.output_features, config.network, 8)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all parameters anew: grey, and halfway through every range."""
        self.encoding.initialise(generator)
        self.network.initialise(generator)

    def forward(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> Tensor:
        """(N, 8) albedo in sRGB, roughness, metalness, and an offset of the normal along the world's axes."""
        config = self.config
        raw = self.network(self.encoding((points / self.bound + 1) / 2))
        parts = zip(raw[:, :5].sigmoid().split([3, 1, 1], dim=1), _ranges(config), strict=True)
        scaled = [low + (high - low) * part for part, (low, high) in parts]
        return torch.cat([*scaled, config.bump * raw[:, 5:].tanh()], dim=1)

    def at(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> SurfaceMaterial:
        """The material as renderers take it."""
        albedo, roughness, metallic, offset = self(points).split([3, 1, 1, 3], dim=1)
        bent = offset if self.config.bump > 0 else None
        return SurfaceMaterial(decode_srgb(albedo), metallic[:, 0], roughness[:, 0], normal_offset=bent)


def _ranges(config: MaterialConfig) -> tuple[Interval, Interval, Interval]:
    return config.albedo, config.roughness, config.metallic
