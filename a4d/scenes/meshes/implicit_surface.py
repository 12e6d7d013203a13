"""A surface as the zero set of signed distances on a grid, which becomes finer while it is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from a4d.config import Config
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.extraction import EXTRACTIONS, ExtractedSurface, Extraction
from a4d.geometry.surfaces.isosurface.flexicubes import CubeWeights
from a4d.geometry.surfaces.isosurface.signs import kept_in_grid
from a4d.geometry.surfaces.signed_distance import distance_to_mesh
from a4d.memory import TRAINED_NUMBER
from a4d.render.encoding import GridConfig, GridEncoding
from a4d.render.grid_layout import grid_layout
from a4d.scenes.perceptron import NetworkConfig, Perceptron
from a4d.scenes.seed_volume import Distances, SeedVolume

REACH = 0.4
"""How far a grid vertex may be displaced along an axis, in cells; a tetrahedron's edges are 0.87 and 1 cell long."""

EXACT = 3.0
"""In former cells: how near to the surface distances are measured anew when the grid becomes finer."""

POINTS = 2**18
"""Grid vertices that are evaluated at once."""

VERTEX_BYTES = 16
"""Of a grid's vertex, whatever its parameters: a position, and the distance that is known there."""

CUBE_WEIGHTS = 21
"""Of a cell of FlexiCubes: 8 corners, 12 edges and the split of its quad."""


class TableConfig(Config):
    """A distance and a displacement per vertex of the grid (nvdiffrec's DMTet)."""

    kind: Literal["table"] = "table"


class DistanceNetworkConfig(Config):
    """A hash grid and a perceptron of position that add to the distances of the shape it starts from (X-Dreamer's)."""

    kind: Literal["network"] = "network"
    encoding: GridConfig = GridConfig(levels=10, table=2**16, base_resolution=8, finest_resolution=256)
    network: NetworkConfig = NetworkConfig()
    start_resolution: int = Field(default=64, ge=4, le=256, description="cells of the volume that keeps the start")


class SurfaceConfig(Config):
    """How a surface is stored and extracted."""

    extraction: Literal["tetrahedra", "flexicubes"] = "tetrahedra"
    resolution: dict[int, int] = Field(
        default={0: 48}, description="cells along the cube's side, by the step from which on they are that many"
    )
    geometry: Annotated[TableConfig | DistanceNetworkConfig, Field(discriminator="kind")] = TableConfig()
    look_every: int = Field(default=10, ge=1, description="steps between two searches of the whole grid")

    @field_validator("resolution", mode="before")
    @classmethod
    def _single(cls, value: object) -> object:
        return {0: value} if isinstance(value, int) else value

    @field_validator("resolution")
    @classmethod
    def _from_the_start(cls, value: dict[int, int]) -> dict[int, int]:
        if min(value, default=1) != 0 or not all(4 <= cells <= 512 for cells in value.values()):
            raise ValueError("must give 4 to 512 cells from step 0 on")
        return dict(sorted(value.items()))

    def memory(self) -> int:
        """Bytes of the finest grid and of its parameters while they are optimised, at the least."""
        cells = max(self.resolution.values()) ** 3
        if isinstance(self.geometry, DistanceNetworkConfig):
            vertex, features = VERTEX_BYTES, TRAINED_NUMBER * grid_layout(self.geometry.encoding).parameters
        else:
            vertex, features = VERTEX_BYTES + TRAINED_NUMBER * 4, 0
        if self.extraction == "flexicubes":
            return features + cells * (vertex + TRAINED_NUMBER * CUBE_WEIGHTS)
        return features + 2 * cells * vertex  # at the corners and in the middle of every cell

    def cells_at(self, step: int) -> int:
        """Cells along the cube's side after a number of steps."""
        return next(cells for first, cells in reversed(self.resolution.items()) if step >= first)


class DistanceTable(nn.Module):
    """One row per grid vertex.

    Args:
        vertex_count: of the grid.
    """

    def __init__(self, vertex_count: int) -> None:
        super().__init__()
        self.sdf = nn.Parameter(torch.ones(vertex_count))
        self.displacement = nn.Parameter(torch.zeros(vertex_count, 3))

    def forward(self, points: Tensor, rows: Tensor, level_weights: Sequence[float]) -> Tensor:
        """(N, 4) distances in metres and displacements before they are bounded, at grid vertices `rows` (N,)."""
        return torch.cat([self.sdf.index_select(0, rows)[:, None], self.displacement.index_select(0, rows)], dim=1)


class DistanceNetwork(nn.Module):
    """A function of position, whatever the grid.

    Args:
        config: encoding and perceptron.
        bound: half of the cube's side, metres.
    """

    def __init__(self, config: DistanceNetworkConfig, bound: float) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        self.encoding = GridEncoding(config.encoding)
        self.network = Perceptron(self.encoding.output_features, config.network, 4)
        self.start = SeedVolume(config.start_resolution, bound)

    @torch.no_grad()
    def initialise(self, distances: Distances, generator: torch.Generator) -> None:
        """Draw the parameters anew and keep the distances of the shape to start from, on a volume."""
        self.encoding.initialise(generator)
        self.network.initialise(generator)
        self.start.initialise(distances)

    def forward(self, points: Tensor, rows: Tensor, level_weights: Sequence[float]) -> Tensor:
        """(N, 4) distances in metres and displacements before they are bounded, at points (N, 3)."""
        outputs = self.network(self.encoding((points / self.bound + 1) / 2, level_weights))
        return torch.cat([outputs[:, :1] + self.start(points)[:, None], outputs[:, 1:]], dim=1)


