"""One mesh brought to the surfaces of all moments, whose vertices and faces differ from moment to moment.

Nodes along the mesh carry it, as rigidly as possible since the first moment, to the nearest points of the next surface
that face the same way and have the same colour; and from there as well, so that no part of the surface is left bare.
The nodes are stiff at first and then looser, so that limbs arrive as a whole (Li et al. 2009, Robust single-view
geometry and motion reconstruction, section 4). Parts that touch are one surface, which nothing could take apart later:
the mesh is that of a moment that shows nearly as much surface as any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.arap import best_rotations, edge_neighbourhoods
from a4d.geometry.deformation.embedded_deformation import CarriedPoints, EmbeddedDeformation, Pull
from a4d.geometry.deformation.node_graph import node_graph
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.surfaces.signed_distance import nearest_faces

Floats = NDArray[np.float64]

NODES = 200
"""That carry the mesh."""

SAMPLES = 3000
"""Points of the mesh, and of each surface, that are compared in a step."""

DENSE_SAMPLES = 20_000
"""Points of a surface among which the nearest are looked for."""

JUDGED = 5000
"""Points on either side from which the distances are told."""

COLOUR_WEIGHT = 0.03
"""Diagonals of distance that count as much as a colour of another end of the scale."""

SAME_SIDE = 0.3
"""Least cosine between normals of points that belong together."""

FULL = 0.98
"""Share of the largest area from which on a moment shows all of the surface."""

MOST_EDGES = 12
"""Edges of a vertex at most by which its turn is told."""


@dataclass(frozen=True)
class Round:
    """A few steps of one stiffness.

    Args:
        stiffness: of the links between nodes.
        normal_weight: diagonals of distance that count as much as normals that differ by a length of one.
        reach: diagonals within which points pull in earnest.
        steps: how many.
    """

    stiffness: float
    normal_weight: float
    reach: float
    steps: int = 3


ROUNDS = (Round(10.0, 0.1, 0.1), Round(1.0, 0.05, 0.05), Round(0.1, 0.05, 0.03), Round(0.1, 0.03, 0.02))
"""From a stiff start to what fits closely."""


@dataclass(frozen=True)
class Fit:
    """How well the mesh lies on the surface of a moment.

    Args:
        covering: 95th percentile of the distances from the mesh to the surface, percent of the template's diagonal.
        covered: the same from the surface to the mesh.
        flipped: faces of the mesh that face against the turn of their surroundings.
    """

    covering: float
    covered: float
    flipped: int


@dataclass(frozen=True)
class Registration:
    """A mesh of fixed faces at all moments.

    Args:
        template: the mesh as one of the moments has it.
        trajectories: (T, V, 3) of its vertices, world, metres.
        fits: of the T moments.
    """

    template: Mesh
    trajectories: Tensor
    fits: tuple[Fit, ...]

    @property
    def first(self) -> Mesh:
        """The mesh at the first moment."""
        return self.template.with_vertices(self.trajectories[0])


def register(moments: Sequence[Mesh]) -> Registration:
    """Bring the mesh of one moment to the surfaces of all others, from where it was at the moment beside.

    Args:
        moments: T meshes in the order of time, without gradients; colours count where they have some.

    Raises:
        InvalidInputError: there is none, or one has no face.
    """
    if not moments or any(len(mesh.faces) == 0 for mesh in moments):
        raise InvalidInputError("there is a moment without a surface to register")
    areas = [float(mesh.face_normals.norm(dim=1).sum()) for mesh in moments]
    start = next(index for index, area in enumerate(areas) if area >= FULL * max(areas))
    template, fitting = moments[start], _Fitting(moments[start])
    frames = {start: template.vertices}
    for order in (range(start + 1, len(moments)), range(start - 1, -1, -1)):
        fitting.begin()
        for index in order:
            frames[index] = fitting.vertices_on(moments[index]).to(template.vertices)
    trajectories = torch.stack([frames[index] for index in range(len(moments))])
    fits = [judge_fit(template, *pair) for pair in zip(trajectories, moments, strict=True)]
    return Registration(template, trajectories, tuple(fits))


@torch.no_grad()
def judge_fit(
    template: Mesh,
    vertices: Tensor,  # (V, 3) of the template, moved
    surface: Mesh,
) -> Fit:
    """How well a moved mesh lies on a surface."""
    moved = template.with_vertices(vertices)
    sides = ((moved, surface), (surface, moved))
    far = [float(nearest_faces(_spread(own, JUDGED)[0], other)[0].quantile(0.95)) for own, other in sides]
    percent = 100 / diagonal(template.vertices)
    return Fit(far[0] * percent, far[1] * percent, int(_is_flipped(template, vertices).sum()))


def diagonal(
    points: Tensor,  # (P, 3) metres
) -> float:
    """Metres across the box around points."""
    return max(float((points.amax(0) - points.amin(0)).norm()), 1e-12)


def _is_flipped(template: Mesh, vertices: Tensor) -> Tensor:
    """(F,) whether a face points against what it was, turned as its corners' surroundings are."""
    around = edge_neighbourhoods(template.faces, MOST_EDGES, torch.Generator().manual_seed(0))
    turns = vertices.new_zeros(len(vertices), 3, 3)
    turns[around.nodes] = best_rotations(around.edges(template.vertices), around.edges(vertices)[None])[0]
    expected = torch.einsum("fij,fj->fi", turns[template.faces].mean(1), template.face_normals)
    return (expected * template.with_vertices(vertices).face_normals).sum(1) < 0


