"""Gaussians to start from: on a surface, at points, or anywhere."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.render.surface_colours import surface_colours

FLATNESS = 0.2
"""Thickness of a Gaussian on a surface, relative to its radius."""


def gaussians_on_surface(mesh: Mesh, count: int, opacity: float, generator: torch.Generator) -> Gaussians:
    """Flat discs spread evenly over a surface, wide enough to cover it.

    Args:
        mesh: with colours, or grey.
        count: number of Gaussians.
        opacity: of every one, in (0, 1).
        generator: source of randomness, on the CPU.

    Returns:
        `count` Gaussians of degree 0.
    """
    points, face, weights = sample_surface(mesh, count, generator)
    normals = torch.nn.functional.normalize(mesh.face_normals[face], dim=-1)
    if mesh.colours is None:
        colours = torch.full_like(points, 0.5)
    else:
        colours = (mesh.colours[mesh.faces[face]] * weights[..., None]).sum(1)
    return discs_at_points(points, normals, colours, opacity, size=1.0)


def gaussians_on_asset(asset: Asset, count: int, opacity: float, size: float, generator: torch.Generator) -> Gaussians:
    """Flat discs spread evenly over the surface of an asset at rest, in the colours of its materials without light.

    Args:
        asset: with at least one face of positive area.
        count: number of Gaussians.
        opacity: of every one, in (0, 1).
        size: radius over the mean distance to the nearest three.
        generator: source of randomness, on the CPU.

    Returns:
        `count` Gaussians of degree 0.
    """
    surface = deform(asset)
    mesh = surface.mesh
    points, face, weights = sample_surface(mesh, count, generator)
    colours = surface_colours(surface, asset.materials, face, weights, 2 * size * _spacing(points))
    normals = torch.nn.functional.normalize(mesh.face_normals[face], dim=-1)
    return discs_at_points(points, normals, colours, opacity, size)


VERTEX_OPACITY = 1 - 1e-5

VERTEX_SIZE = 0.5
"""Radius of a Gaussian at a vertex along each of its axes, over the root mean square of its neighbours' offsets."""

VERTEX_FLATNESS = 0.05


def gaussians_at_vertices(asset: Asset) -> Gaussians:
    """One Gaussian per vertex of an asset at rest, flat along the surface and long where its neighbours are far.

    What Animate3D does (section 4.7 of the notes) along the world's axes, along the surface's own: meshes of few faces
    are covered, too.
    """
    surface = deform(asset)
    faces, used = surface.faces, surface.faces.unique()
    # Neighbours are found across seams. Colours are means over the corners of all faces that share a vertex.
    places, index = surface.vertices.unique(dim=0, return_inverse=True)
    turned, scales = _neighbourhoods(Mesh(places, index[faces]))
    face = torch.arange(len(faces)).repeat_interleave(3)
    corner = torch.eye(3).repeat(len(faces), 1)
    seen = surface_colours(surface, asset.materials, face, corner, 2 * scales[index[faces.flatten()], 0])
    sums = torch.zeros_like(surface.vertices).index_add_(0, faces.flatten(), seen)
    colours = sums[used] / torch.bincount(faces.flatten(), minlength=len(surface.vertices))[used, None]
    rotations = quaternion_from_rotation(turned[index[used]])
    return _assemble(surface.vertices[used], rotations, scales[index[used]], colours, VERTEX_OPACITY)


