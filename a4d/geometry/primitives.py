"""Small generated shapes with vertex colours: ground truth for tests and benchmarks, and the examples' subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor

from a4d.geometry.mesh import Mesh

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""Centre (metres), half axes (metres) and sRGB colour."""

CREATURE: tuple[Ellipsoid, ...] = (
    ((0.0, 0.02, -0.08), (0.30, 0.28, 0.38), (0.85, 0.55, 0.25)),  # body
    ((0.0, 0.38, 0.20), (0.22, 0.21, 0.22), (0.90, 0.62, 0.30)),  # head
    ((0.0, 0.32, 0.40), (0.10, 0.08, 0.08), (0.97, 0.87, 0.72)),  # muzzle
    ((-0.14, 0.60, 0.16), (0.06, 0.14, 0.05), (0.45, 0.25, 0.12)),  # ears
    ((0.14, 0.60, 0.16), (0.06, 0.14, 0.05), (0.45, 0.25, 0.12)),
    ((-0.17, -0.34, 0.12), (0.085, 0.22, 0.09), (0.62, 0.36, 0.16)),  # legs
    ((0.17, -0.34, 0.12), (0.085, 0.22, 0.09), (0.62, 0.36, 0.16)),
    ((-0.17, -0.34, -0.28), (0.085, 0.22, 0.09), (0.62, 0.36, 0.16)),
    ((0.17, -0.34, -0.28), (0.085, 0.22, 0.09), (0.62, 0.36, 0.16)),
    ((0.0, 0.22, -0.48), (0.06, 0.22, 0.07), (0.75, 0.45, 0.20)),  # tail
    ((-0.085, 0.45, 0.385), (0.035, 0.045, 0.03), (0.08, 0.07, 0.10)),  # eyes
    ((0.085, 0.45, 0.385), (0.035, 0.045, 0.03), (0.08, 0.07, 0.10)),
)
"""A four-legged animal that looks toward +Z, 1.3 m tall."""


def _from_trimesh(shape: trimesh.Trimesh) -> Mesh:
    vertices = torch.from_numpy(np.array(shape.vertices, np.float32))
    return paint(Mesh(vertices, torch.from_numpy(np.array(shape.faces, np.int64))))


def paint(mesh: Mesh) -> Mesh:
    """Colour a mesh by smooth waves over its positions, so that no view resembles another."""
    phase = mesh.vertices * mesh.vertices.new_tensor([3.1, 4.3, 5.7]) + mesh.vertices.roll(1, dims=-1) * 2.3
    return Mesh(mesh.vertices, mesh.faces, 0.5 + 0.35 * torch.sin(phase))


def icosphere(radius: float = 0.5, subdivisions: int = 4) -> Mesh:
    """A sphere around the origin of 20 x 4^subdivisions nearly equal triangles."""
    return _from_trimesh(trimesh.creation.icosphere(subdivisions, radius))


def cylinder(radius: float = 0.5, height: float = 1.0, sections: int = 64) -> Mesh:
    """A closed cylinder around the y axis."""
    lying = trimesh.creation.cylinder(radius, height, sections)
    lying.vertices = lying.vertices[:, [0, 2, 1]] * [1, 1, -1]
    return _from_trimesh(lying)


def torus(major_radius: float = 0.45, minor_radius: float = 0.18, sections: int = 48) -> Mesh:
    """A ring around the z axis: its hole faces the front."""
    return _from_trimesh(trimesh.creation.torus(major_radius, minor_radius, sections, sections))


def box(extents: tuple[float, float, float] = (0.8, 0.6, 0.5)) -> Mesh:
    """A box around the origin with four triangles along each edge's half."""
    return _from_trimesh(trimesh.creation.box(extents).subdivide().subdivide().subdivide())


def tube_union(segments: Sequence[tuple[Sequence[float], Sequence[float], float]], resolution: int = 96) -> Mesh:
    """Closed surface of a union of capsules.

    Args:
        segments: start (3,), end (3,) and radius of each, metres.
        resolution: voxels along the longest side.
    """

    def distance(points: Tensor) -> Tensor:
        """(N,) metres from points (N, 3) to the nearest tube."""
        parts = []
        for start, end, radius in segments:
            origin, axis = points.new_tensor(start), points.new_tensor(end) - points.new_tensor(start)
            along = ((points - origin) @ axis / (axis @ axis).clamp(min=1e-12)).clamp(0, 1)
            parts.append((points - origin - along[..., None] * axis).norm(dim=-1) - radius)
        return torch.stack(parts).amin(0)

    ends = torch.tensor([[*start, *end] for start, end, _ in segments]).view(-1, 2, 3)
    radii = torch.tensor([radius for *_, radius in segments])[:, None, None]
    return paint(_level_set(distance, (ends - radii).amin((0, 1)), (ends + radii).amax((0, 1)), resolution))


def creature(parts: Sequence[Ellipsoid] = CREATURE, resolution: int = 96) -> Mesh:
    """Closed surface of ellipsoids that flow into each other, each in its colour.

    Args:
        parts: the ellipsoids.
        resolution: voxels along the longest side.
    """
    centres, axes, colours = torch.tensor(parts).unbind(1)

    def distances(points: Tensor) -> Tensor:
        # The scaled implicit function divided by its gradient: a distance to first order near the surface.
        offset = points[..., None, :] - centres
        level = (offset / axes).norm(dim=-1)
        return level * (level - 1) / (offset / axes**2).norm(dim=-1).clamp(min=1e-6)

    def smooth_union(points: Tensor) -> Tensor:
        return -torch.logsumexp(-60 * distances(points), dim=-1) / 60

    low, high = (centres - axes).amin(0), (centres + axes).amax(0)
    mesh = _level_set(smooth_union, low - 0.05, high + 0.05, resolution)
    weights = torch.softmax(-120 * distances(mesh.vertices), dim=-1)
    return Mesh(mesh.vertices, mesh.faces, weights @ colours)


def _level_set(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, resolution: int) -> Mesh:
    """Surface where a function of (..., 3) points, negative inside, is zero."""
    spacing = float((high - low).max()) / resolution
    counts = ((high - low) / spacing).ceil().int() + 5
    start = low - 2 * spacing
    axes = [start[i] + spacing * torch.arange(int(counts[i])) for i in range(3)]
    values = function(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    vertices, faces, _, _ = marching_cubes(values.numpy(), 0.0, gradient_direction="descent")
    return Mesh(start + spacing * torch.from_numpy(vertices.copy()), torch.from_numpy(faces.astype(np.int64)))
