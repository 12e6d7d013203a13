"""What cameras of the world see of a subject on its way out, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.cameras import Cameras
from a4d.render.asset import AssetRenderer
from a4d.scenes.extraction import extent
from a4d.scenes.protocols import Skinned
from a4d.scenes.scene import Scene


@dataclass(frozen=True)
class Ball:
    """A ball that holds a subject.

    Args:
        centre: (3,) metres.
        radius: metres.
    """

    centre: Tensor
    radius: float


@dataclass
class Viewing:
    """Pictures of a scene, or of an asset in its place.

    Args:
        scene: None where a given asset is shown.
        shown: what pictures show in place of the scene, in the frame of cameras.
        outline: whose vertices tell how large the subject is; None leaves that to the scene.
        clip: of either, over which times go from 0 to 1.
    """

    scene: Scene | None
    shown: Asset | None
    outline: Asset | None
    clip: Clip | None

    def radius_at(self, time: float) -> float:
        """Of a ball around the world's origin that holds the subject at a time, metres."""
        vertices = self._surface_vertices(time)
        if vertices is not None:
            return float(vertices.norm(dim=1).max())
        assert self.scene is not None
        return extent(self.scene, time)

    def ball_around(self, times: Sequence[float]) -> Ball:
        """A small ball that holds the subject at several times; around the origin where no surface is at hand."""
        clouds = [vertices for time in times if (vertices := self._surface_vertices(time)) is not None]
        if not clouds:
            return Ball(torch.zeros(3), max(self.radius_at(time) for time in times))
        low, high = (torch.stack([pick(cloud, 0) for cloud in clouds]) for pick in (torch.amin, torch.amax))
        centre = (low.amin(0) + high.amax(0)) / 2
        return Ball(centre, max(float((cloud - centre).norm(dim=1).max()) for cloud in clouds))

    @torch.no_grad()
    def picture(self, camera: Cameras, time: float) -> Tensor:
        """(H, W, 4) sRGB and straight alpha in [0, 1], seen by a single camera of the world."""
        if self.shown is not None:
            return self._renderer.render(self._posed(self.shown, time), camera).rgba
        assert self.scene is not None
        device = next(self.scene.parameters()).device
        render = self.scene.render(camera.to(device), torch.full((1,), time, device=device))
        straight = render.rgb / render.alpha.clamp_min(1e-3)
        return torch.cat([straight, render.alpha], dim=-1)[0].clamp(0, 1).cpu()

    def _surface_vertices(self, time: float) -> Tensor | None:
        """(V, 3) at a time, in the frame of cameras; None where no surface is at hand."""
        if self.outline is not None:
            return self._posed(self.outline, time).vertices
        return self.scene.mesh(time).vertices.detach().cpu() if isinstance(self.scene, Skinned) else None

    def _posed(self, asset: Asset, time: float) -> PosedMesh:
        return deform(asset, self.clip, time * (self.clip.duration if self.clip else 0.0))

    @cached_property
    def _renderer(self) -> AssetRenderer:
        assert self.shown is not None
        return AssetRenderer(self.shown, "shaded")
