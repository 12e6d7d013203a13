"""Bones and sparse weights out of vertex trajectories: smooth skinning decomposition (Le and Deng 2012).

The error of linear blend skinning is brought down by turns over the weights, each vertex on its own, and over the
bones, each with a closed form. Bones begin as clusters of vertices that move alike, split where they fit worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.deformation.skinning_decomposition_kernels import ATOMS, fit_weights, nearest_bones
from a4d.geometry.transforms import rigid_from_parts

Array = NDArray[np.float64]

SEEDING_LIMIT = 3000
"""Vertices that suffice to find the clusters."""

CONVERGED = 0.99
"""The error of one round over that of the round before at which more rounds are not worth their time."""

NEIGHBOURS = 24
"""Vertices around the worst one that a new bone begins with."""

LIGHTEST = 1.0
"""Sum of squared weights below which a bone is put to better use."""


@dataclass(frozen=True)
class SkinningDecomposition:
    """Bones that explain trajectories.

    Args:
        rest: (V, 3) float64 metres.
        bone_transforms: (T, B, 4, 4) float64 rigid, posed_from_rest.
        influences: of the bones on the vertices.
        error: metres, root mean square distance over vertices and frames.
    """

    rest: Tensor
    bone_transforms: Tensor
    influences: Influences
    error: float

    def motion(self, seconds_per_frame: float) -> Motion:
        """The bones as a flat skeleton, each placed amid the vertices that it moves, so that its turns stay local.

        Args:
            seconds_per_frame: positive.
        """
        count = self.bone_transforms.shape[1]
        weights = torch.zeros(len(self.rest), count, dtype=torch.float64)
        weights.scatter_add_(1, self.influences.joints, self.influences.weights.double())
        centres = (weights.T @ self.rest) / weights.sum(0).clamp_min(1e-12)[:, None]
        rest = rigid_from_parts(torch.eye(3, dtype=torch.float64).expand(count, 3, 3), centres)
        names = tuple(f"bone {bone:02d}" for bone in range(count))
        skeleton = Skeleton(names, torch.full((count,), -1), rest)
        return Motion(skeleton, self.bone_transforms @ rest, seconds_per_frame)


def decompose_skinning(
    trajectories: Tensor,  # (T, V, 3) metres
    bones: int,
    rest: Tensor | None = None,  # (V, 3) metres, the first frame by default
    influences: int = 4,
    rounds: int = 12,
) -> SkinningDecomposition:
    """Rigid bones and sparse convex weights whose linear blend skinning comes closest to the trajectories.

    Args:
        trajectories: of the same vertices at all frames.
        bones: how many at most; fewer are used where fewer suffice.
        rest: the shape that the bones deform.
        influences: bones per vertex at most, 1 to 7.
        rounds: of fitting weights and bones by turns.

    Raises:
        UsageError: a number out of range.
    """
    if bones < 1 or not 1 <= influences < ATOMS:
        raise UsageError(f"{bones} bones with {influences} influences per vertex cannot be fitted", "Use 1 to 7")
    frames = np.ascontiguousarray(trajectories.detach().cpu().double().numpy())
    # A frame of reference amid the shape and of its size keeps the sums well conditioned.
    shape = frames[0] if rest is None else rest.detach().cpu().double().numpy()
    centre, size = shape.mean(0), max(float(np.ptp(shape, axis=0).max()), 1e-12)
    local, targets = (shape - centre) / size, np.ascontiguousarray(((frames - centre) / size).transpose(1, 0, 2))
    transforms = _seed_bones(local, targets, bones)
    error = np.inf
    for _ in range(rounds):
        joints, weights = _weights(local, targets, transforms, influences)
        transforms, residual = refit_bones(local, targets, transforms, joints, weights)
        before, error = error, _root_mean_square(residual)
        if error > CONVERGED * before:
            break
    joints, weights = _weights(local, targets, transforms, influences)
    used, joints = np.unique(joints, return_inverse=True)
    joints, transforms = joints.reshape(weights.shape), transforms[:, used]
    residual = _residual(local, targets, transforms, joints, weights)
    linear, translation = transforms[..., :3], transforms[..., 3]
    translation = translation * size + centre - linear @ centre
    return SkinningDecomposition(
        torch.from_numpy(shape.copy()),
        rigid_from_parts(torch.from_numpy(linear.copy()), torch.from_numpy(translation)),
        Influences(torch.from_numpy(joints), torch.from_numpy(weights).float()),
        size * _root_mean_square(residual),
    )


def _seed_bones(rest: Array, targets: Array, bones: int) -> Array:
    """(T, B, 3, 4) rigid motions of clusters that are doubled until they are enough, on some of the vertices."""
    chosen = np.linspace(0, len(rest) - 1, min(len(rest), SEEDING_LIMIT)).astype(np.int64)
    rest, targets = np.ascontiguousarray(rest[chosen]), np.ascontiguousarray(targets[chosen])
    transforms = _rigid_motion(rest, targets, np.ones(len(rest)))[:, None]
    joints, errors = np.zeros(len(rest), np.int64), np.empty(len(rest))
    while True:
        for _ in range(4):
            nearest_bones(rest, targets, transforms, joints, errors)
            for bone in range(transforms.shape[1]):
                members = joints == bone
                if members.sum() >= 3:
                    transforms[:, bone] = _rigid_motion(rest[members], targets[members], np.ones(members.sum()))
        nearest_bones(rest, targets, transforms, joints, errors)
        new = _split(rest, targets, joints, errors, bones - transforms.shape[1])
        if not new:
            return transforms
        transforms = np.concatenate([transforms, np.stack(new, axis=1)], axis=1)


def _split(rest: Array, targets: Array, joints: NDArray[np.int64], errors: Array, room: int) -> list[Array]:
    """A new bone around the worst vertex of each cluster, worst clusters first."""
    clusters = np.unique(joints)
    totals = np.array([errors[joints == bone].sum() for bone in clusters])
    new = []
    for bone in clusters[np.argsort(-totals)][:room]:
        members = np.flatnonzero(joints == bone)
        if len(members) < 6 or errors[members].sum() < 1e-12 * len(members):
            continue
        # Far from the middle and badly explained: likely the tip of a part that moves on its own.
        distance = np.linalg.norm(rest[members] - rest[members].mean(0), axis=1)
        seed = members[np.argmax(errors[members] * distance)]
        near = members[np.argsort(np.linalg.norm(rest[members] - rest[seed], axis=1))[:NEIGHBOURS]]
        new.append(_rigid_motion(rest[near], targets[near], np.ones(len(near))))
    return new


def _weights(rest: Array, targets: Array, transforms: Array, influences: int) -> tuple[NDArray[np.int64], Array]:
    joints = np.empty((len(rest), influences), np.int64)
    weights = np.empty((len(rest), influences))
    fit_weights(rest, targets, np.ascontiguousarray(transforms), influences, joints, weights)
    return joints, weights


def _root_mean_square(
    residual: Array,  # (V, T, 3)
) -> float:
    return float(np.sqrt((residual**2).sum(-1).mean()))


def _shares(
    rest: Array,  # (N, 3)
    bone: Array,  # (T, 3, 4)
    weights: Array,  # (N,)
) -> Array:
    """(N, T, 3) what one bone contributes to its vertices."""
    homogeneous = np.append(rest, np.ones((len(rest), 1)), axis=1) * weights[:, None]
    return (homogeneous @ bone.reshape(-1, 4).T).reshape(len(rest), len(bone), 3)


def _residual(rest: Array, targets: Array, transforms: Array, joints: NDArray[np.int64], weights: Array) -> Array:
    """(V, T, 3) what the bones leave of the trajectories."""
    residual = targets.copy()
    for bone in range(transforms.shape[1]):
        vertices, column = np.nonzero((joints == bone) & (weights > 0))
        residual[vertices] -= _shares(rest[vertices], transforms[:, bone], weights[vertices, column])
    return residual


def refit_bones(
    rest: Array,
    targets: Array,
    transforms: Array,
    joints: NDArray[np.int64],
    weights: Array,
    keeps_light: bool = False,
) -> tuple[Array, Array]:
    """Each bone in turn to what the others leave to it; one that moves next to nothing goes where the error is worst.

    Args:
        rest: (V, 3).
        targets: (V, T, 3).
        transforms: (T, B, 3, 4) rigid, posed_from_rest.
        joints: (V, K) the bone that each weight belongs to.
        weights: (V, K).
        keeps_light: leave a bone that moves next to nothing as it is: it stands for something.

    Returns:
        (T, B, 3, 4) the bones; (V, T, 3) what they leave.
    """
    transforms = transforms.copy()
    residual = _residual(rest, targets, transforms, joints, weights)
    for bone in range(transforms.shape[1]):
        vertices, column = np.nonzero((joints == bone) & (weights > 0))
        share = weights[vertices, column]
        if (share**2).sum() < LIGHTEST:
            if keeps_light:
                continue
            worst = int(np.argmax((residual**2).sum((1, 2))))
            near = np.argsort(np.linalg.norm(rest - rest[worst], axis=1))[:NEIGHBOURS]
            transforms[:, bone] = _rigid_motion(rest[near], targets[near], np.ones(len(near)))
            continue
        wanted = residual[vertices] + _shares(rest[vertices], transforms[:, bone], share)
        transforms[:, bone] = _rigid_motion(rest[vertices], wanted, share)
        residual[vertices] = wanted - _shares(rest[vertices], transforms[:, bone], share)
    return transforms, residual


def _rigid_motion(rest: Array, wanted: Array, weights: Array) -> Array:
    """(T, 3, 4) rigid transforms X that minimise the sum of |wanted - weight X rest|^2 (equations 8 and 9).

    Args:
        rest: (N, 3).
        wanted: (N, T, 3).
        weights: (N,).
    """
    weighted = rest * weights[:, None]
    flat = wanted.reshape(len(rest), -1).T
    total = (weights**2).sum()
    rest_centre, centre = weights @ weighted / total, (flat @ weights / total).reshape(-1, 3)
    correlation = (flat @ weighted).reshape(-1, 3, 3) - total * centre[:, :, None] * rest_centre
    # Points on a line leave the turn around it open: the smallest is taken.
    correlation += 1e-9 * np.eye(3) * (1e-12 + np.abs(correlation).max((1, 2)))[:, None, None]
    left, _, right = np.linalg.svd(correlation)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    rotation = left @ right
    translation = centre - rotation @ rest_centre
    return np.concatenate([rotation, translation[:, :, None]], axis=2)
