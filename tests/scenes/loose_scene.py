"""A scene of loose bones, as one that was fitted to a film, whose motion is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from bag_of_bones import BagOfBones, bag_of
from limbed import limbed
from torch import Tensor, nn

from a4d.config import Spec
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import paint
from a4d.render.mesh import render_mesh
from a4d.render.render import Render, Wants
from a4d.scenes.protocols import AssetOptions, BoneRig
from a4d.scenes.rigging import rigged_asset
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed


class Loose(Scene):
    """The body with four legs, of bones in any order."""

    kind = "loose"
    seconds = 0.5
    is_periodic = True
    is_moving = True
    has_mesh = True

    def __init__(self, bones: int = 14, walks: float = 0.0) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        mesh, paths, _, _ = limbed()
        ahead = (
            walks * torch.linspace(0, 1, len(paths)).double()[:, None, None] * torch.tensor([0.0, 0.0, 1.0]).double()
        )
        self.bag: BagOfBones = bag_of(mesh, paths + ahead, bones)
        self.rest = paint(mesh)

    def bones(self) -> BoneRig:
        return self.bag.bones()

    def root_transforms(self, times: Sequence[float]) -> Tensor:
        return self.bag.root_transforms(times)

    def bone_transforms(self, times: Sequence[float]) -> Tensor:
        return self.bag.bone_transforms(times)

    def skinning_weights(self, points: Tensor) -> Tensor:
        return self.bag.skinning_weights(points.double())

    def warped(self, points: Tensor, times: Sequence[float]) -> Tensor:
        return self.bag.warped(points.double(), times)

    def mesh(self, time: float = 0.0) -> Mesh:
        return self.rest.with_vertices(self.warped(self.rest.vertices, [time])[0].float())

    def asset(self, options: AssetOptions) -> Asset:
        return rigged_asset(self, self.rest, options)

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        return render_mesh(self.mesh(0.0 if times is None else float(times[0])), cameras, background)

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Loose:
        return cls()

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Loose:
        return cls()

    def save(self, folder: Path) -> None:
        (folder / "scene.yaml").write_text("kind: loose\n")

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {}
