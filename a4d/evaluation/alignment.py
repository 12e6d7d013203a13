"""Bringing one surface onto another before they are compared: the iterative closest point from many starts."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import Literal

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.transforms import (
    quaternion_from_rotation,
    rigid_from_parts,
    rotation_from_quaternion,
    transform_points,
)

Alignment = Literal["rigid", "similarity", "axes"]
Array = NDArray[np.float64]

COARSE, FINE, DENSE = 400, 4000, 20000
"""Points for the choice of a start, for the refinement, and on the surface that they are brought onto."""

COARSE_STEPS, FINE_STEPS = 15, 200

STRETCH_STEPS, STRETCH_RATE = 200, 0.01
"""Of Adam, where each axis has a size of its own."""


def align(mesh: Mesh, reference: Mesh, kind: Alignment, seed: int = 0) -> Tensor:
    """The transform that brings a surface closest to another (Besl and McKay 1992).

    It starts from the centre of gravity, the size and each of the 24 ways in which the axes can be exchanged, so that
    the surface may be given in any axes, and goes on from where that fits best.

    Args:
        mesh: the surface to be moved.
        reference: where to.
        kind: "similarity" changes the size, too, and "axes" the size along each of the surface's own axes, by
            ActionBench's 200 steps of Adam on the Chamfer distance, from the similarity and not from all 24 starts.
        seed: of the sampled points.

    Returns:
        (4, 4) float64 reference_from_mesh, without mirroring.
    """
    generator = torch.Generator().manual_seed(seed)
    points, _, _ = sample_surface(mesh, FINE, generator)
    target, _, _ = sample_surface(reference, DENSE, generator)
    own: Array = points.detach().cpu().double().numpy()
    true: Array = target.detach().cpu().double().numpy()
    scale = 1.0 if kind == "rigid" else _spread(true) / max(_spread(own), 1e-12)
    every = FINE // COARSE
    sparse, thin = own[::every], true[:: DENSE // FINE]
    starts = [_refined(sparse, thin, _start(own, true, axes, scale), kind, COARSE_STEPS) for axes in _axes()]
    best = min(starts, key=lambda matrix: _distance(sparse, thin, matrix))
    fine = torch.from_numpy(_refined(own, true, best, kind, FINE_STEPS))
    return _stretched(own, true[:: DENSE // FINE], fine) if kind == "axes" else fine


def _axes() -> list[Array]:
    """The 24 rotations that take axes to axes, the identity first."""
    rotations = []
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
        if np.linalg.det(matrix) > 0:
            rotations.append(matrix)
    return sorted(rotations, key=lambda matrix: -float(np.trace(matrix)))


def _start(own: Array, true: Array, rotation: Array, scale: float) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = true.mean(0) - matrix[:3, :3] @ own.mean(0)
    return matrix


def _spread(points: Array) -> float:
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))


def _refined(own: Array, true: Array, start: Array, kind: Alignment, steps: int) -> Array:
    matrix, _, _ = trimesh.registration.icp(
        own, true, initial=start, threshold=1e-9, max_iterations=steps, reflection=False, scale=kind != "rigid"
    )
    return np.asarray(matrix, np.float64)


def _stretched(own: Array, true: Array, start: Tensor) -> Tensor:
    """The best on the way from a similarity to a rotation, a translation and a size along each axis."""
    points, targets, tree = torch.from_numpy(own), torch.from_numpy(true), cKDTree(true)
    spread, scale = _spread(true), float(torch.linalg.det(start[:3, :3])) ** (1 / 3)
    quaternion = quaternion_from_rotation(start[:3, :3] / scale).requires_grad_()
    shift = (start[:3, 3] / spread).requires_grad_()
    sizes = torch.full((3,), math.log(scale), dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.Adam([quaternion, shift, sizes], lr=STRETCH_RATE)
    best, least = start, math.inf
    for _ in range(STRETCH_STEPS):
        matrix = rigid_from_parts(rotation_from_quaternion(quaternion) * sizes.exp(), spread * shift)
        moved = transform_points(matrix, points)
        place = moved.detach().numpy()
        there, back = (torch.from_numpy(found) for found in (tree.query(place)[1], cKDTree(place).query(true)[1]))
        apart = (moved - targets[there]).norm(dim=1).mean() + (moved[back] - targets).norm(dim=1).mean()
        if (distance := float(apart.detach())) < least:
            best, least = matrix.detach(), distance
        optimiser.zero_grad()
        (apart / spread).backward()
        optimiser.step()
    return best


def _distance(own: Array, true: Array, matrix: Array) -> float:
    """Root mean square distance in both directions: one alone is small where a surface has shrunk to a point."""
    moved = own @ matrix[:3, :3].T + matrix[:3, 3]
    forth, _ = cKDTree(true).query(moved)
    back, _ = cKDTree(moved).query(true)
    return math.sqrt(float((forth**2).mean() + (back**2).mean()))
