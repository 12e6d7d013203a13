"""Numbers that say how far a moving shape is from the true one."""

from __future__ import annotations

from typing import Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.evaluation.alignment import Alignment
from a4d.evaluation.chamfer import motion_distances
from a4d.evaluation.motion import Joints, MovingShape
from a4d.geometry.deformation.arap import deformation_energy
from a4d.metrics import SurfaceDistances, surface_distances

SAME_PLACE = 0.01
"""Of the diagonal: vertices in equal number that are nearer than this at the first moment are taken as the same."""

SCORES = ("chamfer", "f_score", "normal_consistency", "accuracy", "completeness")


def compare_shapes(
    shape: MovingShape, truth: MovingShape, threshold: float, alignment: Alignment | None = None
) -> dict[str, Any]:
    """Compare surfaces, paths of points and joints, as far as both have them.

    Args:
        shape: at the truth's moments.
        truth: in the same frame.
        threshold: metres up to which a point of a surface is right.
        alignment: that has brought the shape onto the truth at the first moment, if any did.

    Returns:
        `chamfer`, `accuracy` and `completeness` in metres, `chamfer_share` of the true box's diagonal, `f_score` and
        `normal_consistency`: means over time, and with several moments `moments` with each one's; then what
        `a4d.evaluation.chamfer.motion_distances`, `trajectory_errors` and `joint_errors` say, and the `arap_energy` of
        the shape and of the truth where their points can be followed (see
        `a4d.geometry.deformation.arap.deformation_energy`).
    """
    distances = [
        surface_distances(surface, true, threshold)
        for surface, true in zip(shape.surfaces, truth.surfaces, strict=True)
    ]
    moments = [_scores(distance) for distance in distances]
    facts: dict[str, Any] = {name: sum(scores[name] for scores in moments) / len(moments) for name in SCORES}
    facts |= {"threshold": threshold, "diagonal": truth.diagonal, "chamfer_share": facts["chamfer"] / truth.diagonal}
    if len(moments) > 1:
        facts["moments"] = moments
        facts |= motion_distances(shape, truth, alignment)
        if shape.tracks is not None and truth.tracks is not None:
            facts |= trajectory_errors(shape.tracks, truth.tracks, truth.diagonal)
        named = {"arap_energy": shape, "arap_energy_of_truth": truth}
        facts |= {name: rigidity(moving) for name, moving in named.items() if moving.tracks is not None}
    if shape.joints is not None and truth.joints is not None:
        facts |= joint_errors(shape.joints, truth.joints, truth.diagonal)
    return facts


def rigidity(shape: MovingShape) -> float:
    """The as-rigid-as-possible energy of a shape whose points are followed, along its edges where they are vertices."""
    assert shape.tracks is not None
    first = shape.surfaces[0]
    is_surface = all(torch.equal(surface.faces, first.faces) for surface in shape.surfaces)
    are_vertices = shape.tracks.shape[1] == len(first.vertices) and torch.equal(shape.tracks[0], first.vertices)
    return deformation_energy(shape.tracks, first.faces if is_surface and are_vertices else None)


def trajectory_errors(
    tracks: Tensor,  # (T, P, 3) metres
    truth: Tensor,  # (T, V, 3) metres
    diagonal: float,
) -> dict[str, float]:
    """How far points are from where they should be, on average over points and moments.

    Where both follow the same vertices these are compared. Otherwise each true vertex is followed by the point that is
    nearest at the first moment, from there on.

    Returns:
        `trajectory_error` in metres; `trajectory_share_of_diagonal`; and `trajectory_share_of_static`, of the error
        that a shape has which stays as it is at the first moment: 0 is perfect, 1 as good as no motion. It is absent
        where the truth does not move.
    """
    tracks, truth = tracks.double().cpu(), truth.double().cpu()
    offset = torch.zeros_like(truth[0])
    if tracks.shape != truth.shape or float((tracks[0] - truth[0]).norm(dim=1).max()) > SAME_PLACE * diagonal:
        _, nearest = cKDTree(tracks[0].numpy()).query(truth[0].numpy())
        tracks = tracks[:, torch.from_numpy(nearest)]
        offset = truth[0] - tracks[0]
    error = float((tracks + offset - truth).norm(dim=-1).mean())
    still = float((truth[0] - truth).norm(dim=-1).mean())
    facts = {"trajectory_error": error, "trajectory_share_of_diagonal": error / diagonal}
    return facts | ({"trajectory_share_of_static": error / still} if still > 1e-6 * diagonal else {})


def joint_errors(joints: Joints, truth: Joints, diagonal: float) -> dict[str, float]:
    """Mean errors of the joints that both name, or of all in their order where the names differ but not their number.

    Returns:
        `joints` compared; `joint_error` in metres and `joint_share_of_diagonal`; and `joint_rotation_error`, degrees
        between the turns since the first moment, which do not depend on how a joint's own axes lie. Empty where no
        joint can be matched.
    """
    pairs = [(joints.names.index(name), index) for index, name in enumerate(truth.names) if name in joints.names]
    if not pairs and len(joints.names) == len(truth.names):
        pairs = [(index, index) for index in range(len(truth.names))]
    if not pairs:
        return {}
    own, true = (torch.tensor(side) for side in zip(*pairs, strict=True))
    error = float((joints.positions[:, own].double() - truth.positions[:, true].double()).norm(dim=-1).mean())
    turns, true_turns = (_turns(side.rotations[:, index]) for side, index in ((joints, own), (truth, true)))
    # The chord of a rotation keeps its digits where the arc cosine of the trace does not.
    chord = (turns - true_turns).flatten(-2).norm(dim=-1) / (2 * 2**0.5)
    angle = torch.rad2deg(2 * chord.clamp(max=1).asin()).mean()
    return {
        "joints": len(pairs),
        "joint_error": error,
        "joint_share_of_diagonal": error / diagonal,
        "joint_rotation_error": float(angle),
    }


def _turns(
    rotations: Tensor,  # (T, J, 3, 3)
) -> Tensor:
    """(T, J, 3, 3) rotations in the world since the first moment."""
    return rotations @ rotations[:1].transpose(-1, -2)


def _scores(distances: SurfaceDistances) -> dict[str, float]:
    return {name: float(getattr(distances, name)) for name in SCORES}
