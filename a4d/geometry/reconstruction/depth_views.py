"""What a camera sees of a surface by its depth, and the colours that several such views give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.mesh import Mesh
from a4d.geometry.reconstruction import fusion_kernels
from a4d.geometry.reconstruction.outlines import outline_distance

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DepthView:
    """What one camera sees.

    Args:
        depth: (H, W) along the viewing axis in metres; only read where alpha is above one half.
        alpha: (H, W) coverage in [0, 1].
        rgb: (H, W, 3) sRGB composited over black.
        camera: one view of the same size.
    """

    depth: Tensor
    alpha: Tensor
    rgb: Tensor
    camera: Cameras


@dataclass(frozen=True)
class PreparedView:
    """A view as the kernels take it: float32 arrays, and camera_from_world and intrinsics in float64."""

    depth: Floats
    trust: Floats
    silhouette: Floats
    rgb: Floats
    pose: NDArray[np.float64]
    lens: NDArray[np.float64]


def prepared_view(view: DepthView) -> PreparedView:
    """Find what a view's pixels are worth."""
    alpha, depth, rgb = (
        np.ascontiguousarray(image.detach().float().cpu().numpy()) for image in (view.alpha, view.depth, view.rgb)
    )
    lens = view.camera.intrinsics[0].double().cpu().numpy()
    trust = np.empty_like(depth)
    fusion_kernels.pixel_trust(depth, alpha, lens[0], trust)
    rgb = np.clip(rgb / np.maximum(alpha, 0.5)[..., None], 0, 1)
    pose = view.camera.camera_from_world[0].double().cpu().numpy()
    return PreparedView(depth, trust, outline_distance(alpha), rgb, np.ascontiguousarray(pose), lens)


def vertex_colours(mesh: Mesh, views: Sequence[PreparedView], tolerance: float) -> Floats:
    """(V, 3) mean colour over the views that see a vertex, frontal views first; unseen ones take their neighbour's."""
    vertices, normals = mesh.vertices.double().numpy(), mesh.vertex_normals.double().numpy()
    total, weight = np.zeros((len(vertices), 3), np.float32), np.zeros(len(vertices), np.float32)
    for view in views:
        fusion_kernels.gather_colours(
            (view.depth, view.trust, view.rgb, view.pose, view.lens), vertices, normals, tolerance, (total, weight)
        )
    seen = weight > 1e-6
    if not seen.any():
        return np.full_like(total, 0.5)
    colours = (total / np.maximum(weight, 1e-9)[:, None]).astype(np.float32)
    _, nearest = cKDTree(vertices[seen]).query(vertices[~seen])
    colours[~seen] = colours[seen][nearest]
    return colours
