"""Deformation of a surface by the turns and shifts of its nodes, fitted by Gauss-Newton steps.

Embedded deformation (Sumner et al. 2007): a point goes where the rigid motions of the nodes that move it would take it,
in the mean of their shares. Its regularity is as-rigid-as-possible: each node takes its neighbours along, the less
firmly the farther a neighbour is from where it should be, because bodies bend at their joints and not all over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from a4d.geometry.deformation.arap import ABSENT
from a4d.geometry.deformation.node_graph import NodeGraph

Floats = NDArray[np.float64]

NEIGHBOURS = 6
"""Nodes that each node takes along."""

BENT = 0.03
"""Strain of a link from which on it gives way (Cauchy's weights)."""

LEAST_FIRMNESS = 0.05
"""Of a link however strained, which keeps the surface at a joint from folding over."""

DAMPING = 1e-9
"""Of a step, as a share of the largest diagonal entry: nodes that nothing is asked of stay."""


@dataclass(frozen=True)
class CarriedPoints:
    """Points that nodes move.

    Args:
        nodes: (P, K) int64 the nodes that move each.
        shares: (P, K) of these nodes, 1 in sum.
        arms: (P, K, 3) from each node to the point at rest.
    """

    nodes: NDArray[np.int64]
    shares: Floats
    arms: Floats

    @classmethod
    def of(cls, graph: NodeGraph, points: Floats) -> CarriedPoints:
        """Points at rest, (P, 3), and the nodes along the surface around each."""
        nodes, shares = (part.numpy() for part in graph.influences(torch.from_numpy(points)))
        return cls(nodes, shares.astype(np.float64), points[:, None] - graph.nodes.double().numpy()[nodes])

    def __getitem__(self, chosen: NDArray[np.int64]) -> CarriedPoints:
        return CarriedPoints(self.nodes[chosen], self.shares[chosen], self.arms[chosen])


@dataclass(frozen=True)
class Pull:
    """What is asked of points: that each moves along a direction.

    Args:
        points: P of them.
        directions: (P, 3) unit.
        gaps: (P,) how far each is beyond its goal along its direction.
        weights: (P,) of the squared gaps.
    """

    points: CarriedPoints
    directions: Floats
    gaps: Floats
    weights: Floats


@dataclass(frozen=True)
class NodeMotion:
    """Turns and shifts of nodes since rest.

    Args:
        rotations: (M, 3, 3).
        shifts: (M, 3).
    """

    rotations: Floats
    shifts: Floats

    @classmethod
    def none(cls, count: int) -> NodeMotion:
        """That of `count` nodes at rest."""
        return cls(np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3)))

    def beyond(self, before: NodeMotion) -> NodeMotion:
        """Where the change since another leads once more."""
        turned = self.rotations @ before.rotations.transpose(0, 2, 1) @ self.rotations
        return NodeMotion(turned, 2 * self.shifts - before.shifts)

    def halfway(self, other: NodeMotion) -> NodeMotion:
        """The middle between this and another."""
        between = Rotation.from_matrix(other.rotations @ self.rotations.transpose(0, 2, 1)).as_rotvec() / 2
        turned = Rotation.from_rotvec(between).as_matrix() @ self.rotations
        return NodeMotion(turned, (self.shifts + other.shifts) / 2)


