"""Pictures for a scene's surface: from its own colours where it knows them, else from its renders on all sides."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from a4d.geometry.cameras import Cameras
from a4d.geometry.material import Material
from a4d.geometry.unwrapping import UnwrappedMesh
from a4d.render.baking import SurfacePoints, bake_texture, texture_map
from a4d.scenes.extraction import cameras_around, extent
from a4d.scenes.scene import Scene

VIEW_SIZE = 512
"""Pixels of a side of the renders that a texture is made of."""

VIEWS_PER_RING = 10

FRONTALITY = 6.0
"""Power of the cosine by which a view counts: what is seen at a slant is blurred."""

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
    probe = torch.zeros(1, 3, device=device)
    if scene.surface_colours(probe, time) is not None:

        def colours(points: SurfacePoints) -> Tensor:
            found = scene.surface_colours(points.positions.to(device), time)
            assert found is not None
            return found.cpu()

    else:
        colours = _Photographs(scene, time, unwrapped)
    with torch.no_grad():
        image = bake_texture(unwrapped, colours, size)
    return Material("surface", base_colour_map=texture_map(image), metallic=0.0, roughness=0.9)


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
                render = scene.render_surface(self.cameras[index].to(device), torch.full((1,), time, device=device))
                straight = render.rgb / render.alpha.clamp_min(1e-3)
                layers = torch.cat([straight.clamp(0, 1), render.alpha, render.depth], dim=-1)
                self.views.append(layers[0].permute(2, 0, 1).cpu().half())

    def __call__(self, points: SurfacePoints) -> Tensor:
        """(N, 3) sRGB: the mean of the views that see a point, those that face it most of all."""
        positions, normals = points.positions, points.normals
        sums, weights = torch.zeros(len(positions), 3), torch.zeros(len(positions), 1)
        for index, layers in enumerate(self.views):
            camera = self.cameras[index]
            pixels, depth = camera.project(positions)
            places = pixels[0] / pixels.new_tensor([camera.width, camera.height]) * 2 - 1
            seen = grid_sample(layers.float()[None], places[None, None], align_corners=False)[0, :, 0].T
            facing = (normalize(camera.positions - positions, dim=1) * normals).sum(1).clamp_min(0)
            is_near = (seen[:, 4] - depth[0]).abs() < DEPTH_TOLERANCE * self.radius
            weight = (facing**FRONTALITY * is_near * (seen[:, 3] > 0.9))[:, None]
            sums += weight * seen[:, :3]
            weights += weight
        if self.fallback is None:
            return sums / weights.clamp_min(1e-12)
        # A trace of the vertices' own colours decides where no view sees anything.
        return (sums + 1e-6 * points.interpolate(self.fallback)) / (weights + 1e-6)
