"""A balanced tree of a mesh's triangles, in the layout that the kernels of distances and of rays read."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.mesh import Mesh

Floats = NDArray[np.float64]

LEAF_SIZE = 8
"""Triangles per leaf of the search tree, about."""


def corners_of(mesh: Mesh) -> Floats:
    """(F, 3, 3) of a mesh that has a surface.

    Raises:
        InvalidInputError: the mesh has no face, or a corner that is not finite.
    """
    if len(mesh.faces) == 0:
        raise InvalidInputError("a mesh without faces has no inside")
    corners: Floats = mesh.vertices.detach().double().cpu()[mesh.faces.cpu()].numpy()
    if not np.isfinite(corners).all():
        raise InvalidInputError("the mesh has vertices that are not finite")
    return corners


def balanced(corners: Floats) -> tuple[Floats, int, NDArray[np.int64]]:
    """Triangles in the order of a balanced k-d tree's leaves, all leaves of one size; the tree's depth; that order."""
    depth = max(ceil(log2(len(corners) / LEAF_SIZE)), 0)
    size = ceil(len(corners) / 2**depth)
    # A triangle shrunk to a corner of another changes neither distance nor winding number.
    padding = np.repeat(corners[:1, :1], 3, axis=1).repeat(size * 2**depth - len(corners), axis=0)
    triangles = np.concatenate([corners, padding])
    centroids = triangles.mean(1)
    order = np.arange(len(triangles))
    for level in range(depth):
        groups = order.reshape(2**level, -1)
        members = centroids[groups]
        axis = np.ptp(members, axis=1).argmax(-1)
        along = np.take_along_axis(members, axis[:, None, None], axis=2)[..., 0]
        order = np.take_along_axis(groups, along.argsort(axis=1), axis=1).ravel()
    return np.ascontiguousarray(triangles[order]), depth, order


def boxes_of(triangles: Floats, depth: int) -> tuple[Floats, Floats]:
    """Lowest and highest corners, (nodes, 3) each, of the tree's nodes in heap order."""
    levels = [triangles.reshape(2**level, -1, 3) for level in range(depth + 1)]
    return np.concatenate([level.min(1) for level in levels]), np.concatenate([level.max(1) for level in levels])
