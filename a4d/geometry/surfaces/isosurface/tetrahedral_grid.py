"""Tetrahedral grids: a body-centred cubic lattice that fills a cube, or tetrahedra given by the user."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.errors import InvalidInputError, UsageError

FACES_OF_TETRAHEDRON = ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))


@dataclass(frozen=True)
class TetrahedralGrid:
    """Tetrahedra that share whole faces.

    Args:
        vertices: (V, 3) positions.
        tetrahedra: (T, 4) int64 vertex indices; the last three run counter-clockwise seen from the first's far side,
            so that det[b - a, c - a, d - a] > 0.
        is_boundary: (V,) bool, vertices on the border of the grid.
    """

    vertices: Tensor
    tetrahedra: Tensor
    is_boundary: Tensor

    def to(self, device: torch.device | str) -> TetrahedralGrid:
        """The same grid on another device."""
        return TetrahedralGrid(self.vertices.to(device), self.tetrahedra.to(device), self.is_boundary.to(device))

    def with_vertices(self, vertices: Tensor) -> TetrahedralGrid:
        """The same tetrahedra at other positions, (V, 3)."""
        return replace(self, vertices=vertices)

    @property
    def volumes(self) -> Tensor:
        """(T,) signed volumes; positive unless a deformation turned a tetrahedron inside out."""
        a, b, c, d = self.vertices[self.tetrahedra].unbind(1)
        return ((b - a) * torch.linalg.cross(c - a, d - a, dim=-1)).sum(-1) / 6


def tetrahedral_grid(resolution: int, half_extent: float = 1.0) -> TetrahedralGrid:
    """Fill a cube around the origin with the tetrahedra of the body-centred cubic lattice.

    The lattice has a vertex at each corner and at each centre of its cells. Around each face between two cells stand
    four congruent tetrahedra: the line between the two centres joined to each edge of the face. Their edges are one
    cell and √3/2 cell long and no dihedral angle is below 60°. Where a face lies on the cube's side, its own centre
    takes the place of the missing cell's, and the cube is filled without a crack.

    Args:
        resolution: R cells along a side, giving (R+1)³ + R³ + 6 R² vertices and 12 R² (R+1) tetrahedra.
        half_extent: half the side of the cube.

    Raises:
        UsageError: the resolution is not positive.
    """
    if resolution < 1:
        raise UsageError(f"a tetrahedral grid of resolution {resolution} has no cells")
    count = resolution
    corners = torch.cartesian_prod(*[torch.arange(count + 1)] * 3) * 2
    centres = torch.cartesian_prod(*[torch.arange(count)] * 3) * 2 + 1
    positions = [corners, centres]  # in half cells, from the cube's lowest corner
    corner_index = torch.arange(len(corners)).view([count + 1] * 3)
    centre_index = len(corners) + torch.arange(len(centres)).view([count] * 3)
    total = len(corners) + len(centres)
    tetrahedra = []
    for axis in range(3):
        # Cyclic order of the axes keeps the frame right-handed.
        order = [axis, (axis + 1) % 3, (axis + 2) % 3]
        across = centre_index.permute(order)
        sides = total + torch.arange(2 * count**2).view(2, count, count)
        total += 2 * count**2
        for layer, height in ((0, 0), (-1, 2 * count)):
            side = centres[across[layer].flatten() - len(corners)].clone()
            side[:, axis] = height
            positions.append(side)
        ends = torch.cat([sides[:1], across, sides[1:]])
        around = corner_index.permute(order)
        ring = [around[:, :-1, :-1], around[:, 1:, :-1], around[:, 1:, 1:], around[:, :-1, 1:]]
        for start, stop in zip(ring, [*ring[1:], ring[0]], strict=True):
            tetrahedra.append(torch.stack([ends[:-1], ends[1:], start, stop], dim=-1).view(-1, 4))
    lattice = torch.cat(positions)
    is_boundary = ((lattice == 0) | (lattice == 2 * count)).any(1)
    return TetrahedralGrid((lattice / count - 1) * half_extent, torch.cat(tetrahedra), is_boundary)


def grid_from_tetrahedra(
    vertices: Tensor,  # (V, 3)
    tetrahedra: Tensor,  # (T, 4) integer vertex indices
) -> TetrahedralGrid:
    """A grid of given tetrahedra; its border are the faces that belong to one tetrahedron alone.

    Raises:
        InvalidInputError: a tetrahedron is flat or turned inside out, or a face belongs to more than two.
    """
    tetrahedra = tetrahedra.long()
    grid = TetrahedralGrid(vertices, tetrahedra, torch.zeros(len(vertices), dtype=torch.bool, device=vertices.device))
    if not bool((grid.volumes > 0).all()):
        raise InvalidInputError("the grid has tetrahedra without positive volume", "Swap two of their vertices")
    faces = torch.cat([tetrahedra[:, corners] for corners in FACES_OF_TETRAHEDRON]).sort(dim=1).values
    distinct, uses = faces.unique(dim=0, return_counts=True)
    if int(uses.max()) > 2:
        raise InvalidInputError("the grid has faces that more than two tetrahedra share")
    grid.is_boundary[distinct[uses == 1].flatten()] = True
    return grid
