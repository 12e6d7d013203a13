"""How open a surface lies to its surroundings: what no ray from outside reaches is inside of something."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces import openness_kernels
from a4d.geometry.surfaces.triangle_tree import balanced, boxes_of, corners_of

RAYS = 64
"""In all directions, of which about half lead out of the surface."""

LIFT = 1e-5
"""Shares of the mesh's size by which rays begin above the surface, so that they do not meet it themselves."""


def openness(mesh: Mesh) -> Tensor:
    """(F,) in [0, 1]: of evenly spread rays out of the middle of each face, the share that meets no face.

    Raises:
        InvalidInputError: the mesh has no face, or a corner that is not finite.
    """
    corners = corners_of(mesh)
    triangles, depth, _ = balanced(corners)
    normals = normalize(mesh.face_normals.detach().double().cpu(), dim=-1).numpy()
    points = corners.mean(1) + LIFT * float(np.ptp(corners.reshape(-1, 3), axis=0).max()) * normals
    shares = np.empty(len(points))
    directions = _evenly_spread(RAYS).numpy()
    openness_kernels.shares_of_open_rays(points, normals, directions, triangles, boxes_of(triangles, depth), shares)
    return torch.from_numpy(shares).to(mesh.vertices)


def _evenly_spread(count: int) -> Tensor:
    """(N, 3) float64 unit directions along a spiral from pole to pole."""
    place = torch.arange(count, dtype=torch.float64) + 0.5
    height = 1 - 2 * place / count
    angle = place * math.pi * (1 + math.sqrt(5))
    radius = (1 - height.square()).sqrt()
    return torch.stack([radius * angle.cos(), height, radius * angle.sin()], dim=-1)
