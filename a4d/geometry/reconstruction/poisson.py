"""Depth images from known cameras as one smooth surface: screened Poisson reconstruction, through Open3D.

Kazhdan and Hoppe (2013) look for the solid whose indicator function has the gradient that oriented points ask for. It
bridges what no ray saw by the smoothest surface, where averaged distances leave steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import BackendUnavailableError, InvalidInputError
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction.depth_views import DepthView, PreparedView, prepared_view, vertex_colours
from a4d.geometry.surfaces.manifold import taken_apart

SMALLEST_PART = 0.01
"""Share of the faces of the largest part below which another is dropped."""

FEWEST_POINTS = 16

Points = NDArray[np.float64]


def poisson(
    views: Iterable[DepthView],
    bounds: Tensor,  # (2, 3) lowest and highest corner of the object's box, world, metres
    resolution: int,
) -> Mesh:
    """Reconstruct an object from its depth images.

    Args:
        views: around the object.
        bounds: what lies beyond is no part of it.
        resolution: cells along the box's longest side; the octree is as deep as it takes to have as many.

    Returns:
        A mesh, wound outward, with vertex colours.

    Raises:
        BackendUnavailableError: Open3D is not installed, or cannot run here.
        InvalidInputError: the views see no surface.
    """
    open3d = require_open3d()
    prepared = [prepared_view(view) for view in views]
    low, high = bounds.double().cpu().numpy()
    clouds = [_oriented_points(view) for view in prepared]
    points, normals = (np.concatenate([cloud[part] for cloud in clouds]) for part in (0, 1))
    inside = ((points >= low) & (points <= high)).all(1)
    if inside.sum() < FEWEST_POINTS:
        raise InvalidInputError("the views show no surface", "Check the cameras and the alpha channel")
    spacing = float((high - low).max()) / resolution
    mesh = _reconstructed(open3d, points[inside], normals[inside], spacing)
    return Mesh(mesh.vertices, mesh.faces, torch.from_numpy(vertex_colours(mesh, prepared, 1.5 * spacing)))


def require_open3d() -> Any:
    """The package.

    Raises:
        BackendUnavailableError: it is not installed, or a library of the system that it needs is not.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"Poisson surfaces are made by Open3D, which is not here: {str(error).splitlines()[0]}",
            "Run `pip install a4d[open3d]`, or choose --surface fused",
        ) from None
    return open3d


def _oriented_points(view: PreparedView) -> tuple[Points, Points]:
    """(N, 3) places that a view's pixels see, and (N, 3) unit normals there, from the pixels beside them."""
    height, width = view.depth.shape
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    depth = view.depth.astype(np.float64)
    focal_x, focal_y, centre_x, centre_y = view.lens
    seen = np.stack([(column - centre_x) / focal_x * depth, (row - centre_y) / focal_y * depth, depth], axis=-1)
    down = seen[2:, 1:-1] - seen[:-2, 1:-1]
    right = seen[1:-1, 2:] - seen[1:-1, :-2]
    normal = np.cross(down, right)
    trusted = view.trust > 0
    is_known = trusted[1:-1, 1:-1] & trusted[2:, 1:-1] & trusted[:-2, 1:-1] & trusted[1:-1, 2:] & trusted[1:-1, :-2]
    normals, points = normal[is_known], seen[1:-1, 1:-1][is_known]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    rotation, position = view.pose[:3, :3], view.pose[:3, 3]
    return (points - position) @ rotation, normals @ rotation


def _reconstructed(open3d: Any, points: Points, normals: Points, spacing: float) -> Mesh:
    """The surface of oriented points, without small parts."""
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    cloud = cloud.voxel_down_sample(spacing / 2)
    cloud.normalize_normals()
    extent = float((points.max(0) - points.min(0)).max())
    depth = max(3, math.ceil(math.log2(1.1 * extent / spacing)))
    # The order of several threads would show in the last bits.
    solid, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=depth, n_threads=1)
    part, size, _ = (np.asarray(each) for each in solid.cluster_connected_triangles())
    solid.remove_triangles_by_mask((size < SMALLEST_PART * size.max())[part])
    solid.remove_unreferenced_vertices()
    vertices, faces = np.asarray(solid.vertices, np.float32), np.asarray(solid.triangles, np.int64)
    return taken_apart(Mesh(torch.from_numpy(vertices), torch.from_numpy(faces)))
