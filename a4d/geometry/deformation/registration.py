"""One mesh brought to the surfaces of all moments, whose vertices and faces differ from moment to moment.

Nodes along the mesh carry it, as rigidly as possible since the first moment, to the nearest points of the next surface
that face the same way and have the same colour; and from there as well, so that no part of the surface is left bare.
The nodes are stiff at first and then looser, so that limbs arrive as a whole (Li et al. 2009, Robust single-view
geometry and motion reconstruction, section 4). Parts that touch are one surface, which nothing could take apart later:
the mesh is that of a moment that shows nearly as much surface as any. From there it goes outward in time and comes back
once, since a limb that was lost where parts touch may be found from the other side; each moment keeps what fits best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.arap import best_rotations, edge_neighbourhoods
from a4d.geometry.deformation.embedded_deformation import CarriedPoints, EmbeddedDeformation, NodeMotion, Pull
from a4d.geometry.deformation.node_graph import node_graph
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.surfaces.signed_distance import nearest_faces

Floats = NDArray[np.float64]

NODES = 200
"""That carry the mesh."""

SAMPLES = 2000
"""Points of the mesh, and of each surface, that are compared in a step."""

DENSE_SAMPLES = 10_000
"""Points of a surface among which the nearest are looked for."""

JUDGED = 5000
"""Points on either side from which the distances are told."""

COLOUR_WEIGHT = 0.03
"""Diagonals of distance that count as much as a colour of another end of the scale."""

SAME_SIDE = 0.3
"""Least cosine between normals of points that belong together."""

MISSED = 0.05
"""Diagonals of distance beyond which a point that belongs nowhere costs no more."""

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
        doubled: share of the moved mesh's area that the surface lacks, where parts of the mesh lie on each other.
    """

    covering: float
    covered: float
    flipped: int
    doubled: float


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
    areas = [_area(mesh) for mesh in moments]
    start = next(index for index, area in enumerate(areas) if area >= FULL * max(areas))
    template, fitting = moments[start], _Fitting(moments[start])
    found = _found(fitting, moments, start)
    frames = [fitting.positions(found[index].motion).to(template.vertices) for index in range(len(moments))]
    frames[start] = template.vertices
    trajectories = torch.stack(frames)
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
    doubled = max(1 - _area(surface) / max(_area(moved), 1e-12), 0.0)
    return Fit(far[0] * percent, far[1] * percent, int(_is_flipped(template, vertices).sum()), doubled)


def diagonal(
    points: Tensor,  # (P, 3) metres
) -> float:
    """Metres across the box around points."""
    return max(float((points.amax(0) - points.amin(0)).norm()), 1e-12)


def _area(mesh: Mesh) -> float:
    """Twice that of the surface, square metres."""
    return float(mesh.face_normals.norm(dim=1).sum())


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
        """`count` points spread over a mesh, in units of its size."""
        points, normals, colours = _spread(mesh, count)
        hues = colours.double().numpy() if has_colours and colours is not None else None
        return cls(points.double().numpy() / unit, normals.double().numpy(), hues)

    def some(self, count: int) -> _Samples:
        """At most `count` of them, evenly chosen."""
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


@dataclass(frozen=True)
class _Found:
    """A motion of the nodes, and how much it lacks of lying on a surface and of being rigid."""

    cost: float
    motion: NodeMotion


@dataclass
class _Target:
    """A surface: points among which the nearest are looked for, and fewer that look for the mesh."""

    dense: _Samples
    sparse: _Samples
    _trees: dict[float, cKDTree] = field(default_factory=dict)

    def tree(self, normal_weight: float) -> cKDTree:
        """Of the features with this weight of the normals."""
        if normal_weight not in self._trees:
            self._trees[normal_weight] = cKDTree(self.dense.features(normal_weight, self.dense.colours is not None))
        return self._trees[normal_weight]


class _Fitting:
    """A mesh that is brought to one surface after another."""

    def __init__(self, template: Mesh) -> None:
        self.unit = diagonal(template.vertices)
        scaled = template.with_vertices(template.vertices.double() / self.unit)
        graph = node_graph(scaled.vertices, scaled.faces, NODES)
        self.rest = _Samples.of(template, SAMPLES, self.unit, template.colours is not None)
        self.samples = CarriedPoints.of(graph, self.rest.points)
        self.vertices = CarriedPoints.of(graph, scaled.vertices.numpy())
        self.deformation = EmbeddedDeformation(graph)

    def best(self, surface: Mesh, starts: Sequence[NodeMotion]) -> _Found:
        """The motion that brings the mesh closest to a surface, of those that several starts lead to."""
        dense = _Samples.of(surface, DENSE_SAMPLES, self.unit, self.rest.colours is not None)
        target = _Target(dense, dense.some(SAMPLES))
        return min((self._fitted(target, start) for start in starts), key=lambda found: found.cost)

    def positions(self, motion: NodeMotion) -> Tensor:
        """(V, 3) where a motion takes the vertices, metres."""
        self.deformation.motion = motion
        return torch.from_numpy(self.deformation.positions(self.vertices) * self.unit)

    def _fitted(self, target: _Target, start: NodeMotion) -> _Found:
        self.deformation.motion = start
        for round_ in ROUNDS:
            for _ in range(round_.steps):
                pulls, _ = self._pulls(target, round_)
                self.deformation.step(pulls, round_.stiffness)
        _, misfit = self._pulls(target, ROUNDS[-1])
        return _Found(misfit + ROUNDS[-1].stiffness * self.deformation.lack_of_rigidity(), self.deformation.motion)

    def _pulls(self, target: _Target, round_: Round) -> tuple[list[Pull], float]:
        """From the mesh onto the surface and from the surface onto the mesh; and the mean squares of both distances."""
        moved = _Samples(
            self.deformation.positions(self.samples),
            self.deformation.normals(self.samples, self.rest.normals),
            self.rest.colours,
        )
        has_colours = target.dense.colours is not None
        own = moved.features(round_.normal_weight, has_colours)
        far, nearest = target.tree(round_.normal_weight).query(own)
        left, owner = cKDTree(own).query(target.sparse.features(round_.normal_weight, has_colours))
        pulls = [
            self._pull(np.arange(len(own)), moved, target.dense, nearest, round_.reach),
            self._pull(owner, moved, target.sparse, np.arange(len(owner)), round_.reach),
        ]
        return pulls, sum(float((np.minimum(distances, MISSED) ** 2).mean()) for distances in (far, left))

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


def _found(fitting: _Fitting, moments: Sequence[Mesh], start: int) -> dict[int, _Found]:
    """The motions of all moments since that of the template."""
    found = {start: _Found(0.0, fitting.deformation.motion)}
    outward = [(index, 1) for index in range(start + 1, len(moments))] + [(index, -1) for index in range(start)[::-1]]
    for index, ahead in outward:
        found[index] = fitting.best(moments[index], list(_starts(found, index, -ahead)))
    for index, ahead in reversed(outward):
        if index + ahead in found:
            halfway = found[index - ahead].motion.halfway(found[index + ahead].motion)
            again = fitting.best(moments[index], [halfway, *_starts(found, index, ahead)])
            found[index] = min(found[index], again, key=lambda one: one.cost)
    return found


def _starts(found: Mapping[int, _Found], index: int, side: int) -> Iterator[NodeMotion]:
    """The motion of the moment on one side, and where it leads if it goes on as from the moment before that."""
    yield found[index + side].motion
    if index + 2 * side in found:
        yield found[index + side].motion.beyond(found[index + 2 * side].motion)