class ImplicitSurface(nn.Module):
    """Signed distances in a cube around the origin, and the mesh where they are zero.

    Distances are evaluated with gradients in a band around the surface; the rest of the grid is looked at every so
    often, and keeps its signs in between, so that the mesh is closed at all times.

    Args:
        config: grid and parameters.
        bound: half of the cube's side, metres.
        step: iterations done; decides the resolution.
    """

    known: Tensor

    def __init__(self, config: SurfaceConfig, bound: float, step: int = 0) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        self.geometry: DistanceTable | DistanceNetwork
        if isinstance(config.geometry, DistanceNetworkConfig):
            self.geometry = DistanceNetwork(config.geometry, bound)
        self.weights: nn.Parameter | None = None
        self._allocate(config.cells_at(step))

    def _allocate(self, resolution: int, device: torch.device | str = "cpu") -> None:
        """Make the grid, and everything that has as many rows as it."""
        self.resolution = resolution
        self.grid: Extraction = EXTRACTIONS[self.config.extraction].of(resolution, self.bound).to(device)
        count = len(self.grid.vertices)
        self.register_buffer("known", torch.ones(count, device=device))
        if isinstance(self.config.geometry, TableConfig):
            self.geometry = DistanceTable(count).to(device)
        if self.config.extraction == "flexicubes":
            self.weights = nn.Parameter(torch.zeros(resolution**3, CUBE_WEIGHTS, device=device))
        self._band = torch.arange(0)
        self._near: Extraction = self.grid

    @property
    def cell(self) -> float:
        """Side of a cell, metres."""
        return 2 * self.bound / self.resolution

    @torch.no_grad()
    def initialise(self, distances: Distances, generator: torch.Generator) -> None:
        """Start as the zero set of given distances."""
        if isinstance(self.geometry, DistanceNetwork):
            self.geometry.initialise(distances, generator)
        else:
            self.geometry.sdf.copy_(distances(self.grid.vertices))
        self.look()

    @torch.no_grad()
    def look(self, level_weights: Sequence[float] | None = None) -> None:
        """Evaluate the whole grid and find out where the surface is."""
        rows = torch.arange(len(self.grid.vertices), device=self.known.device)
        self.known = torch.cat([self._values(part, level_weights)[:, 0] for part in rows.split(POINTS)])
        self.remember()

    def remember(self) -> None:
        """Find the band anew from the distances that are known."""
        if self.grid.vertices.device != self.known.device:
            self.grid = self.grid.to(self.known.device)
        self._band = self.grid.band(self.known)
        self._near = self.grid.near(self._band)

    def _values(self, rows: Tensor, level_weights: Sequence[float] | None) -> Tensor:
        """(N, 4) distances, positive on the border, and displacements in metres at grid vertices (N,)."""
        values = self.geometry(self.grid.vertices[rows], rows, level_weights)
        sdf = kept_in_grid(values[:, 0], self.grid.is_boundary[rows], 1e-3 * self.cell)
        return torch.cat([sdf[:, None], values[:, 1:].tanh() * (REACH * self.cell)], dim=1)

    def forward(self, level_weights: Sequence[float] | None = None) -> ExtractedSurface:
        """Extract the surface, with gradients.

        Raises:
            SurfaceVanishedError: there is no surface left.
        """
        values = self._values(self._band, level_weights)
        sdf = self.known.index_copy(0, self._band, values[:, 0])
        displacement = values.new_zeros(len(sdf), 3).index_copy(0, self._band, values[:, 1:])
        weights = None if self.weights is None else CubeWeights.from_logits(self.weights)
        return self._near.extract(sdf, displacement, weights)

    @torch.no_grad()
    def refine(self, mesh: Mesh, resolution: int, level_weights: Sequence[float] | None = None) -> None:
        """Go on with a finer grid; a table takes its distances from the surface that the former one showed.

        Args:
            mesh: the surface.
            resolution: cells along the cube's side.
            level_weights: of a network's encoding.
        """
        former, cell, corners = self.known, self.cell, self.resolution + 1
        self._allocate(resolution, former.device)
        if isinstance(self.geometry, DistanceTable):
            # Both kinds of grid begin with the corners of the cells, z running fastest.
            volume = former[: corners**3].view(1, 1, *[corners] * 3)
            unit = (self.grid.vertices / self.bound).flip(-1)
            distances = grid_sample(volume, unit[None, None, None], align_corners=True)[0, 0, 0, 0]
            is_near = distances.abs() < EXACT * cell
            distances[is_near] = distance_to_mesh(self.grid.vertices[is_near], mesh)
            self.geometry.sdf.copy_(distances)
        self.look(level_weights)
