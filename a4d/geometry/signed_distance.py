"""Signed distances from points to shapes, negative inside: what an implicit surface starts from."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry import signed_distance_kernels
from a4d.geometry.mesh import Mesh

Floats = NDArray[np.float64]

LEAF_SIZE = 8
"""Triangles per leaf of the search tree, about."""

MOST_NEWTON_STEPS = 60
"""Enough to leave the pole behind, which lies at least NUDGE away from any root."""

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
    if len(mesh.faces) == 0:
        raise InvalidInputError("a mesh without faces has no inside")
    corners = mesh.vertices.detach().double().cpu()[mesh.faces.cpu()].numpy()
    if not np.isfinite(corners).all():
        raise InvalidInputError("the mesh has vertices that are not finite")
    triangles, depth = _balanced(corners)
    queries = np.ascontiguousarray(points.detach().double().cpu().numpy())
    distances = np.empty(len(queries))
    signed_distance_kernels.signed_distances(
        queries, triangles, _boxes(triangles, depth), _dipoles(triangles, depth), distances
    )
    return torch.from_numpy(distances).to(points)


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
    # Left of the root, from where Newton's steps on this convex function never overshoot. Most points need few steps;
    # near the planes of symmetry inside, each step only multiplies the distance from the pole by 1.5.
    t = (axes * position - squares).amax(-1, keepdim=True)
    for _ in range(MOST_NEWTON_STEPS):
        ratios = (axes * position / (squares + t)) ** 2
        step = (ratios.sum(-1, keepdim=True) - 1) / (2 * (ratios / (squares + t)).sum(-1, keepdim=True))
        t = t + step
        if bool((step <= 1e-10 * (squares.min() + t)).all()):
            break
    nearest = squares * position / (squares + t)
    distance = (position - nearest).norm(dim=-1)
    return distance.copysign(((position / axes) ** 2).sum(-1) - 1).to(points)


def _balanced(corners: Floats) -> tuple[Floats, int]:
    """Triangles in the order of a balanced k-d tree's leaves, all leaves of one size; and the tree's depth."""
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
    return np.ascontiguousarray(triangles[order]), depth


def _boxes(triangles: Floats, depth: int) -> tuple[Floats, Floats]:
    """Lowest and highest corners, (nodes, 3) each, of the tree's nodes in heap order."""
    levels = [triangles.reshape(2**level, -1, 3) for level in range(depth + 1)]
    return np.concatenate([level.min(1) for level in levels]), np.concatenate([level.max(1) for level in levels])


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
