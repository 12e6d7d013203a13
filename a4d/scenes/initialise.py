"""Gaussians to start from: on a surface, at points, or anywhere."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.scenes.seed import Paint

FLATNESS = 0.2
"""Thickness of a Gaussian on a surface, relative to its radius."""

EXACT_WIDTH = 0.7
"""Radius of a Gaussian on a surface that is known exactly, relative to the distance of its neighbours: as wide as to
leave no gaps. On a guess wider ones are better, which cover what may lie elsewhere."""

EXACT_FLATNESS = 0.05

COVERAGE = 0.5
"""Radius of a Gaussian at a vertex, relative to the root mean square of its neighbours' offsets along each axis."""


def gaussians_on_surface(
    mesh: Mesh, count: int, opacity: float, generator: torch.Generator, paint: Paint | None = None
) -> Gaussians:
    """Flat discs spread evenly over a surface, wide enough to cover it.

    Args:
        mesh: with colours, or grey.
        count: number of Gaussians.
        opacity: of every one, in (0, 1).
        generator: source of randomness, on the CPU.
        paint: colours between the vertices; None interpolates those of the mesh.

    Returns:
        `count` Gaussians of degree 0.
    """
    points, face, weights = sample_surface(mesh, count, generator)
    normals = torch.nn.functional.normalize(mesh.face_normals[face], dim=-1)
    radius = _spacing(points)
    flatness = FLATNESS
    if paint is not None:
        radius, flatness = EXACT_WIDTH * radius, EXACT_FLATNESS
        colours = paint(face, weights, 2 * radius)
    elif mesh.colours is None:
        colours = torch.full_like(points, 0.5)
    else:
        colours = (mesh.colours[mesh.faces[face]] * weights[..., None]).sum(1)
    scales = torch.stack([radius, radius, flatness * radius], dim=-1)
    return _assemble(points, quaternion_from_rotation(_frame(normals)), scales, colours, opacity)


def gaussians_at_vertices(mesh: Mesh, opacity: float) -> Gaussians:
    """One Gaussian per vertex, flat along the surface and as long each way as the faces around it reach.

    Moving the Gaussians then moves the mesh (Jiang et al. 2024, Animate3D, appendix: animating meshes).

    Args:
        mesh: with colours, or grey.
        opacity: of every one, in (0, 1).

    Returns:
        V Gaussians of degree 0, in the order of the vertices; those without a face are a point.
    """
    count, vertices = len(mesh.vertices), mesh.vertices
    normals = mesh.vertex_normals
    frame = _frame(torch.where(normals.norm(dim=-1, keepdim=True) > 0, normals, normals.new_tensor([0.0, 0.0, 1.0])))
    edges = torch.cat([mesh.faces[:, [i, j]] for i in range(3) for j in range(3) if i != j])
    offsets = vertices[edges[:, 1]] - vertices[edges[:, 0]]
    flat = torch.einsum("eij,ei->ej", frame[edges[:, 0]], offsets)[:, :2]
    spread = vertices.new_zeros(count, 2, 2).index_add_(0, edges[:, 0], flat[:, :, None] * flat[:, None, :])
    neighbours = edges[:, 0].bincount(minlength=count).clamp(min=1)
    squares, axes = torch.linalg.eigh(spread / neighbours[:, None, None])
    # Half way to the neighbours, whose mean square along an axis is half that of their distance.
    radius = squares.clamp(min=0).sqrt() * COVERAGE
    long = torch.einsum("vij,vj->vi", frame[:, :, :2], axes[:, :, 1])
    turned = torch.stack([long, torch.linalg.cross(frame[:, :, 2], long, dim=-1), frame[:, :, 2]], dim=-1)
    narrow = radius[:, 0]
    scales = torch.stack([radius[:, 1], narrow, EXACT_FLATNESS * narrow], dim=-1)
    colours = torch.full_like(vertices, 0.5) if mesh.colours is None else mesh.colours
    return _assemble(vertices, quaternion_from_rotation(turned), scales, colours, opacity)


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
