"""Triangle meshes as plain tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from a4d.geometry.rows import rows

SAME_PLACE = 1e-6
"""Points closer than this share of the extent are one."""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, wound counter-clockwise when seen from outside.

    Args:
        vertices: (V, 3) float, world, metres.
        faces: (F, 3) int64 vertex indices.
        colours: (V, 3) sRGB in [0, 1], or None.
    """

    vertices: Tensor
    faces: Tensor
    colours: Tensor | None = None

    @property
    def face_normals(self) -> Tensor:
        """(F, 3) outward normals scaled to twice each triangle's area."""
        a, b, c = rows(self.vertices, self.faces).unbind(1)
        return torch.linalg.cross(b - a, c - a, dim=-1)

    @property
    def vertex_normals(self) -> Tensor:
        """(V, 3) unit normals, the area-weighted mean over adjacent faces; zero at vertices without a face."""
        sums = torch.zeros_like(self.vertices)
        sums.index_add_(0, self.faces.flatten(), self.face_normals.repeat_interleave(3, dim=0))
        return torch.nn.functional.normalize(sums, dim=-1)

    @property
    def vertex_areas(self) -> Tensor:
        """(V,) square metres: a third of the faces around each vertex."""
        shares = self.face_normals.norm(dim=1) / 6
        return torch.zeros_like(self.vertices[:, 0]).index_add(0, self.faces.flatten(), shares.repeat_interleave(3))

    @property
    def is_closed(self) -> bool:
        """Whether every edge borders exactly two faces that run along it in opposite directions."""
        directed = torch.cat([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        forward = directed[:, 0] * len(self.vertices) + directed[:, 1]
        backward = directed[:, 1] * len(self.vertices) + directed[:, 0]
        is_unique = len(forward.unique()) == len(forward)
        return len(forward) > 0 and is_unique and torch.equal(forward.sort().values, backward.sort().values)

    @property
    def volume(self) -> float:
        """Signed volume in cubic metres; positive for a closed mesh with outward winding."""
        a, b, c = self.vertices.detach()[self.faces].double().unbind(1)
        return float((a * torch.linalg.cross(b, c, dim=-1)).sum() / 6)

    def with_vertices(self, vertices: Tensor) -> Mesh:
        """The same topology and colours at other positions, (V, 3)."""
        return replace(self, vertices=vertices)

    def to(self, device: torch.device | str) -> Mesh:
        """The same mesh on another device."""
        colours = None if self.colours is None else self.colours.to(device)
        return Mesh(self.vertices.to(device), self.faces.to(device), colours)


def sample_surface(mesh: Mesh, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Points spread evenly over the surface by area.

    Stratified along the cumulated area, so that the spacing is more even than that of independent draws.

    Args:
        mesh: at least one face of positive area.
        count: number of points.
        generator: source of randomness, on the CPU.

    Returns:
        (count, 3) points; (count,) int64 the face of each; (count, 3) barycentric weights of its corners.
    """
    areas = mesh.face_normals.norm(dim=-1).double().cpu()
    cumulated = areas.cumsum(0) / areas.sum()
    strata = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    face = torch.searchsorted(cumulated, strata).clamp(max=len(areas) - 1)
    u, v = torch.rand(2, count, generator=generator)
    root = u.sqrt()
    weights = torch.stack([1 - root, root * (1 - v), root * v], dim=-1).to(mesh.vertices)
    face = face.to(mesh.faces.device)
    points = (mesh.vertices[mesh.faces[face]] * weights[..., None]).sum(1)
    return points, face, weights


def first_in_place(
    points: Tensor,  # (P, 3) metres
) -> Tensor:
    """(P,) int64 the first point at the place of each: files cut surfaces open along seams."""
    places = points.detach().double()
    grid = SAME_PLACE * max(float((places.amax(0) - places.amin(0)).max()), 1e-12)
    _, place = torch.unique(((places - places.amin(0)) / grid).round().long(), dim=0, return_inverse=True)
    first = place.new_full((int(place.max()) + 1,), len(points))
    return first.scatter_reduce(0, place, torch.arange(len(points), device=points.device), "amin")[place]


def is_closed_across_seams(mesh: Mesh) -> bool:
    """Whether a mesh has no border where vertices at one place count as one: it was cut open for a picture alone.

    A closed surface may touch itself along an edge, of four faces then.
    """
    _, surplus = _edge_surplus(first_in_place(mesh.vertices)[mesh.faces])
    return len(mesh.faces) > 0 and not bool(surplus.any())


def _edge_surplus(
    corners: Tensor,  # (F, 3) int64
) -> tuple[Tensor, Tensor]:
    """(E, 2) int64 ends of edges, and (E,) by how many more faces run along each from its first end than back."""
    edges = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    pairs, place = edges.sort(dim=1).values.unique(dim=0, return_inverse=True)
    surplus = torch.zeros(len(pairs), dtype=torch.int64, device=corners.device)
    surplus.index_add_(0, place, torch.where(edges[:, 0] < edges[:, 1], 1, -1))
    surplus[pairs[:, 0] == pairs[:, 1]] = 0
    return pairs, surplus


def stretched_share(
    rest: Mesh,
    moved: Tensor,  # (V, 3) metres
    times: float,
) -> float:
    """The share in [0, 1] of edges, by their length at rest, that are more than so many times as long when moved."""
    ends = torch.cat([rest.faces[:, [0, 1]], rest.faces[:, [1, 2]], rest.faces[:, [2, 0]]])
    before, after = ((points[ends[:, 0]] - points[ends[:, 1]]).norm(dim=-1) for points in (rest.vertices, moved))
    return float(before[after > times * before].sum() / before.sum().clamp_min(1e-12))


def enclosed_volumes(
    paths: Tensor,  # (T, V, 3) metres
    faces: Tensor,  # (F, 3) int64
) -> Tensor:
    """(T,) float64 cubic metres that a moving surface encloses; where it is open, fans over its borders close it.

    It is that of `Mesh.volume` for a closed surface, and does not depend on where a surface lies.
    """
    corners = first_in_place(paths[0])[faces]
    pairs, surplus = _edge_surplus(corners)
    border, count = pairs[surplus != 0], surplus[surplus != 0]
    points = paths.double()
    a, b, c = points[:, corners].unbind(2)
    volumes = (a * torch.linalg.cross(b, c, dim=-1)).sum(dim=(1, 2)) / 6
    if len(border):
        start, end = points[:, border[:, 0]], points[:, border[:, 1]]
        apex = _border_centres(start, end, border, paths.shape[1])
        fans = (end * torch.linalg.cross(start, apex, dim=-1)).sum(-1) * count
        volumes = volumes + fans.sum(dim=1) / 6
    return volumes


def _border_centres(start: Tensor, end: Tensor, border: Tensor, count: int) -> Tensor:
    """(T, E, 3) for each of E border edges the mean over the ends of all that hang together with it."""
    rows, columns = border.cpu().numpy().T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    label = torch.from_numpy(labels[rows]).long().to(border.device)
    sums = start.new_zeros(len(start), number, 3).index_add(1, label, start + end)
    members = torch.bincount(label, minlength=number).clamp_min(1)[:, None]
    return (sums / (2 * members))[:, label]


def same_places(
    positions: NDArray[np.float32],  # (V, 3)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One vertex of each distinct place, and (V,) which of them each vertex is at, equal to the last bit."""
    bits = (positions + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0 is 0
    high = np.uint64(32)
    # Sorting single numbers twice takes a fraction of the time of sorting rows.
    _, columns = np.unique(bits[:, 0] << high | bits[:, 1], return_inverse=True)
    _, first, place = np.unique(columns.astype(np.uint64) << high | bits[:, 2], return_index=True, return_inverse=True)
    return first, place


def smooth_normals(
    positions: Tensor,  # (V, 3) float32
    faces: Tensor,  # (F, 3)
) -> Tensor:
    """(V, 3) unit normals that do not know of seams: vertices at the same place share the mean over all their faces."""
    first, place = map(torch.from_numpy, same_places(positions.numpy()))
    return Mesh(positions[first].double(), place[faces]).vertex_normals.float()[place]
