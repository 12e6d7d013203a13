"""Scenes of one surface, whose physically based material is learnt and which a light falls on."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import get_args

from torch import Tensor

from a4d.config import Config
from a4d.geometry.cameras import Cameras
from a4d.render.render import Render, Shading, Wants
from a4d.render.shaded_mesh import MATERIAL_CHANNELS, SurfacePoints
from a4d.render.shading import SurfaceMaterial
from a4d.scenes.meshes.lighting import LightConfig, Lighting
from a4d.scenes.meshes.material_field import MaterialConfig, MaterialField
from a4d.scenes.scene import Scene


class MaterialSceneConfig(Config):
    """What is on a surface, what lights it, and how it is shown."""

    kind: str
    material: MaterialConfig = MaterialConfig()
    light: LightConfig = LightConfig()
    shading: Shading = "shaded"


class MaterialScene(Scene):
    """A static surface with a material and a light; the shape is what its kinds differ in."""

    shadings = get_args(Shading)
    offers = MATERIAL_CHANNELS
    config: MaterialSceneConfig
    material: MaterialField
    lighting: Lighting

    @classmethod
    def files_read(cls, config: Config) -> list[Path]:
        """The picture of the environment."""
        assert isinstance(config, MaterialSceneConfig)
        return config.light.files

    def material_channels(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> Tensor:
        """(N, 8) albedo in sRGB, roughness, metalness, and an offset of the normal along the world's axes."""
        channels: Tensor = self.material(points)
        return channels

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        """Rasterise the surface in the configured shading; `times` do not matter to a static scene."""
        return self.render_shaded(cameras, times, background, self.config.shading, wants)

    def render_shaded(
        self,
        cameras: Cameras,
        times: Tensor | None,  # (B,), not read
        background: Tensor | None,  # (B, 3) or (3,) sRGB
        shading: Shading | None,
        wants: Wants = (),
    ) -> Render:
        """Like `render`, in another shading; see `render_material`."""
        shading = shading or self.config.shading
        self.require_shading(shading)
        self.require_channels(wants)
        return self.rasterised(cameras, shading, wants).over(background)

    @abstractmethod
    def rasterised(self, cameras: Cameras, shading: Shading, wants: Wants) -> Render:
        """The surface over black in a shading that it has, with channels that it offers."""

    def material_at(self, points: SurfacePoints) -> SurfaceMaterial:
        """What the surface is made of at the pixels that it covers."""
        return self.material.at(points.positions)

    @property
    def has_mesh(self) -> bool:
        """Always."""
        return True