def _neighbourhoods(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """(V, 3, 3) axes, the last along the normal, and (V, 3) radii of the flat patches around the vertices, metres."""
    normals = mesh.vertex_normals
    frame = _frame(torch.where(normals.norm(dim=-1, keepdim=True) > 0, normals, normals.new_tensor([0.0, 0.0, 1.0])))
    edges = torch.cat([mesh.faces[:, [i, j]] for i in range(3) for j in range(3) if i != j])
    offsets = mesh.vertices[edges[:, 1]] - mesh.vertices[edges[:, 0]]
    flat = torch.einsum("eij,ei->ej", frame[edges[:, 0]], offsets)[:, :2]
    squares = mesh.vertices.new_zeros(len(mesh.vertices), 2, 2)
    squares.index_add_(0, edges[:, 0], flat[:, :, None] * flat[:, None, :])
    degree = edges[:, 0].bincount(minlength=len(mesh.vertices)).clamp(min=1)
    variances, axes = torch.linalg.eigh(squares / degree[:, None, None])
    narrow, wide = (VERTEX_SIZE * variances.clamp(min=0).sqrt()).unbind(-1)
    narrow = torch.maximum(narrow, 0.1 * wide)
    along = torch.einsum("vij,vj->vi", frame[:, :, :2], axes[:, :, 1])
    turned = torch.stack([along, torch.linalg.cross(frame[:, :, 2], along, dim=-1), frame[:, :, 2]], dim=-1)
    return turned, torch.stack([wide, narrow, VERTEX_FLATNESS * narrow], dim=-1)


def discs_at_points(points: Tensor, normals: Tensor, colours: Tensor, opacity: float, size: float) -> Gaussians:
    """Flat discs along a surface that is known at some points.

    Args:
        points: (N, 3) world, metres.
        normals: (N, 3) unit.
        colours: (N, 3) sRGB in [0, 1].
        opacity: of every one, in (0, 1).
        size: radius over the mean distance to the nearest three.

    Returns:
        N Gaussians of degree 0.
    """
    radius = size * _spacing(points)
    scales = torch.stack([radius, radius, FLATNESS * radius], dim=-1)
    return _assemble(points, quaternion_from_rotation(_frame(normals)), scales, colours, opacity)


def gaussians_at_points(points: Tensor, colours: Tensor, opacity: float) -> Gaussians:
    """Round Gaussians at given points, as wide as the mean distance to their three nearest neighbours.

    Args:
        points: (N, 3) world, metres.
        colours: (N, 3) sRGB in [0, 1].
        opacity: of every one, in (0, 1).

    Returns:
        N Gaussians of degree 0.
    """
    scales = _spacing(points)[:, None].expand(-1, 3)
    identity = points.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(points), 4)
    return _assemble(points, identity, scales, colours, opacity)


def gaussians_in_ball(count: int, radius: float, opacity: float, generator: torch.Generator) -> Gaussians:
    """Round grey Gaussians spread evenly through a ball around the origin, radius in metres."""
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    distance = radius * torch.rand(count, 1, generator=generator) ** (1 / 3)
    return gaussians_at_points(direction * distance, torch.full((count, 3), 0.5), opacity)


def nearest_of(
    places: Tensor,  # (N, 3)
    points: Tensor,  # (P, 3)
) -> Tensor:
    """(N,) int64 which of some points is the nearest to each place."""
    _, index = cKDTree(points.numpy()).query(places.numpy())
    return torch.from_numpy(index)


def _assemble(means: Tensor, quaternions: Tensor, scales: Tensor, colours: Tensor, opacity: float) -> Gaussians:
    logits = torch.logit(torch.full((len(means),), opacity, dtype=means.dtype))
    return Gaussians(means, quaternions, scales.clamp_min(1e-6).log(), logits, sh_from_colours(colours)[:, None])


def _spacing(points: Tensor) -> Tensor:
    """(N,) mean distance of each of (N, 3) points to its three nearest others, bounded against outliers."""
    neighbours = min(4, len(points))
    if neighbours < 2:
        return torch.full((len(points),), 0.01)
    distances, _ = cKDTree(points.numpy()).query(points.numpy(), k=neighbours)
    mean = torch.from_numpy(distances[:, 1:].mean(axis=1)).to(points)
    return mean.clamp(max=4 * float(mean.median()))


def _frame(normals: Tensor) -> Tensor:
    """(N, 3, 3) rotations whose third axis is the (N, 3) unit normal."""
    helper = torch.where(normals[:, :1].abs() < 0.9, normals.new_tensor([1.0, 0, 0]), normals.new_tensor([0, 1.0, 0]))
    first = torch.nn.functional.normalize(torch.linalg.cross(helper, normals, dim=-1), dim=-1)
    return torch.stack([first, torch.linalg.cross(normals, first, dim=-1), normals], dim=-1)