def _spread(mesh: Mesh, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """(N, 3) points all over a surface, their unit normals, and their colours where it has any."""
    points, face, weights = sample_surface(mesh, count, torch.Generator().manual_seed(0))
    corners = mesh.faces[face]

    def mean(values: Tensor) -> Tensor:
        return (values[corners] * weights[..., None]).sum(1)

    return points, normalize(mean(mesh.vertex_normals), dim=-1), None if mesh.colours is None else mean(mesh.colours)


@dataclass(frozen=True)
class _Samples:
    """Points of a surface in units of the diagonal, with what tells them apart."""

    points: Floats  # (N, 3)
    normals: Floats  # (N, 3)
    colours: Floats | None  # (N, 3)

    @classmethod
    def of(cls, mesh: Mesh, count: int, unit: float, has_colours: bool) -> _Samples:
        points, normals, colours = _spread(mesh, count)
        hues = colours.double().numpy() if has_colours and colours is not None else None
        return cls(points.double().numpy() / unit, normals.double().numpy(), hues)

    def some(self, count: int) -> _Samples:
        chosen = np.linspace(0, len(self.points) - 1, min(count, len(self.points))).astype(np.int64)
        return _Samples(
            self.points[chosen], self.normals[chosen], None if self.colours is None else self.colours[chosen]
        )

    def features(self, normal_weight: float, has_colours: bool) -> Floats:
        """(N, 6 or 9) such that those are close which belong together."""
        parts = [self.points, normal_weight * self.normals]
        if has_colours and self.colours is not None:
            parts.append(COLOUR_WEIGHT * self.colours)
        return np.concatenate(parts, axis=1)


class _Fitting:
    """A mesh that is brought to one surface after another."""

    def __init__(self, template: Mesh) -> None:
        self.unit = diagonal(template.vertices)
        scaled = template.with_vertices(template.vertices.double() / self.unit)
        self._graph = node_graph(scaled.vertices, scaled.faces, NODES)
        self.rest = _Samples.of(template, SAMPLES, self.unit, template.colours is not None)
        self.samples = CarriedPoints.of(self._graph, self.rest.points)
        self.vertices = CarriedPoints.of(self._graph, scaled.vertices.numpy())
        self.begin()

    def begin(self) -> None:
        """Start from the template as it is."""
        self.deformation = EmbeddedDeformation(self._graph)
        self._former = self.deformation.rotations, self.deformation.shifts

    def vertices_on(self, surface: Mesh) -> Tensor:
        """(V, 3) where the vertices are once the mesh lies on a surface, metres."""
        dense = _Samples.of(surface, DENSE_SAMPLES, self.unit, self.rest.colours is not None)
        sparse = dense.some(SAMPLES)
        self._go_on()
        for round_ in ROUNDS:
            tree = cKDTree(dense.features(round_.normal_weight, dense.colours is not None))
            for _ in range(round_.steps):
                self.deformation.step(list(self._pulls(dense, tree, sparse, round_)), round_.stiffness)
        return torch.from_numpy(self.deformation.positions(self.vertices) * self.unit)

    def _go_on(self) -> None:
        """Move as from the moment before the last to the last once more."""
        rotations, shifts = self.deformation.rotations, self.deformation.shifts
        before, were = self._former
        self._former = rotations, shifts
        self.deformation.move(rotations @ before.transpose(0, 2, 1) @ rotations, 2 * shifts - were)

    def _pulls(self, dense: _Samples, tree: cKDTree, sparse: _Samples, round_: Round) -> Iterator[Pull]:
        """From the mesh onto the surface, and from the surface onto the mesh."""
        moved = _Samples(
            self.deformation.positions(self.samples),
            self.deformation.normals(self.samples, self.rest.normals),
            self.rest.colours,
        )
        has_colours = dense.colours is not None
        own = moved.features(round_.normal_weight, has_colours)
        _, nearest = tree.query(own)
        every = np.arange(len(own))
        yield self._pull(every, moved, dense, nearest, round_.reach)
        _, owner = cKDTree(own).query(sparse.features(round_.normal_weight, has_colours))
        yield self._pull(owner, moved, sparse, np.arange(len(owner)), round_.reach)

    def _pull(
        self,
        own: NDArray[np.int64],  # (P,) samples of the mesh
        moved: _Samples,
        surface: _Samples,
        goals: NDArray[np.int64],  # (P,) samples of the surface
        reach: float,
    ) -> Pull:
        """Along the surface's normals, the less the farther, and not at all onto a side that faces another way."""
        offsets, directions = moved.points[own] - surface.points[goals], surface.normals[goals]
        weights = (1 + (offsets**2).sum(1) / reach**2) ** -2 / len(own)
        weights[(moved.normals[own] * directions).sum(1) < SAME_SIDE] = 0
        return Pull(self.samples[own], directions, (offsets * directions).sum(1), weights)
