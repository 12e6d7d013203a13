"""Fewer faces for the same shape, through fast-simplification."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from a4d.errors import BackendUnavailableError
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.manifold import taken_apart


def decimated(mesh: Mesh, faces: int) -> Mesh:
    """A mesh of about so many faces, by collapsing the edges that matter least (Garland and Heckbert 1997).

    Args:
        mesh: on the CPU.
        faces: at most, where the shape allows it; a mesh that has fewer stays as it is.

    Returns:
        The mesh, see `taken_apart`; a vertex has the colour of the nearest one that there was.

    Raises:
        BackendUnavailableError: fast-simplification is not installed.
    """
    if len(mesh.faces) <= faces:
        return mesh
    try:
        import fast_simplification
    except ImportError:
        raise BackendUnavailableError(
            "meshes are simplified through fast-simplification, which is not installed",
            "Run `pip install fast-simplification`, or choose --texture 0 and a coarser --resolution",
        ) from None
    vertices = np.ascontiguousarray(mesh.vertices.detach().numpy(), dtype=np.float64)
    found = fast_simplification.simplify(
        vertices, np.ascontiguousarray(mesh.faces.numpy(), dtype=np.int64), target_count=faces
    )
    kept, triangles = found[0], found[1]
    colours = None
    if mesh.colours is not None:
        _, nearest = cKDTree(vertices).query(kept)
        colours = mesh.colours[torch.from_numpy(nearest)]
    points = torch.from_numpy(np.asarray(kept, np.float32))
    return taken_apart(Mesh(points, torch.from_numpy(np.asarray(triangles, np.int64)), colours))
