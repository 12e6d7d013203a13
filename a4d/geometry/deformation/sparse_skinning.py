"""Any skinning told by linear blending with a few bones per vertex, which is all that other programs know."""

from __future__ import annotations

from itertools import chain, combinations

import torch
from torch import Tensor

from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skinning_decomposition import refit_bones
from a4d.geometry.transforms import rigid_from_parts

FAITH = 2e-3
"""Of the diagonal: an error that justifies it for a vertex to hang wholly on another bone than it did."""

ROUNDS = 8
"""Of fitting weights and bones by turns."""

SUFFICIENT = 3000
"""Vertices, spread over all, that tell how the bones move."""

UNDENIED = 0.15
"""Weight beyond which a bone moves a vertex, whatever it may share with the strongest one."""

CHUNK = 2**16
"""Vertices at moments whose weights are found at once."""


def sparse_influences(
    rest: Tensor,  # (V, 3) metres
    posed: Tensor,  # (T, V, 3) metres
    bone_transforms: Tensor,  # (T, B, 4, 4) rigid, posed_from_rest
    weights: Tensor,  # (V, B) with which something posed them, rows sum to 1
    may_share: Tensor,  # (B, B) bool
    count: int = 4,
) -> Influences:
    """Weights near those that are given, whose linear blending comes closest to a posed surface.

    A vertex keeps its strongest bones, of those that may share it with the strongest of all or move it much in any
    case. Their weights are the exact minimum; bones and weights are fitted by turns, see `blended_bones`.

    Args:
        rest: the surface at rest.
        posed: the same vertices at T moments.
        bone_transforms: by which they were posed, in whatever way.
        weights: the same.
        may_share: which bones may move the same vertex, symmetric.
        count: bones per vertex at most.
    """
    rest, posed, transforms, dense = (each.detach().double().cpu() for each in (rest, posed, bone_transforms, weights))
    dense = dense * (may_share[dense.argmax(1)] | (dense > UNDENIED))
    before, joints = dense.topk(min(count, dense.shape[1]), dim=1)
    before = before / before.sum(1, keepdim=True)
    size = float((rest.amax(0) - rest.amin(0)).norm())

    def shares_of(part: Tensor) -> Tensor:
        scaled = rest[part] / size, posed[:, part] / size, _scaled(transforms, 1 / size)
        return _shares(*scaled, joints[part], before[part])

    some = spread_vertices(len(rest))
    for _ in range(ROUNDS):
        influences = Influences(joints[some], shares_of(some))
        transforms = blended_bones(rest[some], posed[:, some], transforms, influences, sweeps=1)
    shares = shares_of(torch.arange(len(rest)))
    return Influences(joints, (shares / shares.sum(1, keepdim=True)).float())


def spread_vertices(count: int) -> Tensor:
    """(N,) int64 at most `SUFFICIENT` of a number of vertices."""
    return torch.linspace(0, count - 1, min(count, SUFFICIENT)).long()


def blended_bones(
    rest: Tensor,  # (V, 3) metres
    posed: Tensor,  # (T, V, 3) metres
    bone_transforms: Tensor,  # (T, B, 4, 4) rigid, posed_from_rest
    influences: Influences,
    sweeps: int = 4,
) -> Tensor:
    """(T, B, 4, 4) float64 rigid bones near those that are given, whose linear blending comes closest to what is posed.

    Args:
        rest: the surface at rest, or some of its vertices.
        posed: the same vertices at T moments.
        bone_transforms: where the bones begin; one that moves next to nothing stays as it is.
        influences: on the same vertices.
        sweeps: over all bones, each fitted in turn to what the others leave.
    """
    rest, posed = rest.detach().double().cpu(), posed.detach().double().cpu()
    centre = rest.mean(0)
    bones = _about(bone_transforms.detach().double().cpu(), centre)[..., :3, :].contiguous().numpy()
    targets = (posed - centre).transpose(0, 1).contiguous().numpy()
    shares = influences.weights.double().numpy()
    for _ in range(sweeps):
        bones, _ = refit_bones(
            (rest - centre).numpy(), targets, bones, influences.joints.numpy(), shares, keeps_light=True
        )
    fitted = torch.from_numpy(bones)
    return _about(rigid_from_parts(fitted[..., :3], fitted[..., 3]), -centre)


def _about(transforms: Tensor, centre: Tensor) -> Tensor:
    """(..., 4, 4) rigid motions as a frame whose origin is a place sees them."""
    linear, shift = transforms[..., :3, :3], transforms[..., :3, 3]
    return rigid_from_parts(linear, shift + linear @ centre - centre)


def _scaled(transforms: Tensor, scale: float) -> Tensor:
    """(..., 4, 4) rigid motions in another unit."""
    return rigid_from_parts(transforms[..., :3, :3], scale * transforms[..., :3, 3])


def _shares(rest: Tensor, posed: Tensor, transforms: Tensor, joints: Tensor, before: Tensor) -> Tensor:
    """(V, K) the weights of each vertex's bones that minimise its squared distances and the faithfulness to others.

    The minimum over weights that are not negative and sum to 1 is the best of the minima over all sets of bones.
    """
    some = max(1, CHUNK // len(posed))
    parts = zip(*(each.split(some) for each in (rest, posed.transpose(0, 1), joints, before)), strict=True)
    return torch.cat([_shares_of_some(part[0], part[1], transforms, *part[2:]) for part in parts])


def _shares_of_some(rest: Tensor, posed: Tensor, transforms: Tensor, joints: Tensor, before: Tensor) -> Tensor:
    count, bones = len(posed[0]), joints.shape[1]
    chosen = transforms[:, joints, :3, :]
    moved = torch.einsum("tvkab,vb->vkta", chosen[..., :3], rest) + chosen[..., 3].permute(1, 2, 0, 3)
    errors = (moved - posed[:, None]).flatten(2)
    ridge = count * FAITH**2
    gram = errors @ errors.transpose(1, 2) + ridge * torch.eye(bones, dtype=errors.dtype)
    best, least = before, torch.full((len(rest),), torch.inf, dtype=errors.dtype)
    for members in chain.from_iterable(combinations(range(bones), size) for size in range(1, bones + 1)):
        weights = _minimum(gram, ridge * before, list(members))
        energy = torch.einsum("vk,vkl,vl->v", weights, gram, weights) - 2 * ridge * (weights * before).sum(1)
        is_better = (energy < least) & (weights >= 0).all(1)
        best, least = torch.where(is_better[:, None], weights, best), torch.where(is_better, energy, least)
    return best


def _minimum(
    gram: Tensor,  # (V, K, K)
    pull: Tensor,  # (V, K)
    members: list[int],
) -> Tensor:
    """(V, K) weights of sum 1, of any sign and of some bones alone, that minimise w^T G w - 2 pull^T w."""
    inverse = torch.linalg.inv(gram[:, members][:, :, members])
    free, per_unit = inverse @ pull[:, members, None], inverse.sum(2, keepdim=True)
    weights = torch.zeros_like(pull)
    weights[:, members] = (free + per_unit * (1 - free.sum(1, keepdim=True)) / per_unit.sum(1, keepdim=True))[..., 0]
    return weights
