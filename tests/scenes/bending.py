"""A bar that bends, seen by a ring of cameras: a motion that is known everywhere, for tests of moving scenes."""

from dataclasses import dataclass

import torch

from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, paint
from a4d.render.mesh import render_mesh
from a4d.views import Frames


@dataclass(frozen=True)
class BendingBar:
    """T meshes of one topology, and what the cameras see of them; frame t of view v stands at v T + t."""

    meshes: list[Mesh]
    cameras: Cameras
    frames: Frames

    @property
    def trajectories(self) -> torch.Tensor:
        """(T, V, 3)."""
        return torch.stack([mesh.vertices for mesh in self.meshes])

    @property
    def asset(self) -> Asset:
        """The bar at rest."""
        return static_asset("bar", primitive_from_mesh(self.meshes[0]))


def bend(vertices: torch.Tensor, angle: float) -> torch.Tensor:
    """A vertical bar of length 1.2 around the origin rolled up by an angle in radians, its lower end held."""
    if angle == 0:
        return vertices
    radius = 1.2 / angle
    along = (vertices[:, 1] + 0.6) / radius
    across = radius - vertices[:, 0]
    return torch.stack([radius - across * along.cos(), across * along.sin() - 0.6, vertices[:, 2]], dim=1)


def bending_bar(frames: int = 5, views: int = 4, size: int = 64, angle: float = 1.2) -> BendingBar:
    """The bar bending evenly over the clip."""
    bar = paint(box((0.24, 1.2, 0.24)))
    meshes = [bar.with_vertices(bend(bar.vertices, angle * t / (frames - 1))) for t in range(frames)]
    cameras = turntable(views, 15.0, 3.0, 40.0, size)
    rgba, single, times, names = [], [], [], []
    for view in range(views):
        for index, mesh in enumerate(meshes):
            render = render_mesh(mesh, cameras[view], supersampling=3)
            straight = render.rgb / render.alpha.clamp_min(1e-3)
            rgba.append(torch.cat([straight, render.alpha], dim=-1)[0].clamp(0, 1))
            single.append(cameras[view])
            times.append(index / (frames - 1))
            names.append(f"{view}_{index}")
    return BendingBar(meshes, cameras, Frames(rgba, single, torch.tensor(times), names, ["train"] * len(rgba)))
