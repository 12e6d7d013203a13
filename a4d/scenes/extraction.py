"""A closed, coloured mesh of any scene that can be rendered, fused from its depth images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras, orbit, turntable
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.depth_views import DepthView
from a4d.geometry.reconstruction.fusion import FusionSettings, fuse
from a4d.geometry.reconstruction.poisson import poisson
from a4d.render.mesh_refinement import WantedView, refined
from a4d.render.render import Render
from a4d.scenes.protocols import Splatting
from a4d.scenes.scene import Scene

FOV_DEGREES = 30.0


def extent(scene: Scene, time: float = 0.0) -> float:
    """Radius in metres of a ball around the origin that holds nearly all that the scene shows.

    The outermost hundredth of Gaussians is left out: a stray speck must not make the subject small.
    """
    if not isinstance(scene, Splatting):
        return 1.0
    with torch.no_grad():
        gaussians = scene.gaussians(time)
        if len(gaussians) == 0:
            return 1.0
        solid = gaussians[gaussians.opacities > 0.1] if bool((gaussians.opacities > 0.1).any()) else gaussians
        reach = solid.means.norm(dim=-1) + solid.scales.max(dim=-1).values
        return float(reach.float().quantile(0.99))


def render_surface(
    scene: Scene,
    cameras: Cameras,
    times: Tensor | None = None,  # (B,) in [0, 1]
) -> Render:
    """Like the scene's own `render` over black, with the depth of the first surface."""
    return (scene.render_surface if isinstance(scene, Splatting) else scene.render)(cameras, times)


def cameras_around(radius: float, size: int, per_ring: int = 16) -> Cameras:
    """Views from all sides, above and below, of a ball around the origin that fills them.

    Args:
        radius: of the ball, metres.
        size: pixels of a side.
        per_ring: views at each of three elevations; each pole has one more.
    """
    rings = [(azimuth, elevation) for elevation in (-40.0, 0.0, 40.0) for azimuth in range(per_ring)]
    azimuth = torch.tensor([360.0 * index / per_ring for index, _ in rings] + [0.0, 0.0])
    elevation = torch.tensor([angle for _, angle in rings] + [90.0, -90.0])
    return orbit(azimuth, elevation, distance_for(radius), FOV_DEGREES, size, size)


Reconstruction = Literal["fused", "poisson"]


@torch.no_grad()
def extract_surface(
    scene: Scene, time: float = 0.0, resolution: int = 160, reconstruction: Reconstruction = "fused"
) -> Mesh:
    """Make a closed mesh with vertex colours of the scene's depth from all sides.

    Args:
        scene: anything that renders colour, coverage and depth.
        time: in [0, 1] of the clip.
        resolution: cells along each side of the volume.
        reconstruction: from depth to surface; `poisson` through Open3D.

    Raises:
        InvalidInputError: the scene shows no surface.
        BackendUnavailableError: Open3D is asked for, and is not installed.
    """
    radius = extent(scene, time)

    def views() -> Iterator[DepthView]:
        for camera, render in _seen_around(scene, time, radius, 2 * resolution, per_ring=16):
            yield DepthView(render.depth[0, ..., 0], render.alpha[0, ..., 0], render.rgb[0], camera)

    bounds = torch.tensor([[-radius] * 3, [radius] * 3])
    if reconstruction == "poisson":
        return poisson(views(), bounds, resolution)
    return fuse(views(), bounds, FusionSettings(resolution=resolution))


def brought_to_renders(scene: Scene, mesh: Mesh, time: float, size: int) -> Mesh:
    """A surface that was extracted from a scene, moved and coloured to look more like it from all sides.

    Args:
        scene: anything that renders colour and coverage.
        mesh: with colours, on the CPU.
        time: in [0, 1] of the clip.
        size: pixels of a side of the renders.
    """
    return refined(
        mesh,
        [
            WantedView(torch.cat([render.rgb, render.alpha], dim=-1)[0].cpu(), camera)
            for camera, render in _seen_around(scene, time, extent(scene, time), size, per_ring=10)
        ],
    )


@torch.no_grad()
def _seen_around(
    scene: Scene, time: float, radius: float, size: int, per_ring: int
) -> Iterator[tuple[Cameras, Render]]:
    """Single cameras of `cameras_around`, and what they see."""
    device = next(scene.parameters()).device
    cameras = cameras_around(radius, size, per_ring)
    for index in range(len(cameras)):
        camera = cameras[index]
        yield camera, render_surface(scene, camera.to(device), torch.full((1,), time, device=device))


def turntable_cameras(radius: float, count: int, elevation_degrees: float, size: int) -> Cameras:
    """One turn around a ball of `radius` metres that fills the image, starting at the front."""
    return turntable(count, elevation_degrees, distance_for(radius), FOV_DEGREES, size)


def distance_for(radius: float) -> float:
    """From where a ball just fits into the view, with a little air."""
    return 1.05 * radius / math.sin(math.radians(FOV_DEGREES) / 2)
