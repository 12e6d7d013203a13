"""Surfaces smoothed without shrinking, and which of their vertices are neighbours."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array

from a4d.geometry.mesh import Mesh


def adjacency(mesh: Mesh) -> csr_array:
    """(V, V) 1 where two vertices share an edge, else 0."""
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]).cpu().numpy()
    count = len(mesh.vertices)
    forth = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    return ((forth + forth.T) > 0).astype(np.float64)


def taubin(mesh: Mesh, rounds: int) -> Mesh:
    """A mesh, smoothed by steps to the neighbours' mean and steps that undo the shrinkage (Taubin 1995)."""
    neighbours = adjacency(mesh)
    degree = np.maximum(neighbours.sum(axis=1), 1)[:, None]
    vertices = mesh.vertices.double().cpu().numpy()
    for step in (0.5, -0.53) * rounds:
        vertices = vertices + step * (neighbours @ vertices / degree - vertices)
    return mesh.with_vertices(torch.from_numpy(vertices.astype(np.float32)))