class EmbeddedDeformation:
    """Turns and shifts of M nodes, none at first."""

    def __init__(self, graph: NodeGraph) -> None:
        self.nodes: Floats = graph.nodes.double().numpy()
        self.motion = NodeMotion.none(len(self.nodes))
        neighbours = graph.neighbourhoods(NEIGHBOURS).neighbours.numpy()
        self._start, column = np.nonzero(neighbours != ABSENT)
        self._end = neighbours[self._start, column]
        self._links = self.nodes[self._end] - self.nodes[self._start]

    def positions(self, points: CarriedPoints) -> Floats:
        """(P, 3) where points are."""
        held = self._turned_arms(points) + (self.nodes + self.motion.shifts)[points.nodes]
        moved: Floats = (points.shares[..., None] * held).sum(1)
        return moved

    def normals(
        self,
        points: CarriedPoints,
        rest: Floats,  # (P, 3) unit
    ) -> Floats:
        """(P, 3) unit normals, turned as the nodes turn."""
        turned = np.einsum("pk,pkij,pj->pi", points.shares, self.motion.rotations[points.nodes], rest)
        unit: Floats = turned / np.linalg.norm(turned, axis=1, keepdims=True).clip(1e-12)
        return unit

    def step(self, pulls: Sequence[Pull], stiffness: float) -> None:
        """One Gauss-Newton step toward the least sum of the weighted squared gaps and of the lack of rigidity.

        Args:
            pulls: what is asked.
            stiffness: weight of the mean squared distance between where a node takes a neighbour and where it is.
        """
        blocks = [self._rows(pull) for pull in pulls] + self._rigidity(stiffness)
        jacobian = _stacked([rows for rows, _, _ in blocks], [nodes for _, nodes, _ in blocks], 6 * len(self.nodes))
        residuals = np.concatenate([gaps for _, _, gaps in blocks])
        normal = (jacobian.T @ jacobian).toarray()
        normal[np.diag_indices_from(normal)] += DAMPING * normal.diagonal().max()
        change = cho_solve(cho_factor(normal, lower=True), -(jacobian.T @ residuals)).reshape(-1, 6)
        turned = Rotation.from_rotvec(change[:, :3]).as_matrix() @ self.motion.rotations
        self.motion = NodeMotion(turned, self.motion.shifts + change[:, 3:])

    def lack_of_rigidity(self) -> float:
        """Mean squared distance between where a node takes a neighbour and where it is, by the links' firmness."""
        _, gaps, firmness = self._strained_links()
        return float((firmness * (gaps**2).sum(1)).mean()) if len(gaps) else 0.0

    def _turned_arms(self, points: CarriedPoints) -> Floats:
        turned: Floats = np.einsum("pkij,pkj->pki", self.motion.rotations[points.nodes], points.arms)
        return turned

    def _rows(self, pull: Pull) -> tuple[Floats, NDArray[np.int64], Floats]:
        points, scale = pull.points, np.sqrt(pull.weights)
        shares = points.shares * scale[:, None]
        return _derivatives(shares, self._turned_arms(points), pull.directions), points.nodes, pull.gaps * scale

    def _rigidity(self, stiffness: float) -> list[tuple[Floats, NDArray[np.int64], Floats]]:
        """Three rows for each link: where its start takes its end, less where that is."""
        arms, gaps, firmness = self._strained_links()
        scale = np.sqrt(firmness * (stiffness / max(len(gaps), 1)))
        both = np.stack([arms, np.zeros_like(arms)], axis=1)
        shares = np.stack([scale, -scale], axis=1)
        nodes = np.stack([self._start, self._end], axis=1)
        return [
            (_derivatives(shares, both, np.broadcast_to(axis, arms.shape)), nodes, gaps @ axis * scale)
            for axis in np.eye(3)
        ]

    def _strained_links(self) -> tuple[Floats, Floats, Floats]:
        """(L, 3) links as their starts turn them, (L, 3) what their ends lack of that, and (L,) firmness up to 1."""
        arms = np.einsum("eij,ej->ei", self.motion.rotations[self._start], self._links)
        places = self.nodes + self.motion.shifts
        gaps = arms + places[self._start] - places[self._end]
        strains = (gaps**2).sum(1) / (self._links**2).sum(1).clip(1e-24)
        return arms, gaps, LEAST_FIRMNESS + (1 - LEAST_FIRMNESS) / (1 + strains / BENT**2)


def _derivatives(shares: Floats, arms: Floats, directions: Floats) -> Floats:
    """(P, K, 6) of points along directions, by the turns and the shifts of their K nodes."""
    along = np.broadcast_to(directions[:, None], arms.shape)
    both: Floats = np.concatenate([np.cross(arms, along), along], axis=-1) * shares[..., None]
    return both


def _stacked(rows: Sequence[Floats], nodes: Sequence[NDArray[np.int64]], unknowns: int) -> csr_matrix:
    values = np.concatenate([part.ravel() for part in rows])
    columns = np.concatenate([(6 * part[..., None] + np.arange(6)).ravel() for part in nodes])
    lengths = np.concatenate([np.full(len(part), part[0].size if len(part) else 0) for part in rows])
    return csr_matrix((values, columns, np.concatenate([[0], lengths.cumsum()])), shape=(len(lengths), unknowns))
