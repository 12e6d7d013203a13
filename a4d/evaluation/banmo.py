"""Scores of moving surfaces by the protocol of BANMo's tables, which forgive what a single camera cannot know.

Each moment is seen from its camera, brought to the depth of the truth by one factor, and turned and shifted onto it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import trimesh
from torch import Tensor

from a4d.evaluation.motion import MovingShape
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.surfaces.signed_distance import nearest_faces
from a4d.geometry.transforms import transform_points

ITERATIONS = 100
"""Of the iterative closest point at most, without scale."""

SAMPLES = 10_000
"""Points on each surface."""

STRICTNESS = (1, 2, 5)
"""Percent of the longest side of the truth's box, at every moment, within which a point is right."""


def banmo_scores(
    shape: MovingShape,
    truth: MovingShape,
    camera_from_world: Tensor,  # (T, 4, 4) rigid, of each moment
    centimetres: float | None,
    seed: int = 0,
) -> dict[str, float]:
    """Chamfer distances and F-scores, means over T moments.

    Distances are from the points of one surface to the nearest place on the other: to its points they would count their
    spacing.

    Args:
        shape: at the truth's moments.
        truth: in the same world.
        camera_from_world: +Z along the view.
        centimetres: that a unit of the world is in the truth's own size; None where nobody knows.
        seed: of the points.

    Returns:
        `banmo_chamfer_percent`, the sum of both directions' means over the longest side of the truth's box, in percent;
        `banmo_chamfer_cm`, the same in centimetres where they are known; and `banmo_f1`, `banmo_f2` and `banmo_f5`, the
        F-scores in percent.
    """
    moments = [
        _moment(surface, true, view, seed)
        for surface, true, view in zip(shape.surfaces, truth.surfaces, camera_from_world.double().cpu(), strict=True)
    ]
    chamfer, share, *scores = np.mean(moments, axis=0).tolist()
    figures = {"banmo_chamfer_percent": 100 * share}
    if centimetres is not None:
        figures["banmo_chamfer_cm"] = centimetres * chamfer
    return figures | {f"banmo_f{percent}": score for percent, score in zip(STRICTNESS, scores, strict=True)}


def _moment(surface: Mesh, truth: Mesh, camera_from_world: Tensor, seed: int) -> tuple[float, ...]:
    """The Chamfer distance in units of the world, and as a share of the longest side; and the F-scores in percent."""
    own, true = (_seen(mesh, camera_from_world) for mesh in (surface, truth))
    depths = [_sampled(mesh, seed)[:, 2].median() for mesh in (own, true)]
    own = own.with_vertices(own.vertices * (depths[1] / depths[0]))
    own = own.with_vertices(transform_points(_onto(_sampled(own, seed), _sampled(true, seed)), own.vertices))
    forth, _ = nearest_faces(_sampled(own, seed), true)
    back, _ = nearest_faces(_sampled(true, seed), own)
    side = float((true.vertices.amax(0) - true.vertices.amin(0)).max())
    scores = [_f_score(forth, back, percent / 100 * side) for percent in STRICTNESS]
    chamfer = float(forth.mean() + back.mean())
    return (chamfer, chamfer / side, *scores)


def _seen(mesh: Mesh, camera_from_world: Tensor) -> Mesh:
    return Mesh(transform_points(camera_from_world, mesh.vertices.detach().double().cpu()), mesh.faces.cpu())


def _sampled(mesh: Mesh, seed: int) -> Tensor:
    """(P, 3) points, at the same places of surfaces of the same form."""
    return sample_surface(mesh, SAMPLES, torch.Generator().manual_seed(seed))[0]


def _onto(points: Tensor, targets: Tensor) -> Tensor:
    """(4, 4) the rigid motion that brings points closest to others, from where they are."""
    matrix, _, _ = trimesh.registration.icp(
        points.numpy(), targets.numpy(), threshold=1e-9, max_iterations=ITERATIONS, reflection=False, scale=False
    )
    return torch.from_numpy(np.asarray(matrix, np.float64))


def _f_score(forth: Tensor, back: Tensor, threshold: float) -> float:
    precision, recall = (float((distances <= threshold).double().mean()) for distances in (forth, back))
    return 200 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def nearest_views(
    camera_from_world: Tensor,  # (N, 4, 4)
    seen_at: Tensor,  # (N,) times in [0, 1]
    times: Sequence[float],
) -> Tensor:
    """(T, 4, 4) of all cameras, for each of some times the one that looked nearest to it; the first of several."""
    return camera_from_world[[int((seen_at - time).abs().argmin()) for time in times]]


def centimetres_per_unit(
    world_from_truth: Tensor | None,  # (4, 4) similarity
    is_metric: bool,
) -> float | None:
    """How many of a truth's own centimetres a unit of the world is; None where its unit is not known to be metres."""
    if not is_metric:
        return None
    scale = 1.0 if world_from_truth is None else float(torch.linalg.det(world_from_truth[:3, :3].double()).abs())
    return 100 / scale ** (1 / 3)
