"""Surfaces extracted again and again while they change: only where they are near is looked at each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import max_pool3d

from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.flexicubes import CubeGrid, CubeWeights, cube_grid, flexicubes
from a4d.geometry.surfaces.isosurface.marching_tetrahedra import marching_tetrahedra
from a4d.geometry.surfaces.isosurface.tetrahedral_grid import TetrahedralGrid, tetrahedral_grid


@dataclass(frozen=True)
class ExtractedSurface:
    """A surface and the distances that it comes from, all with gradients.

    Args:
        mesh: closed, wound outward.
        sdf: (G,) signed distances at the grid's vertices.
        edges: (E, 2) int64, the grid vertices inside and outside at the ends of the edges that cross the surface.
        deviation: (), the regulariser of FlexiCubes, or None.
    """

    mesh: Mesh
    sdf: Tensor
    edges: Tensor
    deviation: Tensor | None = None


class Extraction(ABC):
    """A grid of G vertices in a cube around the origin, and how a surface is taken out of it."""

    @property
    @abstractmethod
    def vertices(self) -> Tensor:
        """(G, 3) positions before any deformation."""

    @property
    @abstractmethod
    def is_boundary(self) -> Tensor:
        """(G,) bool, vertices on the border of the grid."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Extraction:
        """The same grid on another device."""

    @abstractmethod
    def band(self, sdf: Tensor) -> Tensor:
        """(N,) int64, the vertices near a surface of distances (G,): those of crossed cells and of their neighbours."""

    @abstractmethod
    def near(self, band: Tensor) -> Extraction:
        """The same grid for surfaces that differ from a known one only by the signs of the band's vertices, (N,)."""

    @abstractmethod
    def extract(self, sdf: Tensor, deformation: Tensor, weights: CubeWeights | None) -> ExtractedSurface:
        """The surface of distances (G,) at vertices displaced by (G, 3).

        Raises:
            SurfaceVanishedError: there is no surface, or it leaves the grid.
        """


@dataclass(frozen=True)
class TetrahedralExtraction(Extraction):
    """Marching tetrahedra on the body-centred lattice.

    Args:
        grid: all of it, or the tetrahedra in which the surface may lie.
    """

    grid: TetrahedralGrid

    @classmethod
    def of(cls, resolution: int, half_extent: float) -> TetrahedralExtraction:
        """A grid of `resolution` cells along the cube's side; see `tetrahedral_grid`."""
        return cls(tetrahedral_grid(resolution, half_extent))

    @property
    def vertices(self) -> Tensor:
        """(G, 3)."""
        return self.grid.vertices

    @property
    def is_boundary(self) -> Tensor:
        """(G,) bool."""
        return self.grid.is_boundary

    def to(self, device: torch.device | str) -> TetrahedralExtraction:
        """The same grid on another device."""
        return TetrahedralExtraction(self.grid.to(device))

    def band(self, sdf: Tensor) -> Tensor:
        """(N,) int64, the vertices of crossed tetrahedra and of those that touch them."""
        inside = (sdf < 0)[self.grid.tetrahedra]
        crossed = self.grid.tetrahedra[inside.any(1) & ~inside.all(1)]
        return self._marked(self._touching(crossed)).nonzero()[:, 0]

    def near(self, band: Tensor) -> TetrahedralExtraction:
        """The tetrahedra with a vertex in the band."""
        return TetrahedralExtraction(replace(self.grid, tetrahedra=self._touching(band)))

    def _marked(self, rows: Tensor) -> Tensor:
        mark = torch.zeros(len(self.grid.vertices), dtype=torch.bool, device=rows.device)
        mark[rows.flatten()] = True
        return mark

    def _touching(self, rows: Tensor) -> Tensor:
        """(T, 4) the tetrahedra with at least one of some vertices."""
        return self.grid.tetrahedra[self._marked(rows)[self.grid.tetrahedra].any(1)]

    def extract(self, sdf: Tensor, deformation: Tensor, weights: CubeWeights | None = None) -> ExtractedSurface:
        """Marching tetrahedra, which take no weights."""
        surface = marching_tetrahedra(self.grid, sdf, deformation)
        return ExtractedSurface(surface.mesh, sdf, surface.edges)


@dataclass(frozen=True)
class CubeExtraction(Extraction):
    """FlexiCubes, quads split at their centre.

    Args:
        grid: of cubes.
    """

    grid: CubeGrid

    @classmethod
    def of(cls, resolution: int, half_extent: float) -> CubeExtraction:
        """A grid of `resolution` cells along the cube's side."""
        return cls(cube_grid(resolution, half_extent))

    @property
    def vertices(self) -> Tensor:
        """(G, 3)."""
        return self.grid.vertices

    @cached_property
    def is_boundary(self) -> Tensor:
        """(G,) bool."""
        return self.grid.is_boundary

    def to(self, device: torch.device | str) -> CubeExtraction:
        """The same grid on another device."""
        return CubeExtraction(self.grid.to(device))

    def band(self, sdf: Tensor) -> Tensor:
        """(N,) int64, the vertices within two cells of one of the other sign."""
        inside = (sdf < 0).float().view(1, 1, *[self.grid.resolution + 1] * 3)
        is_mixed = max_pool3d(inside, 5, 1, 2) + max_pool3d(1 - inside, 5, 1, 2) > 1
        return is_mixed.flatten().nonzero()[:, 0]

    def near(self, band: Tensor) -> CubeExtraction:
        """The whole grid: finding the crossed cubes is quick."""
        return self

    def extract(self, sdf: Tensor, deformation: Tensor, weights: CubeWeights | None = None) -> ExtractedSurface:
        """FlexiCubes with weights."""
        surface = flexicubes(self.grid, sdf, deformation, weights, split_at_centre=True)
        return ExtractedSurface(surface.mesh, sdf, surface.edges, surface.deviation)


EXTRACTIONS: dict[str, type[TetrahedralExtraction | CubeExtraction]] = {
    "tetrahedra": TetrahedralExtraction,
    "flexicubes": CubeExtraction,
}
"""By the name that configurations give them."""
