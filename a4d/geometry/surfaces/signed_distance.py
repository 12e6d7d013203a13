"""Distances from points to shapes, negative inside: what an implicit surface starts from and is judged by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces import signed_distance_kernels
from a4d.geometry.surfaces.triangle_tree import Floats, balanced, boxes_of, corners_of

MOST_NEWTON_STEPS = 60
"""Three times what the flattest shapes tried need."""

NUDGE = 1e-7
"""Least distance from the planes of symmetry, in units of the smallest half axis."""


def distance_to_mesh(
    points: Tensor,  # (N, 3) world, metres
    mesh: Mesh,
) -> Tensor:
    """(N,) exact distances to a mesh, negative inside; without gradients.

    Inside is where the generalised winding number, from a tree of dipoles (Barill et al. 2018), is above one half:
    small holes, parts that overlap and a mesh turned inside out as a whole do no harm.

    Raises:
        InvalidInputError: the mesh has no face, or a corner that is not finite.
    """
    triangles, depth, _ = balanced(corners_of(mesh))
    queries = np.ascontiguousarray(points.detach().double().cpu().numpy())
    distances = np.empty(len(queries))
    signed_distance_kernels.signed_distances(
        queries, triangles, boxes_of(triangles, depth), _dipoles(triangles, depth), distances
    )
    return torch.from_numpy(distances).to(points)


def nearest_faces(
    points: Tensor,  # (N, 3) world, metres
    mesh: Mesh,
) -> tuple[Tensor, Tensor]:
    """(N,) exact distances to a mesh, not negative, and (N,) int64 the face that is nearest; without gradients.

    Raises:
        InvalidInputError: the mesh has no face, or a corner that is not finite.
    """
    triangles, depth, order = balanced(corners_of(mesh))
    queries = np.ascontiguousarray(points.detach().double().cpu().numpy())
    distances, nearest = np.empty(len(queries)), np.empty(len(queries), np.int64)
    signed_distance_kernels.nearest_triangles(queries, triangles, boxes_of(triangles, depth), distances, nearest)
    # What fills up the last leaves lies at a corner of the first face.
    faces = np.where(order[nearest] < len(mesh.faces), order[nearest], 0)
    return torch.from_numpy(distances).to(points), torch.from_numpy(faces).to(points.device)


def distance_to_ellipsoid(
    points: Tensor,  # (N, 3)
    half_axes: Sequence[float],  # along x, y and z
) -> Tensor:
    """(N,) exact distances to an ellipsoid around the origin, negative inside; without gradients.

    The nearest surface point is half_axes² point / (half_axes² + t) for the one t that puts it on the surface, found by
    Newton's method (after Eberly, Distance from a point to an ellipsoid).

    Raises:
        UsageError: a half axis is not positive.
    """
    if min(half_axes) <= 0:
        raise UsageError(f"an ellipsoid of half axes {tuple(half_axes)} has no inside")
    axes = torch.tensor(half_axes, dtype=torch.float64, device=points.device)
    # On a plane of symmetry the nearest point inside may leave the plane; a nudge off it picks one of the two.
    position = points.detach().double().abs().clamp(min=NUDGE * float(axes.min()))
    squares = axes**2
    excess = squares - squares.min()
    # Counted from the pole of the smallest axis, where roots may crowd. The start lies left of the root, from where
    # Newton's steps on a convex function never overshoot.
    offset = (axes * position - excess).amax(-1, keepdim=True)
    for _ in range(MOST_NEWTON_STEPS):
        ratios = (axes * position / (excess + offset)) ** 2
        step = (ratios.sum(-1, keepdim=True) - 1) / (2 * (ratios / (excess + offset)).sum(-1, keepdim=True))
        offset = offset + step
        if bool((step <= 1e-9 * offset).all()):
            break
    nearest = squares * position / (excess + offset)
    distance = (position - nearest).norm(dim=-1)
    return distance.copysign(((position / axes) ** 2).sum(-1) - 1).to(points)


def _dipoles(triangles: Floats, depth: int) -> tuple[Floats, Floats, Floats]:
    """Area-weighted centres (nodes, 3), radii (nodes,) around them and area vectors (nodes, 3) in heap order."""
    vectors = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]) / 2
    areas = np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-300
    weighted = areas * triangles.mean(1)
    centres, radii, moments = [], [], []
    for level in range(depth + 1):
        count = 2**level
        centre = weighted.reshape(count, -1, 3).sum(1) / areas.reshape(count, -1, 1).sum(1)
        offsets = triangles.reshape(count, -1, 3) - centre[:, None]
        centres.append(centre)
        radii.append(np.linalg.norm(offsets, axis=-1).max(1))
        moments.append(vectors.reshape(count, -1, 3).sum(1))
    return np.concatenate(centres), np.concatenate(radii), np.concatenate(moments)
