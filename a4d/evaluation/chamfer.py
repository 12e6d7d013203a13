"""The Chamfer distances of a moving surface to a true one, as ActionBench has them: in 3D, in 4D, and of the motion."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.evaluation.alignment import Alignment, align
from a4d.evaluation.motion import MovingShape
from a4d.geometry.mesh import Mesh, sample_surface

SAMPLES = 10_000
"""Points on each surface."""


def motion_distances(
    shape: MovingShape, truth: MovingShape, alignment: Alignment | None = None, seed: int = 0
) -> dict[str, float]:
    """Chamfer distances over time: Euclidean, and the sum of both directions' means.

    A shape and a truth of the same faces are sampled at the same places.

    Args:
        shape: at the truth's moments, aligned with the truth at the first of them.
        truth: in the same frame.
        alignment: by which each moment is brought onto the truth's before `cd_3d`; None leaves them as they are.
        seed: of the points.

    Returns:
        `cd_3d`, the mean over the moments of each one's distance, however it lies; `cd_4d`, the same where the shape
        lies as it does at the first moment; and `cd_m`, the mean distance of points to those of the other side that are
        nearest at the first moment and then kept, which is absent where the points of a side cannot be followed. All in
        the unit of the vertices.
    """
    distances, free = [], []
    for index, (surface, true) in enumerate(zip(shape.surfaces, truth.surfaces, strict=True)):
        targets = _sampled(true, seed)
        distances.append(_chamfer(_sampled(surface, seed), targets))
        if alignment is not None and index > 0:
            moved = MovingShape((surface,)).moved(align(surface, true, alignment)).surfaces[0]
            free.append(_chamfer(_sampled(moved, seed), targets))
        else:
            free.append(distances[-1])
    figures = {"cd_3d": sum(free) / len(free), "cd_4d": sum(distances) / len(distances)}
    own, true_paths = (_followed(side, seed) for side in (shape, truth))
    if own is None or true_paths is None:
        return figures
    return figures | {"cd_m": _kept(own, true_paths) + _kept(true_paths, own)}


def _sampled(mesh: Mesh, seed: int) -> Tensor:
    """(10000, 3) points on a surface."""
    return sample_surface(mesh, SAMPLES, torch.Generator().manual_seed(seed))[0]


def _followed(shape: MovingShape, seed: int) -> Tensor | None:
    """(T, P, 3) places on a surface that keeps its faces, carried by them; else the points that are followed."""
    first = shape.surfaces[0]
    if all(torch.equal(surface.faces, first.faces) for surface in shape.surfaces):
        _, faces, weights = sample_surface(first, SAMPLES, torch.Generator().manual_seed(seed))
        corners = first.faces[faces]
        return torch.stack([(surface.vertices[corners] * weights[..., None]).sum(1) for surface in shape.surfaces])
    if shape.tracks is None:
        return None
    chosen = torch.randperm(shape.tracks.shape[1], generator=torch.Generator().manual_seed(seed))[:SAMPLES]
    return shape.tracks[:, chosen]


def _chamfer(points: Tensor, targets: Tensor) -> float:
    own, true = points.double().cpu().numpy(), targets.double().cpu().numpy()
    return float(cKDTree(true).query(own)[0].mean() + cKDTree(own).query(true)[0].mean())


def _kept(
    points: Tensor,  # (T, P, 3)
    targets: Tensor,  # (T, Q, 3)
) -> float:
    """Mean distance of points to the targets that are nearest at the first moment."""
    points, targets = points.double().cpu(), targets.double().cpu()
    _, nearest = cKDTree(targets[0].numpy()).query(points[0].numpy())
    return float((points - targets[:, torch.from_numpy(nearest)]).norm(dim=-1).mean())
