"""Closed surfaces that touch themselves taken apart, so that every edge has two faces."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from a4d.geometry.mesh import Mesh

Faces = NDArray[np.int64]


def taken_apart(mesh: Mesh) -> Mesh:
    """The same surface without faces that lie back to back or vertices of none, cut where four faces meet in an edge.

    Simplifying thin parts, and reconstructing parts that touch, makes such edges. Around a vertex faces belong together
    that are joined by edges of two faces; each such fan gets a vertex of its own (Guéziec et al. 2001). What this does
    not close is not cut.

    Args:
        mesh: closed but for such edges, on the CPU.
    """
    faces = _without_double(mesh.faces.numpy())
    sources = np.arange(len(mesh.vertices))
    if not _is_manifold(faces):
        cut = _with_own_vertices(faces)
        faces, sources = cut if _is_manifold(cut[0]) else (faces, sources)
    used, place = np.unique(faces, return_inverse=True)
    origin = torch.from_numpy(sources[used])
    colours = None if mesh.colours is None else mesh.colours[origin]
    return Mesh(mesh.vertices[origin], torch.from_numpy(place.reshape(-1, 3)), colours)


def _without_double(faces: Faces) -> Faces:
    """Without pairs of faces that have the same corners the other way round."""
    # Three turns of the corners put the first one first; what differs then is which way round the others follow.
    turned = np.take_along_axis(faces, (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3, axis=1)
    is_mirrored = turned[:, 1] > turned[:, 2]
    _, place = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    place = place.ravel()
    mirrored, count = np.bincount(place, is_mirrored), np.bincount(place)
    return faces[~((count == 2) & (mirrored == 1))[place]]


def _edges(faces: Faces) -> Faces:
    """(3 F,) which edge each side is, face after face."""
    sides = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    return np.asarray(np.unique(sides, axis=0, return_inverse=True)[1].ravel(), np.int64)


def _is_manifold(faces: Faces) -> bool:
    return bool((np.bincount(_edges(faces)) == 2).all())


def _with_own_vertices(faces: Faces) -> tuple[Faces, Faces]:
    """Faces whose corners are one vertex where edges of two faces join them, and (V,) the old vertex of each."""
    edge = _edges(faces)
    is_plain = np.bincount(edge)[edge] == 2
    order = np.argsort(edge[is_plain], kind="stable")
    pairs = np.flatnonzero(is_plain)[order].reshape(-1, 2)
    # A corner is a face and its place in it; a side runs from its corner to the next one.
    corners = [3 * (pairs // 3) + (pairs + step) % 3 for step in (0, 1)]
    start = faces.ravel()[corners[0]]
    is_swapped = start[:, :1] != start
    joined = [np.where(is_swapped, corners[1 - end], corners[end]) for end in (0, 1)]
    first, second = np.concatenate([each[:, 0] for each in joined]), np.concatenate([each[:, 1] for each in joined])
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(faces.size, faces.size))
    count, label = connected_components(graph, directed=False)
    sources = np.zeros(count, np.int64)
    sources[label] = faces.ravel()
    return label.reshape(-1, 3).astype(np.int64), sources
