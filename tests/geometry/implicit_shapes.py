"""Shapes as distances, random distances and weights, and measures of the meshes extracted from them."""

import math

import torch

from a4d.geometry.mesh import sample_surface
from a4d.geometry.surfaces.isosurface.signs import kept_in_grid
from a4d.geometry.surfaces.signed_distance import distance_to_mesh


def sphere(points, radius=0.7):
    return points.norm(dim=-1) - radius


def ring(points, major=0.6, minor=0.25):
    around = points[:, :2].norm(dim=-1) - major
    return torch.hypot(around, points[:, 2]) - minor


SHAPES = {
    "sphere": (sphere, 4 / 3 * math.pi * 0.7**3, 4 * math.pi * 0.7**2),
    "torus": (ring, 2 * math.pi**2 * 0.6 * 0.25**2, 4 * math.pi**2 * 0.6 * 0.25),
}
"""Distance, volume and area."""


def area(mesh):
    return mesh.face_normals.norm(dim=-1).sum() / 2


def volume(mesh):
    """Mesh.volume with gradients."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return (a * torch.linalg.cross(b, c, dim=-1)).sum() / 6


def random_distances(grid, seed, share_inside=0.5):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(len(grid.vertices), generator=generator)
    return kept_in_grid(values - share_inside, grid.is_boundary, 0.5)


def random_weights(resolution, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(resolution**3, 21, generator=generator, dtype=dtype)


def chamfer(mesh, other, count=4000):
    """Larger of the two mean distances from points on one surface to the other."""
    generator = torch.Generator().manual_seed(0)
    pairs = ((mesh, other), (other, mesh))
    return max(float(distance_to_mesh(sample_surface(a, count, generator)[0], b).abs().mean()) for a, b in pairs)
