"""FlexiCubes: dual marching cubes with weights that optimise the mesh as well as the shape (Shen et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.mesh import Mesh
from a4d.geometry.rows import rows
from a4d.geometry.surfaces.isosurface.cube_patches import EDGE_ENDS, cube_patches
from a4d.geometry.surfaces.isosurface.signs import inside_mask

ALPHA_BETA_RANGE = 0.99
"""How far alpha and beta may be from 1, so that they stay positive."""

GAMMA_RANGE = 0.99
"""Share of (0, 1) that gamma can take."""


@dataclass(frozen=True)
class CubeGrid:
    """A cube of R³ cubic cells.

    Args:
        vertices: ((R+1)³, 3) positions, z running fastest.
        resolution: R cells along a side.
    """

    vertices: Tensor
    resolution: int

    @property
    def is_boundary(self) -> Tensor:
        """((R+1)³,) bool, vertices on the border of the grid."""
        mask = torch.ones([self.resolution + 1] * 3, dtype=torch.bool, device=self.vertices.device)
        mask[1:-1, 1:-1, 1:-1] = False
        return mask.flatten()

    @property
    def strides(self) -> Tensor:
        """(3,) int64, steps between neighbouring vertices along x, y and z."""
        side = self.resolution + 1
        return torch.tensor([side * side, side, 1], device=self.vertices.device)

    def to(self, device: torch.device | str) -> CubeGrid:
        """The same grid on another device."""
        return CubeGrid(self.vertices.to(device), self.resolution)


@dataclass(frozen=True)
class CubeWeights:
    """What FlexiCubes optimises besides distances and deformation; all positive, corners and edges as in cube_patches.

    Args:
        alpha: (R³, 8) scales of the distances at each cell's corners: move the crossings along its edges.
        beta: (R³, 12) shares of the crossings in a dual vertex.
        gamma: (R³,) pull on the point at which a quad is split.
    """

    alpha: Tensor
    beta: Tensor
    gamma: Tensor

    @classmethod
    def from_logits(cls, logits: Tensor) -> CubeWeights:
        """Weights from (R³, 21) unbounded numbers; zeros weigh all corners and edges alike."""
        alpha, beta, gamma = logits.split([8, 12, 1], dim=-1)
        return cls(
            1 + ALPHA_BETA_RANGE * alpha.tanh(),
            1 + ALPHA_BETA_RANGE * beta.tanh(),
            0.5 + GAMMA_RANGE * (gamma[..., 0].sigmoid() - 0.5),
        )


@dataclass(frozen=True)
class FlexiCubesSurface:
    """A dual surface.

    Args:
        mesh: closed, manifold, wound outward; gradients reach distances, deformation and weights.
        edges: (E, 2) int64, the grid vertices inside and outside at the ends of the edges that cross the surface.
        deviation: (), how unequal the distances from a dual vertex to its crossings are: the mean over dual vertices
            of the mean absolute deviation (L_dev of the paper); a regulariser, with gradients.
    """

    mesh: Mesh
    edges: Tensor
    deviation: Tensor


def cube_grid(resolution: int, half_extent: float = 1.0) -> CubeGrid:
    """A grid that fills a cube around the origin.

    Raises:
        UsageError: the resolution is not positive.
    """
    if resolution < 1:
        raise UsageError(f"a grid of resolution {resolution} has no cells")
    steps = torch.arange(resolution + 1) * (2 / resolution) - 1
    return CubeGrid(torch.cartesian_prod(steps, steps, steps) * half_extent, resolution)


def flexicubes(
    grid: CubeGrid,
    sdf: Tensor,  # ((R+1)³,) signed distances at the grid's vertices, negative inside
    deformation: Tensor | None = None,  # ((R+1)³, 3) displacements of the grid's vertices
    weights: CubeWeights | None = None,  # None weighs all corners and edges alike
    split_at_centre: bool = False,  # four triangles per quad rather than two
) -> FlexiCubesSurface:
    """Extract the surface where the distance is zero.

    Split at the centre, quads become four triangles around a point between their diagonals that gamma moves smoothly:
    for optimisation. Otherwise they become two, along the diagonal with the larger product of gammas.

    Raises:
        SurfaceVanishedError: there is no surface, or it leaves the grid.
    """
    inside = inside_mask(sdf, grid.is_boundary)
    cells, cases, inverted = _crossed_cells(inside, grid.resolution)
    patches = cube_patches().to(sdf.device)
    patch = patches.patch[inverted, cases]
    counts = patches.counts[inverted, cases]
    row, edge = (patch >= 0).nonzero(as_tuple=True)
    dual = (counts.cumsum(0) - counts)[row] + patch[row, edge]
    cell_of_dual = cells.repeat_interleave(counts)
    cell = cells[row]

    ends = torch.tensor(EDGE_ENDS, device=sdf.device)[edge]
    nodes = _lowest_corner(cell, grid)[:, None] + _corner_offsets(grid)[ends]
    vertices, deviation = _dual_vertices(grid, sdf, deformation, weights, (cell, edge, nodes, dual), len(cell_of_dual))

    axis, slot = edge // 4, edge % 4
    order = ((nodes[:, 0] * 3 + axis) * 4 + slot).argsort()
    quads = dual[order].view(-1, 4)
    low_high = nodes[order[::4]]
    is_low_inside = inside[low_high[:, 0]][:, None]
    # The four cells run counter-clockwise about the edge; seen from its outside end they must do so, too.
    quads = quads.where(is_low_inside, quads.flip(1))
    edges = low_high.where(is_low_inside, low_high.flip(1))
    gamma = torch.ones_like(vertices[:, 0]) if weights is None else weights.gamma[cell_of_dual]
    return FlexiCubesSurface(_triangulated(vertices, quads, gamma, split_at_centre), edges, deviation)


def _crossed_cells(inside: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """(A,) indices of the cells that cross the surface, their cases, and 1 where the inverted patches apply."""
    block = inside.view([resolution + 1] * 3).to(torch.uint8)
    every = torch.zeros([resolution] * 3, dtype=torch.uint8, device=inside.device)
    for corner in range(8):
        x, y, z = (slice(bit, resolution + bit) for bit in (corner & 1, corner >> 1 & 1, corner >> 2))
        every |= block[x, y, z] << corner
    every = every.flatten()
    cells = ((every > 0) & (every < 255)).nonzero()[:, 0]
    cases = every[cells].long()
    doubled_face = cube_patches().doubled_face.to(inside.device)
    face = doubled_face[cases]
    doubtful = (face >= 0).nonzero()[:, 0]
    face = face[doubtful]
    steps = torch.tensor([resolution**2, resolution, 1], device=inside.device)
    # A doubled face has inside corners, hence is not on the border: the cell beyond it exists.
    beyond = cells[doubtful] + steps[face // 2] * (2 * (face % 2) - 1)
    inverted = torch.zeros_like(cases)
    inverted[doubtful] = (doubled_face[every[beyond].long()] == (face ^ 1)).long()
    return cells, cases, inverted


def _lowest_corner(cells: Tensor, grid: CubeGrid) -> Tensor:
    """(N,) grid vertex at the lowest corner of each cell."""
    size = grid.resolution
    position = torch.stack([cells // size**2, cells // size % size, cells % size], dim=-1)
    return (position * grid.strides).sum(-1)


def _corner_offsets(grid: CubeGrid) -> Tensor:
    """(8,) steps from a cell's lowest corner to each of its corners."""
    corners = torch.arange(8, device=grid.vertices.device)
    return (torch.stack([corners & 1, corners >> 1 & 1, corners >> 2], dim=-1) * grid.strides).sum(-1)


