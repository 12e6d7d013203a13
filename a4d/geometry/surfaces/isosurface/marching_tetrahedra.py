"""Marching tetrahedra with gradients: the surface of DMTet (Shen et al. 2021, Deep Marching Tetrahedra)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from a4d.geometry.mesh import Mesh
from a4d.geometry.rows import rows
from a4d.geometry.surfaces.isosurface.signs import inside_mask
from a4d.geometry.surfaces.isosurface.tetrahedral_grid import TetrahedralGrid


@dataclass(frozen=True)
class TetrahedralSurface:
    """The zero set of a function that is linear in each tetrahedron.

    Args:
        mesh: closed, wound outward; gradients reach the distances and the deformation.
        edges: (V, 2) int64, the grid vertices inside and outside between which each mesh vertex lies.
        weights: (V, 2) their shares in it, which sum to 1; with gradients.
    """

    mesh: Mesh
    edges: Tensor
    weights: Tensor

    def interpolate(self, attributes: Tensor) -> Tensor:
        """(V, C) attributes of the mesh's vertices from those of the grid's, (G, C)."""
        return (rows(attributes, self.edges) * self.weights[..., None]).sum(1)


def marching_tetrahedra(
    grid: TetrahedralGrid,
    sdf: Tensor,  # (G,) signed distances at the grid's vertices, negative inside
    deformation: Tensor | None = None,  # (G, 3) displacements of the grid's vertices
) -> TetrahedralSurface:
    """Extract the surface where the distance is zero.

    Each grid edge whose ends differ in sign carries one vertex, where the linear interpolation of the distance is zero.

    Raises:
        SurfaceVanishedError: there is no surface, or it leaves the grid.
    """
    inside = inside_mask(sdf, grid.is_boundary)
    bits = torch.arange(4, device=sdf.device, dtype=torch.uint8)
    cases = (inside.to(torch.uint8)[grid.tetrahedra] << bits).sum(1, dtype=torch.uint8)
    crossed = ((cases > 0) & (cases < 15)).nonzero()[:, 0]
    table, counts = case_table()
    table, counts = table.to(sdf.device), counts.to(sdf.device)
    case = cases[crossed].long()
    first = table[case, 0]
    second = table[case, 1][counts[case] == 2]
    corners = grid.tetrahedra[crossed]
    quads = corners[counts[case] == 2]
    # (F, 3, 2): the grid edges of each triangle's three vertices, inside end first.
    ends = torch.cat([corners.gather(1, first.flatten(1)), quads.gather(1, second.flatten(1))]).view(-1, 3, 2)
    keys, faces = torch.unique(ends[..., 0] * len(sdf) + ends[..., 1], return_inverse=True)
    edges = torch.stack([keys // len(sdf), keys % len(sdf)], dim=1)
    inner, outer = rows(sdf, edges).unbind(1)
    weights = torch.stack([outer, -inner], dim=1) / (outer - inner)[:, None]
    positions = grid.vertices[edges]
    if deformation is not None:
        positions = positions + rows(deformation, edges)
    return TetrahedralSurface(Mesh((positions * weights[..., None]).sum(1), faces), edges, weights)


@cache
def case_table() -> tuple[Tensor, Tensor]:
    """The triangles in a tetrahedron for each of the 16 sets of inside corners.

    An even permutation a b c d of the corners keeps the tetrahedron's orientation, so two pictures settle all cases.
    With a alone inside, the triangle ab ac ad, counter-clockwise from outside; with a alone outside, the same reversed.
    With a and b inside, the quad ac ad bd bc.

    Returns:
        (16, 2, 3, 2) int64: of up to two triangles, the inside and outside corner that each vertex lies between; a
        case is the sum of 2^k over the inside corners k. (16,) int64: how many triangles there are.
    """
    table = torch.zeros(16, 2, 3, 2, dtype=torch.int64)
    counts = torch.zeros(16, dtype=torch.int64)
    for case in range(1, 15):
        within = [corner for corner in range(4) if case >> corner & 1]
        beyond = [corner for corner in range(4) if corner not in within]
        is_quad = len(within) == 2
        a, b, c, d = _even([*within, *beyond] if len(within) < 3 else [*beyond, *within])
        if is_quad:
            triangles = [[(a, c), (a, d), (b, d)], [(a, c), (b, d), (b, c)]]
        elif len(within) == 1:
            triangles = [[(a, b), (a, c), (a, d)]]
        else:
            triangles = [[(d, a), (c, a), (b, a)]]
        table[case, : len(triangles)] = torch.tensor(triangles)
        counts[case] = len(triangles)
    return table, counts


def _even(order: list[int]) -> list[int]:
    """The permutation itself where it is even, else with its last two exchanged."""
    inversions = sum(first > second for first, second in combinations(order, 2))
    return order if inversions % 2 == 0 else [*order[:2], order[3], order[2]]
