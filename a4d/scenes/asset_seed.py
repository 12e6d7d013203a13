"""The exact shape of an asset as what a scene starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.assets.asset import Asset
from a4d.geometry.mesh import Mesh
from a4d.render.surface_colours import surface_colours
from a4d.scenes.carried_surface import CarriedSurface
from a4d.scenes.seed import Seed


def seed_from_asset(asset: Asset) -> Seed:
    """An asset's surface at rest, with its materials, and as a mesh that is welded across the seams of textures.

    Args:
        asset: placed in the world.
    """
    still = CarriedSurface.still(asset)
    places, index = still.posed.vertices.unique(dim=0, return_inverse=True)
    mesh = Mesh(places, index[still.posed.faces])
    return Seed(mesh=Mesh(places, mesh.faces, _vertex_colours(still, mesh)), asset=still.asset)


def _vertex_colours(still: CarriedSurface, mesh: Mesh) -> Tensor:
    """(V, 3) the mean over the corners of all faces that meet in a vertex."""
    corners = torch.eye(3).repeat(len(mesh.faces), 1)
    face = torch.arange(len(mesh.faces)).repeat_interleave(3)
    edges = mesh.vertices[mesh.faces] - mesh.vertices[mesh.faces.roll(1, dims=1)]
    spacing = edges.norm(dim=-1).mean(dim=1)[face]
    colours = surface_colours(still.posed, still.asset.materials, face, corners, spacing)
    sums = torch.zeros_like(mesh.vertices).index_add_(0, mesh.faces.flatten(), colours)
    return sums / mesh.faces.flatten().bincount(minlength=len(mesh.vertices)).clamp(min=1)[:, None]
