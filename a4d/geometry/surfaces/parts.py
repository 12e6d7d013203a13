"""The parts of a closed surface: what belongs to it, and what is left over from reconstructing it."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.mesh import Mesh

SMALLEST = 0.01
"""Share of the largest part's volume that another has at the least."""

AREA = 0.046
"""Share of the largest part's area from which a thin part may belong to it: of two balls, that of `SMALLEST`."""

NEAR = 0.1
"""Of the largest part's diagonal, up to which a thin part is near it, as a hat is."""


def without_scraps(mesh: Mesh, smallest: float = SMALLEST) -> Mesh:
    """A surface without the shells of hollows, which nobody sees, and without parts that are too small to belong to it.

    Args:
        mesh: closed, wound outward, on the CPU.
        smallest: share of the largest part's volume that another has at the least. What is thin may have less of it, if
            its area is large and it is near the largest part.
    """
    part = _parts(mesh)
    corners = mesh.vertices.double()[mesh.faces]
    volumes = _sums((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum(1) / 6, part)
    areas = _sums(mesh.face_normals.double().norm(dim=1) / 2, part)
    largest = int(volumes.argmax())
    is_kept = volumes >= smallest * volumes[largest]
    for thin in ((volumes > 0) & (areas >= AREA * areas[largest]) & ~is_kept).nonzero()[:, 0].tolist():
        is_kept[thin] = _is_near(mesh.vertices[mesh.faces[part == thin]], mesh.vertices[mesh.faces[part == largest]])
    used, faces = mesh.faces[is_kept[part]].unique(return_inverse=True)
    return Mesh(mesh.vertices[used], faces, None if mesh.colours is None else mesh.colours[used])


def _parts(mesh: Mesh) -> Tensor:
    """(F,) int64 to which of the parts that hang together each face belongs."""
    first, second = mesh.faces[:, [0, 1]].flatten().numpy(), mesh.faces[:, [1, 2]].flatten().numpy()
    count = len(mesh.vertices)
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(count, count))
    labels = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    return labels[mesh.faces[:, 0]].unique(return_inverse=True)[1]


def _sums(
    values: Tensor,  # (F,)
    part: Tensor,  # (F,)
) -> Tensor:
    """(P,) of the values in each part."""
    return values.new_zeros(int(part.max()) + 1).index_add(0, part, values)


def _is_near(
    corners: Tensor,  # (F, 3, 3)
    others: Tensor,  # (G, 3, 3)
) -> bool:
    points = others.flatten(0, 1)
    distances, _ = cKDTree(points.numpy()).query(corners.flatten(0, 1).numpy())
    return float(distances.min()) <= NEAR * float((points.amax(0) - points.amin(0)).norm())
