"""Pictures for a scene's surface: from its own colours where it knows them, else from its renders on all sides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.export.film_texture import film_texture
from a4d.export.projection import ProjectedColours, SurfaceView
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.unwrapping import UnwrappedMesh, unwrap
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.colouring import SeenColours
from a4d.render.baking import SurfaceFunction, SurfacePoints, bake_texture, texture_map
from a4d.render.mesh import render_mesh
from a4d.scenes.extraction import cameras_around, extent, render_surface
from a4d.scenes.protocols import Articulated, Coloured
from a4d.scenes.scene import Scene
from a4d.views import Frames

VIEW_SIZE = 512
"""Pixels of a side of the renders that a texture is made of, at most."""

LARGEST_VIEW = 800
"""Pixels of the longer side of renders from where a scene was seen."""

VIEWS_PER_RING = 10

DEPTH_TOLERANCE = 0.02
"""Of the subject's radius: how far from the nearest surface a point may be and still count as seen."""


FILLED = 0.6
"""Share of a texture that charts cover, about."""

SIZES = (512, 4096)
"""Smallest and largest picture, pixels of a side, whose size follows from that of its texels."""

OVERLAP = 0.85
"""Of a surface's outline and a picture's, at the least: else it is no picture of this surface."""


@dataclass(frozen=True)
class FrontPicture:
    """A picture that shows a scene, as fine as it was taken.

    Args:
        rgba: (H, W, 4) straight sRGB and alpha in [0, 1].
        camera: one view of its size.
    """

    rgba: Tensor
    camera: Cameras

    def seen_on(self, mesh: Mesh) -> SeenColours | None:
        """What it says of places on a surface; None where the surface has another outline."""
        render = render_mesh(mesh, self.camera)
        shown, wanted = render.alpha[0, ..., 0] > 0.5, self.rgba[..., 3] > 0.5
        if float((shown & wanted).sum()) < OVERLAP * float((shown | wanted).sum()):
            return None
        return SeenColours(self.rgba, self.camera, render.depth[0, ..., 0])


def texture_size(mesh: Mesh, texel: float) -> int:
    """Pixels of a picture's side whose texels are so wide on a surface.

    Args:
        mesh: the surface.
        texel: metres.
    """
    area = float(mesh.face_normals.norm(dim=1).sum()) / 2
    side = math.ceil(math.sqrt(area / FILLED) / texel / 64) * 64
    return min(max(side, SIZES[0]), SIZES[1])


@dataclass(frozen=True)
class Looks:
    """What decides a baked picture beside the scene.

    Args:
        size: pixels of a side.
        texel: metres that a pixel of the scene's renders need not be finer than; None takes the largest renders.
        picture: what it shows is taken from there.
        cameras: single ones from which the scene was seen, and is rendered; empty takes all sides.
        film: frames that show a scene of loose bones, with the cameras that it has learnt, where they tell its looks.
    """

    size: int
    texel: float | None = None
    picture: FrontPicture | None = None
    cameras: tuple[Cameras, ...] = ()
    film: Frames | None = None


def bake_scene(scene: Scene, unwrapped: UnwrappedMesh, time: float, looks: Looks) -> Material:
    """The base colour of a scene over a surface, as a rough material.

    Args:
        scene: that the surface was taken from.
        unwrapped: the surface.
        time: in [0, 1] of the clip.
        looks: of the picture.
    """
    device = next(scene.parameters()).device
    seen = None if looks.picture is None else looks.picture.seen_on(unwrapped.mesh)

    def known(points: SurfacePoints) -> Tensor:
        assert isinstance(scene, Coloured)
        return scene.surface_colours(points.positions.to(device), time).cpu()

    with torch.no_grad():
        if isinstance(scene, Coloured):
            image = bake_texture(unwrapped, _over(known, seen), looks.size)
        else:
            photographs = _Photographs(scene, time, unwrapped.mesh, looks).projected()
            # Renders are as smooth as their pixels: more samples per texel would show no more.
            image = bake_texture(unwrapped, _over(photographs, seen), looks.size, samples=1)
    return _rough(image)


def _over(function: SurfaceFunction, seen: SeenColours | None) -> SurfaceFunction:
    """Colours of a picture over others, where it shows the surface."""
    if seen is None:
        return function

    def painted(points: SurfacePoints) -> Tensor:
        colours, share = seen(points.positions, points.normals)
        return torch.lerp(function(points), colours, share[:, None])

    return painted


def textured_rig(asset: Asset, scene: Scene, time: float, looks: Looks) -> Asset:
    """A skinned surface with a picture in place of its vertex colours.

    Args:
        asset: of one primitive, whose only clip begins with what the scene shows.
        scene: that it was made of.
        time: in [0, 1] at which the clip begins.
        looks: of the picture.
    """
    (whole,) = asset.meshes[0].primitives
    assert whole.influences is not None
    flat = unwrap(deform(asset).mesh, looks.size)
    if looks.film is not None:
        assert isinstance(scene, Articulated)
        material = _rough(film_texture(scene, flat, looks.film, looks.size))
    else:
        posed = replace(flat, mesh=deform(asset, asset.clips[0] if asset.clips else None).mesh)
        material = bake_scene(scene, posed, time, looks)
    joints, weights = whole.influences.joints[flat.sources], whole.influences.weights[flat.sources]
    primitive = replace(flat.primitive(), influences=Influences(joints, weights))
    return replace(asset, meshes=(replace(asset.meshes[0], primitives=(primitive,)),), materials=(material,))


def _rough(image: Tensor) -> Material:
    return Material("surface", base_colour_map=texture_map(image), metallic=0.0, roughness=0.9)


def _bounded(camera: Cameras) -> Cameras:
    """The same view with no more than `LARGEST_VIEW` pixels along a side."""
    share = min(1.0, LARGEST_VIEW / max(camera.width, camera.height))
    return camera.resized(round(camera.width * share), round(camera.height * share))


class _Photographs:
    """Renders from where a scene was seen, or from all sides, to be projected onto the surface.

    From elsewhere a scene has the colours that nobody has checked: what its harmonics happen to be there.
    """

    def __init__(self, scene: Scene, time: float, mesh: Mesh, looks: Looks) -> None:
        self.scene, self.time, self.mesh = scene, time, mesh
        self.radius = extent(scene, time)
        self.cameras = [_bounded(camera) for camera in looks.cameras] or self._all_around(looks.texel)

    @torch.no_grad()
    def projected(self) -> ProjectedColours:
        """What they say of the surface; a trace of its vertices' own colours decides where none sees anything."""
        views = [self._view(camera) for camera in self.cameras]
        return ProjectedColours(views, DEPTH_TOLERANCE * self.radius, self.mesh.colours)

    def _all_around(self, texel: float | None) -> list[Cameras]:
        size = VIEW_SIZE if texel is None else min(VIEW_SIZE, math.ceil(2 * self.radius / texel))
        cameras = cameras_around(self.radius, size, VIEWS_PER_RING)
        return [cameras[index] for index in range(len(cameras))]

    def _view(self, camera: Cameras) -> SurfaceView:
        device = next(self.scene.parameters()).device
        render = render_surface(self.scene, camera.to(device), torch.full((1,), self.time, device=device))
        straight = (render.rgb / render.alpha.clamp_min(1e-3)).clamp(0, 1)
        layers = torch.cat([straight, render.alpha > 0.9, render.depth], dim=-1)[0]
        return SurfaceView(camera, self.mesh, layers.permute(2, 0, 1).cpu().half())
