"""Mesh files as one closed surface with colours at its vertices, for tests that need no more of them."""

from pathlib import Path

import torch

from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh, first_in_place
from a4d.io.assets.asset_reader import read_asset
from a4d.render.surface_colours import surface_colours


def read_mesh(path: Path) -> Mesh:
    """All surfaces of a file at rest; corners at the same place are one vertex and have the mean of their colours."""
    asset = read_asset(path)
    surface = deform(asset)
    faces = len(surface.faces)
    weights = torch.eye(3).repeat(faces, 1)
    corner_faces = torch.arange(faces).repeat_interleave(3)
    seen = surface_colours(surface, asset.materials, corner_faces, weights, torch.full((3 * faces,), 1e-6))
    first, vertex = first_in_place(surface.vertices).unique(return_inverse=True)
    corners = vertex[surface.faces]
    sums = torch.zeros(len(first), 3).index_add_(0, corners.flatten(), seen)
    counts = corners.flatten().bincount(minlength=len(first)).clamp_min(1)
    a, b, c = corners.unbind(1)
    return Mesh(surface.vertices[first], corners[(a != b) & (b != c) & (c != a)], sums / counts[:, None])
