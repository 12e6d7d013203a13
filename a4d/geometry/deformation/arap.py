"""As-rigid-as-possible energy of moving points: how far each neighbourhood is from having turned as a whole.

Sorkine and Alexa 2007, equation 3, with binary weights, as in SC-GS and Animate3D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.mesh import first_in_place

ABSENT = -1

MOST_REPORTED = 4096
"""Neighbourhoods at most, spread over all, of which an energy that is reported is the mean."""

MOST_EDGES = 12
"""Edges of a vertex at most that count then."""

NEAREST = 6
"""Neighbours of a point without edges that count then."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Points and the points around each.

    Args:
        nodes: (S,) int64 the points in the middle.
        neighbours: (S, K) int64 the points around each, or `ABSENT`.
    """

    nodes: Tensor
    neighbours: Tensor

    def __getitem__(self, chosen: Tensor) -> Neighbourhoods:
        return Neighbourhoods(self.nodes[chosen], self.neighbours[chosen])

    def compact(self) -> tuple[Tensor, Neighbourhoods]:
        """(U,) int64 the points that take part, and the neighbourhoods among these alone."""
        rows = torch.cat([self.nodes[:, None], self.neighbours], dim=1)
        used, place = rows.unique(return_inverse=True)
        absent = int(used[0] == ABSENT)
        return used[absent:], Neighbourhoods(place[:, 0] - absent, place[:, 1:] - absent)

    def to(self, device: torch.device | str) -> Neighbourhoods:
        """The same neighbourhoods on another device."""
        return Neighbourhoods(self.nodes.to(device), self.neighbours.to(device))

    def edges(self, points: Tensor) -> Tensor:
        """(..., S, K, 3) from the middle to each neighbour, zero where there is none.

        Args:
            points: (..., P, 3) metres.
        """
        ends = points.index_select(-2, self.neighbours.clamp_min(0).flatten()).unflatten(-2, self.neighbours.shape)
        edges = ends - points.index_select(-2, self.nodes).unsqueeze(-2)
        return edges * (self.neighbours != ABSENT).to(edges)[..., None]


def nearest_neighbourhoods(
    points: Tensor,  # (P, 3) metres
    count: int,
) -> Neighbourhoods:
    """Each point with its `count` nearest others; fewer where there are not as many points."""
    found = min(count + 1, len(points))
    places = points.detach().cpu().numpy()
    _, index = cKDTree(places).query(places, k=np.arange(1, found + 1))
    nodes = np.arange(len(places))
    # Among points at the same place the point itself need not come first.
    others = index[index != nodes[:, None]] if (index == nodes[:, None]).sum() == len(nodes) else None
    rows = index[:, 1:] if others is None else others.reshape(len(nodes), found - 1)
    neighbours = np.full((len(nodes), count), ABSENT)
    neighbours[:, : found - 1] = rows
    return Neighbourhoods(torch.from_numpy(nodes), torch.from_numpy(neighbours)).to(points.device)


def edge_neighbourhoods(
    faces: Tensor,  # (F, 3) int64
    most: int,
    generator: torch.Generator,
) -> Neighbourhoods:
    """Each vertex that a face uses with those it shares an edge with; where there are more than `most`, some by chance.

    Args:
        faces: may be non-manifold; those without area are fine.
        most: neighbours per vertex, K.
        generator: of the choice, on the CPU.
    """
    triangles = faces.cpu()
    pairs = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = torch.cat([pairs, pairs.flip(1)])
    pairs = pairs[pairs[:, 0] != pairs[:, 1]].unique(dim=0)
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    pairs = pairs[pairs[:, 0].argsort(stable=True)]
    nodes, counts = pairs[:, 0].unique_consecutive(return_counts=True)
    place = torch.arange(len(pairs)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    row = torch.arange(len(nodes)).repeat_interleave(counts)
    kept = place < most
    neighbours = torch.full((len(nodes), most), ABSENT)
    neighbours[row[kept], place[kept]] = pairs[kept, 1]
    return Neighbourhoods(nodes, neighbours).to(faces.device)


def arap_residuals(
    rest: Tensor,  # (P, 3) metres
    moved: Tensor,  # (T, P, 3) metres
    around: Neighbourhoods,
    rotations: Tensor | None = None,  # (T, S, 3, 3)
) -> Tensor:
    """(T, S, K) squared distances in metres between each moved edge and the turned rest edge, zero where none is.

    Unless it is given, the turn of each neighbourhood is the one that fits best, without gradient: it makes the energy
    least.

    Args:
        rest: the points as they were.
        moved: the same at T moments.
        around: S neighbourhoods of K.
        rotations: of the neighbourhoods, where they have one of their own.
    """
    before, after = around.edges(rest), around.edges(moved)
    turns = best_rotations(before, after.detach()) if rotations is None else rotations
    turned = torch.einsum("tsij,skj->tski", turns, before)
    return (after - turned).square().sum(-1)


def relative_strains(
    squares: Tensor,  # (T, S, K) square metres
    rest: Tensor,  # (P, 3) metres
    around: Neighbourhoods,
) -> tuple[Tensor, int]:
    """Squared deviations in units of the mean squared length of the rest edges, and the number of these edges.

    A strain of a tenth everywhere is 0.01, whatever the object's size, the number of points and the number of moments.
    """
    edges = int((around.neighbours != ABSENT).sum())
    return squares * (edges / around.edges(rest).square().sum().clamp_min(1e-20)), edges


@torch.no_grad()
def deformation_energy(
    trajectories: Tensor,  # (T, P, 3) metres
    faces: Tensor | None,  # (F, 3) int64 over the points; None for a cloud
) -> float:
    """The as-rigid-as-possible energy of a motion since its first moment, as it is reported.

    The mean over later moments and over edges of the squared deviation from the turn that fits each neighbourhood best,
    in units of the mean squared edge: 0 is rigid around every point, and 0.01 a strain of a tenth everywhere.
    """
    strains, edges = edge_strains(trajectories, faces)
    return float(strains.sum(dim=(1, 2)).mean() / edges) if edges and len(strains) else 0.0


@torch.no_grad()
def edge_strains(
    trajectories: Tensor,  # (1 + T, P, 3) metres
    faces: Tensor | None,  # (F, 3) int64 over the points; None for a cloud
) -> tuple[Tensor, int]:
    """(T, S, K) squared strains of the edges around S points since the first moment, and the number of these edges.

    A strain is the deviation from the turn that fits a neighbourhood best, over the root mean square of all edges.
    """
    rest = trajectories[0]
    if faces is None:
        around = nearest_neighbourhoods(rest, NEAREST)
    else:
        around = edge_neighbourhoods(first_in_place(rest)[faces], MOST_EDGES, torch.Generator().manual_seed(0))
    if len(trajectories) < 2 or len(around.nodes) == 0:
        return rest.new_zeros(len(trajectories) - 1, 0, 0), 0
    spread = torch.linspace(0, len(around.nodes) - 1, min(len(around.nodes), MOST_REPORTED)).long()
    used, around = around[spread.to(around.nodes.device)].compact()
    squares = arap_residuals(rest[used], trajectories[1:, used], around)
    return relative_strains(squares, rest[used], around)


@torch.no_grad()
def best_rotations(
    before: Tensor,  # (S, K, 3)
    after: Tensor,  # (T, S, K, 3)
) -> Tensor:
    """(T, S, 3, 3) the rotations that bring edges closest to others in the sense of least squares (Kabsch)."""
    correlation = torch.einsum("tski,skj->tsij", after, before)
    left, _, right = torch.linalg.svd(correlation)
    # Reflections would fit flat neighbourhoods as well as rotations do.
    left[..., 2] *= torch.linalg.det(left @ right).sign()[..., None]
    rotations: Tensor = left @ right
    return rotations
