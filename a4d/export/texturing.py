"""Pictures for a scene's surface: from its own colours where it knows them, else from its renders on all sides."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.geometry.assets.asset import Asset, Influences
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.surfaces.unwrapping import UnwrappedMesh, unwrap
from a4d.render.baking import SurfacePoints, bake_texture, texture_map
from a4d.scenes.extraction import cameras_around, extent, render_surface
from a4d.scenes.protocols import Coloured
from a4d.scenes.scene import Scene

VIEW_SIZE = 512
"""Pixels of a side of the renders that a texture is made of."""

VIEWS_PER_RING = 10

FRONTALITY = 6.0
"""Power of the cosine by which a view counts: what is seen at a slant is blurred."""

SLANTED = 0.1
"""Cosine below which a view says nothing of a point."""

DEPTH_TOLERANCE = 0.02
"""Of the subject's radius: how far from the nearest surface a point may be and still count as seen."""


def bake_scene(scene: Scene, unwrapped: UnwrappedMesh, time: float, size: int) -> Material:
    """The base colour of a scene over a surface, as a rough material.

    Args:
        scene: that the surface was taken from.
        unwrapped: the surface.
        time: in [0, 1] of the clip.
        size: pixels of the picture along either side.
    """
    device = next(scene.parameters()).device
    with torch.no_grad():
        if isinstance(scene, Coloured):
            image = bake_texture(
                unwrapped, lambda points: scene.surface_colours(points.positions.to(device), time).cpu(), size
            )
        else:
            # Renders are as smooth as their pixels: more samples per texel would show no more.
            image = bake_texture(unwrapped, _Photographs(scene, time, unwrapped), size, samples=1)
    return Material("surface", base_colour_map=texture_map(image), metallic=0.0, roughness=0.9)


def textured_rig(asset: Asset, scene: Scene, time: float, size: int) -> Asset:
    """A skinned surface with a picture in place of its vertex colours.

    Args:
        asset: of one primitive, whose only clip begins with what the scene shows.
        scene: that it was made of.
        time: in [0, 1] at which the clip begins.
        size: pixels of the picture along either side.
    """
    (whole,) = asset.meshes[0].primitives
    assert whole.influences is not None
    flat = unwrap(deform(asset).mesh, size)
    posed = replace(flat, mesh=deform(asset, asset.clips[0] if asset.clips else None).mesh)
    material = bake_scene(scene, posed, time, size)
    joints, weights = whole.influences.joints[flat.sources], whole.influences.weights[flat.sources]
    primitive = replace(flat.primitive(), influences=Influences(joints, weights))
    return replace(asset, meshes=(replace(asset.meshes[0], primitives=(primitive,)),), materials=(material,))


class _Photographs:
    """Renders from all sides, projected onto the surface."""

    def __init__(self, scene: Scene, time: float, unwrapped: UnwrappedMesh) -> None:
        device = next(scene.parameters()).device
        self.radius = extent(scene, time)
        self.cameras: Cameras = cameras_around(self.radius, VIEW_SIZE, VIEWS_PER_RING)
        self.fallback = unwrapped.mesh.colours
        self.views = []
        with torch.no_grad():
            for index in range(len(self.cameras)):
                render = render_surface(scene, self.cameras[index].to(device), torch.full((1,), time, device=device))
                straight = render.rgb / render.alpha.clamp_min(1e-3)
                layers = torch.cat([straight.clamp(0, 1), render.alpha, render.depth], dim=-1)
                self.views.append(layers[0].permute(2, 0, 1).cpu().half())

    def __call__(self, points: SurfacePoints) -> Tensor:
        """(N, 3) sRGB: the mean of the views that see a point, those that face it most of all."""
        positions, normals = points.positions, points.normals
        sums, weights = torch.zeros(len(positions), 3), torch.zeros(len(positions), 1)
        for index, layers in enumerate(self.views):
            camera = self.cameras[index]
            facing = (normalize(camera.positions - positions, dim=1) * normals).sum(1)
            chosen = (facing > SLANTED).nonzero()[:, 0]
            pixels, depth = camera.project(positions[chosen])
            places = pixels[0] / pixels.new_tensor([camera.width, camera.height]) * 2 - 1
            seen = grid_sample(layers.float()[None], places[None, None], align_corners=False)[0, :, 0].T
            is_near = (seen[:, 4] - depth[0]).abs() < DEPTH_TOLERANCE * self.radius
            weight = (facing[chosen] ** FRONTALITY * is_near * (seen[:, 3] > 0.9))[:, None]
            sums.index_add_(0, chosen, weight * seen[:, :3])
            weights.index_add_(0, chosen, weight)
        if self.fallback is None:
            return sums / weights.clamp_min(1e-12)
        # A trace of the vertices' own colours decides where no view sees anything.
        return (sums + 1e-6 * points.interpolate(self.fallback)) / (weights + 1e-6)
