"""Deformation of a surface by the turns and shifts of its nodes, fitted by Gauss-Newton steps.

Embedded deformation (Sumner et al. 2007): a point goes where the rigid motions of the nodes that move it would take it,
in the mean of their shares. Its regularity is as-rigid-as-possible: each node takes its neighbours along.
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


class EmbeddedDeformation:
    """Turns and shifts of M nodes, none at first."""

    def __init__(self, graph: NodeGraph) -> None:
        self.nodes: Floats = graph.nodes.double().numpy()
        self.rotations: Floats = np.tile(np.eye(3), (len(self.nodes), 1, 1))
        self.shifts: Floats = np.zeros_like(self.nodes)
        neighbours = graph.neighbourhoods(NEIGHBOURS).neighbours.numpy()
        self._start, column = np.nonzero(neighbours != ABSENT)
        self._end = neighbours[self._start, column]

    def positions(self, points: CarriedPoints) -> Floats:
        """(P, 3) where points are."""
        held = self._turned_arms(points) + (self.nodes + self.shifts)[points.nodes]
        moved: Floats = (points.shares[..., None] * held).sum(1)
        return moved

    def normals(
        self,
        points: CarriedPoints,
        rest: Floats,  # (P, 3) unit
    ) -> Floats:
        """(P, 3) unit normals, turned as the nodes turn."""
        turned = np.einsum("pk,pkij,pj->pi", points.shares, self.rotations[points.nodes], rest)
        unit: Floats = turned / np.linalg.norm(turned, axis=1, keepdims=True).clip(1e-12)
        return unit

    def move(self, rotations: Floats, shifts: Floats) -> None:
        """Take other turns (M, 3, 3) and shifts (M, 3) of the nodes."""
        self.rotations, self.shifts = rotations, shifts

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
        self.rotations = Rotation.from_rotvec(change[:, :3]).as_matrix() @ self.rotations
        self.shifts = self.shifts + change[:, 3:]

    def _turned_arms(self, points: CarriedPoints) -> Floats:
        turned: Floats = np.einsum("pkij,pkj->pki", self.rotations[points.nodes], points.arms)
        return turned

    def _rows(self, pull: Pull) -> tuple[Floats, NDArray[np.int64], Floats]:
        points, scale = pull.points, np.sqrt(pull.weights)
        shares = points.shares * scale[:, None]
        return _derivatives(shares, self._turned_arms(points), pull.directions), points.nodes, pull.gaps * scale

    def _rigidity(self, stiffness: float) -> list[tuple[Floats, NDArray[np.int64], Floats]]:
        """Three rows for each link: where its start takes its end, less where that is."""
        start, end = self._start, self._end
        arms = np.einsum("eij,ej->ei", self.rotations[start], self.nodes[end] - self.nodes[start])
        places = self.nodes + self.shifts
        gaps = arms + places[start] - places[end]
        scale = np.sqrt(stiffness / max(len(start), 1))
        both = np.stack([arms, np.zeros_like(arms)], axis=1)
        shares = np.broadcast_to(np.array([scale, -scale]), (len(start), 2))
        nodes = np.stack([start, end], axis=1)
        return [
            (_derivatives(shares, both, np.broadcast_to(axis, arms.shape)), nodes, gaps @ axis * scale)
            for axis in np.eye(3)
        ]


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
