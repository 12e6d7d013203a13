"""A scene whose surface is known at all times: a painted ring whose far side swings up and down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from a4d.config import Spec
from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import torus
from a4d.render.mesh import render_mesh
from a4d.render.render import Render, Wants
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed

SWING = 0.5


class Waving(Scene):
    kind = "waving"
    seconds = None
    is_periodic = False
    has_mesh = True

    def __init__(self, still: bool = False, splits: bool = False) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.still, self.splits = still, splits

    @property
    def is_moving(self) -> bool:
        return not self.still

    def mesh(self, time: float = 0.0) -> Mesh:
        ring = torus(sections=24)
        angle = SWING * torch.tensor(6.0 * time).sin() * (ring.vertices[:, 0] + 0.7)
        x, y, z = ring.vertices.unbind(1)
        bent = torch.stack([x, angle.cos() * y - angle.sin() * z, angle.sin() * y + angle.cos() * z], dim=1)
        colours = 0.5 + 0.4 * torch.sin(6 * ring.vertices + torch.tensor([0.0, 1, 2]))
        mesh = Mesh(bent, ring.faces, colours)
        # With other faces at other times it has no vertices to follow.
        return replace(mesh, faces=mesh.faces.roll(round(10 * time), 0)) if self.splits else mesh

    def render(
        self, cameras: Cameras, times: Tensor | None = None, background: Tensor | None = None, wants: Wants = ()
    ) -> Render:
        return render_mesh(self.mesh(0.0 if times is None else float(times[0])), cameras, background)

    @classmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Waving:
        return cls()

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {}

    def save(self, folder: Path) -> None:
        (folder / "scene.yaml").write_text("kind: waving\n")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Waving:
        return cls()