def _dual_vertices(
    grid: CubeGrid,
    sdf: Tensor,
    deformation: Tensor | None,
    weights: CubeWeights | None,
    crossings: tuple[Tensor, Tensor, Tensor, Tensor],  # (N,) cell, (N,) edge, (N, 2) grid vertices, (N,) dual vertex
    count: int,
) -> tuple[Tensor, Tensor]:
    """(D, 3) dual vertices, the weighted means of the crossings around their patches, and their mean deviation."""
    cell, edge, nodes, dual = crossings
    distances = rows(sdf, nodes)
    positions = grid.vertices[nodes]
    if deformation is not None:
        positions = positions + rows(deformation, nodes)
    share = torch.ones_like(distances[:, :1])
    if weights is not None:
        corners = torch.tensor(EDGE_ENDS, device=sdf.device)[edge]
        distances = distances * rows(weights.alpha.flatten(), cell[:, None] * 8 + corners)
        share = weights.beta[cell, edge][:, None]
    low, high = distances.split(1, dim=1)
    points = (positions[:, 0] * high - positions[:, 1] * low) / (high - low)

    def sums(values: Tensor) -> Tensor:
        return values.new_zeros(count, values.shape[-1]).index_add(0, dual, values)

    vertices = sums(points * share) / sums(share)
    radii = (points - rows(vertices, dual)).norm(dim=-1, keepdim=True)
    degree = sums(torch.ones_like(radii))
    deviation = sums((radii - rows(sums(radii) / degree, dual)).abs()) / degree
    return vertices, deviation.mean()


def _triangulated(vertices: Tensor, quads: Tensor, gamma: Tensor, split_at_centre: bool) -> Mesh:
    """Triangles of quads whose corners 0 and 2 span the first, 1 and 3 the second diagonal."""
    pulls = rows(gamma, quads)
    first, second = (pulls[:, i] * pulls[:, i + 2] for i in (0, 1))
    if not split_at_centre:
        turned = quads.where((first >= second)[:, None], quads.roll(-1, dims=1))
        return Mesh(vertices, torch.cat([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]]))
    corners = rows(vertices, quads)
    diagonals = corners[:, :2] + corners[:, 2:]
    pull = torch.stack([first, second], dim=1)[..., None]
    centres = (diagonals * pull).sum(1) / (2 * pull.sum(1))
    index = len(vertices) + torch.arange(len(quads), device=quads.device)
    fan = [torch.stack([quads[:, i], quads[:, (i + 1) % 4], index], dim=1) for i in range(4)]
    return Mesh(torch.cat([vertices, centres]), torch.cat(fan))
