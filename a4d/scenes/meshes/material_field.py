"""Surface appearance as a function of position: a hash grid, and a small network behind it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.geometry.assets.assembly import static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.unwrapping import UnwrappedMesh, unwrap
from a4d.geometry.mesh import Mesh
from a4d.render.baking import SurfacePoints, bake_normal_map, bake_texture, leave_picture, texture_map
from a4d.render.encoding import GridConfig, GridEncoding
from a4d.render.shading import SurfaceMaterial, decode_srgb, displaced
from a4d.scenes.perceptron import NetworkConfig, Perceptron

Interval = tuple[float, float]

METALNESS = 4
"""Place of metalness among the channels of a material."""


class MaterialConfig(Config):
    """The network and the ranges of what it says."""

    encoding: GridConfig = GridConfig(levels=10, table=2**15, base_resolution=16, finest_resolution=512)
    network: NetworkConfig = NetworkConfig()
    albedo: Interval = Field(default=(0.0, 1.0), description="sRGB")
    roughness: Interval = (0.08, 0.9)
    metallic: Interval = (0.0, 1.0)
    metallic_start: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="place in its range at which metalness begins; where a surface is dark, little tells it from there",
    )
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
        """Draw all parameters anew: grey, and halfway through every range but that of metalness."""
        self.encoding.initialise(generator)
        self.network.initialise(generator)
        last, start = self.network[-1], self.config.metallic_start
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias[METALNESS] = math.log(start / (1 - start))

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


def baked_asset(name: str, mesh: Mesh, field: MaterialField, size: int, is_unlit: bool = False) -> Asset:
    """A surface in new charts, with the pictures that show a material field on it.

    Args:
        name: of the node.
        mesh: on any device.
        field: evaluated at every texel.
        size: pixels of the pictures along either side.
        is_unlit: see `baked_material`.
    """
    unwrapped = unwrap(Mesh(mesh.vertices, mesh.faces), size)
    material = baked_material(name, unwrapped, field, size, is_unlit)
    return static_asset(name, unwrapped.primitive(has_tangents=material.normal_map is not None), material)


@torch.no_grad()
def baked_material(
    name: str, unwrapped: UnwrappedMesh, field: MaterialField, size: int, is_unlit: bool = False
) -> Material:
    """The pictures that show a material field on a surface.

    Args:
        name: of the material.
        unwrapped: on the CPU.
        field: evaluated at every texel, on any device.
        size: pixels of the pictures along either side.
        is_unlit: the albedo is shown as it is; without it there are metallic-roughness and normal maps too.
    """
    device, repeats = field.encoding.table.device, leave_picture(unwrapped)
    values = bake_texture(unwrapped, lambda points: field(points.positions.to(device))[:, :5], size)
    albedo = texture_map(values[..., :3], repeats=repeats)
    if is_unlit:
        return Material(name, base_colour_map=albedo, metallic=0.0, roughness=0.9, is_unlit=True)
    # In the layout of glTF; red is free for occlusion, of which there is none.
    factors = torch.cat([torch.ones_like(values[..., :1]), values[..., 3:]], dim=-1)
    material = Material(name, base_colour_map=albedo, metallic_roughness_map=texture_map(factors, repeats=repeats))
    if not field.config.bump:
        return material

    def directions(points: SurfacePoints) -> Tensor:
        return displaced(points.normals, field(points.positions.to(device))[:, 5:].cpu())

    return replace(material, normal_map=texture_map(bake_normal_map(unwrapped, directions, size), repeats=repeats))


def _ranges(config: MaterialConfig) -> tuple[Interval, Interval, Interval]:
    return config.albedo, config.roughness, config.metallic
