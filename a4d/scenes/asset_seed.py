"""The exact shape of an asset as what a scene starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.animation import Clip
from a4d.geometry.asset import Asset
from a4d.geometry.mesh import Mesh
from a4d.geometry.posing import PosedMesh, deform
from a4d.render.asset import AssetRenderer, Lighting, samples_of_extent
from a4d.scenes.seed import Seed


def seed_from_asset(
    asset: Asset, clip: Clip | None = None, seconds: float = 0.0, lighting: Lighting = "unlit", *, per_vertex: bool = False
) -> Seed:
    """An asset's surface at a moment, welded across the seams of its textures, with its textures as paint.

    Args:
        asset: placed in the world.
        clip: one of the asset's, or None for the rest pose.
        seconds: in the clip's own time.
        lighting: "shaded" bakes the built-in light into the colours.
        per_vertex: primitives should stand at the vertices.
    """
    surface = deform(asset, clip, seconds)
    renderer = AssetRenderer(asset, lighting)

    def paint(face: Tensor, weights: Tensor, extent: Tensor) -> Tensor:
        with torch.no_grad():
            return renderer.shade(samples_of_extent(surface, face, weights, extent))[0]

    # Faces keep their order, so that the paint knows them.
    places, index = surface.vertices.unique(dim=0, return_inverse=True)
    faces = index[surface.faces]
    mesh = Mesh(places, faces, _vertex_colours(surface, faces, len(places), renderer))
    return Seed(mesh=mesh, paint=paint, per_vertex=per_vertex)


def _vertex_colours(surface: PosedMesh, faces: Tensor, count: int, renderer: AssetRenderer) -> Tensor:
    """(count, 3) the mean over the corners of all faces that meet in a vertex."""
    corners = torch.eye(3).repeat(len(faces), 1)
    face = torch.arange(len(faces)).repeat_interleave(3)
    edges = surface.vertices[surface.faces] - surface.vertices[surface.faces.roll(1, dims=1)]
    extent = edges.norm(dim=-1).mean(dim=1)[face]
    with torch.no_grad():
        colours, _ = renderer.shade(samples_of_extent(surface, face, corners, extent))
    sums = torch.zeros(count, 3).index_add_(0, faces.flatten(), colours)
    return sums / faces.flatten().bincount(minlength=count).clamp(min=1)[:, None]
