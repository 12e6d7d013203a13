"""A scene that shows an asset as it is: its images know more than its mesh, whose vertices have no colours."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import Spec
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.render.asset import AssetRenderer
from a4d.render.render import Render, Wants
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed


class Showing(Scene):
    kind = "showing"
    has_mesh = True

    def __init__(self, asset: Asset) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.posed, self.renderer = deform(asset), AssetRenderer(asset)

    def mesh(self, time: float = 0.0) -> Mesh:
        places, index = self.posed.vertices.unique(dim=0, return_inverse=True)
        return Mesh(places, index[self.posed.faces])

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        pictures = [self.renderer.render(self.posed, cameras[index]) for index in range(len(cameras))]
        rgba = torch.stack([picture.rgba for picture in pictures])
        depth = torch.stack([picture.depth for picture in pictures])[..., None]
        return Render(rgba[..., :3] * rgba[..., 3:], rgba[..., 3:], depth)

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Showing:
        raise NotImplementedError

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {}

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Showing:
        raise NotImplementedError
