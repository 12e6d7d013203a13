"""Nodes spread over a surface that carry its deformation, and which points each of them moves.

Embedded deformation (Sumner et al. 2007): distances run along the surface, so that parts that touch move on their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree
from torch import Tensor

from a4d.geometry.deformation.arap import ABSENT, Neighbourhoods

Array = NDArray[np.float64]

INFLUENCES = 4
"""Nodes that move a point."""

LINKS = 8
"""Neighbours of a point in a cloud without faces."""

MOST_POINTS = 20_000
"""Places, about, at which distances along the surface are known."""

SMALL = 64
"""Places up to which a part finds its nearest neighbour together with all others of its kind."""

CHUNK = 8192
"""Points whose nodes are found at once."""


@dataclass(frozen=True)
class NodeGraph:
    """Nodes, and the places between which distances along the surface are known.

    Args:
        nodes: (M, 3) metres.
        places: (L, 3) metres.
        distances: (M, L) metres along the surface.
        node_places: (M,) int64 the place of each node.
    """

    nodes: Tensor
    places: Array
    distances: Array
    node_places: NDArray[np.int64]

    def influences(
        self,
        points: Tensor,  # (P, 3) metres
    ) -> tuple[Tensor, Tensor]:
        """(P, K) int64 the nodes that move each point, and (P, K) their shares, which fall smoothly to 0."""
        parts = [self._influences(part.detach().cpu().double().numpy()) for part in points.split(CHUNK)]
        return torch.cat([index for index, _ in parts]), torch.cat([share for _, share in parts])

    def _influences(self, points: Array) -> tuple[Tensor, Tensor]:
        count = min(INFLUENCES, len(self.nodes))
        apart, place = cKDTree(self.places).query(points)
        along = self.distances[:, place] + apart
        nearest = np.argpartition(along, min(count, len(along) - 1), axis=0)[: count + 1]
        order = np.argsort(np.take_along_axis(along, nearest, axis=0), axis=0, kind="stable")
        nearest = np.take_along_axis(nearest, order, axis=0)
        reached = np.take_along_axis(along, nearest, axis=0)
        limit = reached[-1] if len(nearest) > count else reached[-1] * 2 + 1e-9
        weights = np.maximum(1 - reached[:count] / np.maximum(limit, 1e-12), 1e-6) ** 2
        shares = torch.from_numpy((weights / weights.sum(0)).T.astype(np.float32))
        return torch.from_numpy(np.ascontiguousarray(nearest[:count].T)), shares

    def neighbourhoods(self, count: int) -> Neighbourhoods:
        """The nearest nodes to each along the surface."""
        between = self.distances[:, self.node_places].copy()
        np.fill_diagonal(between, np.inf)
        found = min(count, len(between) - 1)
        nearest = np.argsort(between, axis=1, kind="stable")[:, :found]
        neighbours = np.full((len(between), count), ABSENT)
        neighbours[:, :found] = nearest
        return Neighbourhoods(torch.arange(len(between)), torch.from_numpy(neighbours))


def node_graph(
    points: Tensor,  # (P, 3) metres
    faces: Tensor | None,  # (F, 3) int64 over the points, welded; None for a cloud
    count: int,
) -> NodeGraph:
    """Nodes as far apart as can be, greedily.

    Args:
        points: vertices, or a cloud.
        faces: may be non-manifold and of several parts; parts are linked where they come closest.
        count: of nodes; fewer where there are not as many places.
    """
    places, graph = _cloud(points) if faces is None else _surface(points, faces, count)
    graph = _connected(places, graph)
    nodes = np.zeros(min(count, len(places)), np.int64)
    distances = np.empty((len(nodes), len(places)))
    nearest = np.full(len(places), np.inf)
    nodes[0] = int(np.argmax(np.linalg.norm(places - places.mean(0), axis=1)))
    for number in range(len(nodes)):
        if number:
            nodes[number] = int(np.argmax(nearest))
        distances[number] = dijkstra(graph, directed=False, indices=nodes[number])
        nearest = np.minimum(nearest, distances[number])
    return NodeGraph(torch.from_numpy(places[nodes]).float(), places, distances, nodes)


def _surface(points: Tensor, faces: Tensor, count: int) -> tuple[Array, csr_matrix]:
    """Vertices and enough places on long edges and large faces, linked along edges."""
    vertices, triangles = points.detach().cpu().double().numpy(), faces.cpu().numpy()
    corners = vertices[triangles]
    area = float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )
    longest = max(0.5 * np.sqrt(area / count), 1e-9)
    fine, cells, same = vertices, triangles, 1e-4 * longest
    if len(vertices) > MOST_POINTS:
        same = max(same, float(np.sqrt(area / MOST_POINTS)))
    else:
        fine, cells = trimesh.remesh.subdivide_to_size(vertices, triangles, longest, max_iter=20)
    used, cells = np.unique(cells, return_inverse=True)
    fine, cells = fine[used], cells.reshape(-1, 3)
    _, first, merged = np.unique(np.rint(fine / same), axis=0, return_index=True, return_inverse=True)
    return _linked(fine[first], merged.reshape(-1)[cells][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2))


def _cloud(points: Tensor) -> tuple[Array, csr_matrix]:
    """A cloud, thinned where it is large, each point linked to the nearest others."""
    places = points.detach().cpu().double().numpy()
    places = places[np.linspace(0, len(places) - 1, min(len(places), MOST_POINTS)).astype(np.int64)]
    _, near = cKDTree(places).query(places, k=min(LINKS + 1, len(places)))
    near = near.reshape(len(places), -1)
    return _linked(places, np.stack([np.arange(len(places)).repeat(near.shape[1]), near.reshape(-1)], axis=1))


def _linked(places: Array, pairs: NDArray[np.int64]) -> tuple[Array, csr_matrix]:
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    lengths = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    size = (len(places), len(places))
    return places, coo_matrix((np.maximum(lengths, 1e-12), (pairs[:, 0], pairs[:, 1])), shape=size).tocsr()


def _connected(places: Array, graph: csr_matrix) -> csr_matrix:
    """The graph with a link from each part to the nearest other part, until there is one part."""
    tree = cKDTree(places)
    while True:
        count, part = connected_components(graph, directed=False)
        if count == 1:
            return graph
        sizes = np.bincount(part)
        links = [_links_of_small(places, tree, part, sizes)] if bool((sizes <= SMALL).any()) else []
        large = [_link_of_large(places, part == number) for number in np.flatnonzero(sizes > SMALL)]
        links += [link for link in large if link is not None]
        rows, columns, lengths = np.concatenate(links, axis=1)
        ends = (rows.astype(np.int64), columns.astype(np.int64))
        graph = graph + coo_matrix((np.maximum(lengths, 1e-12), ends), shape=graph.shape).tocsr()


def _links_of_small(places: Array, tree: cKDTree, part: NDArray[np.int32], sizes: NDArray[np.int64]) -> Array:
    """(3, L) places that are linked, and their distances: from each part of few places, all looked up at once."""
    inside = np.flatnonzero(sizes[part] <= SMALL)
    distance, near = tree.query(places[inside], k=min(SMALL + 1, len(places)))
    # Among so many neighbours one is of another part, and the first such one is the nearest.
    first = np.argmax(part[near] != part[inside][:, None], axis=1)[:, None]
    distance = np.take_along_axis(distance, first, axis=1)[:, 0]
    order = np.lexsort((distance, part[inside]))
    best = order[np.unique(part[inside][order], return_index=True)[1]]
    return np.stack([inside[best], np.take_along_axis(near, first, axis=1)[best, 0], distance[best]])


def _link_of_large(places: Array, is_inside: NDArray[np.bool_]) -> Array | None:
    """(3, 1) the like from a part of many places; None where the rest has fewer and will link to it."""
    inside, outside = np.flatnonzero(is_inside), np.flatnonzero(~is_inside)
    if len(inside) > len(outside):
        return None
    distance, index = cKDTree(places[outside]).query(places[inside])
    best = int(np.argmin(distance))
    return np.array([[inside[best]], [outside[index[best]]], [distance[best]]])
