"""Surfaces of fields that are slow to ask: a coarse grid is asked whole, finer ones only where the surface is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import marching_cubes
from torch import Tensor

from a4d.errors import SurfaceVanishedError
from a4d.geometry.mesh import Mesh

Level = Callable[[Tensor], Tensor]
"""(N,) at points (N, 3): positive inside, zero at the surface."""

COARSEST = 64
"""Cells along a side of the grid that is asked whole; parts thinner than one of them may be missed."""

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FoundSurface:
    """A surface, and what it cost.

    Args:
        mesh: without colours, closed and wound outward.
        queries: points at which the field was asked.
    """

    mesh: Mesh
    queries: int


def find_surface(level: Level, radius: float, resolution: int = 256, coarsest: int = COARSEST) -> FoundSurface:
    """Marching cubes where the level is zero, the same as of a grid that is asked everywhere.

    Each grid is twice as fine as the one before. It is asked in the cells that the surface crosses on that one, and
    from there on wherever the surface goes: only parts that no cell of the coarsest grid tells from nothing are missed.

    Args:
        level: of the field.
        radius: half of the side of the cube in which the surface is sought; what leaves it is cut off and closed.
        resolution: cells along the cube's side, `coarsest` times a power of two.
        coarsest: cells along its side that are asked whole.

    Raises:
        SurfaceVanishedError: the field has no surface there.
    """
    grid = _Grid(level, radius, coarsest)
    grid.ask(np.ones(grid.values.shape, np.bool_))
    while grid.cells < resolution:
        crossed = _crossed(grid.values)
        grid = grid.refined()
        # Beside the last grid's cells their neighbours are too many to be asked unseen.
        near = binary_dilation(crossed, iterations=1) if grid.cells < resolution else crossed
        grid.ask(_corners(near.repeat(2, 0).repeat(2, 1).repeat(2, 2)))
        grid.follow()
    return FoundSurface(grid.surface(), grid.queries)


class _Grid:
    """Nodes of a cube, some of which the field was asked at; the others are guessed from those.

    Args:
        level: of the field.
        radius: half of the cube's side.
        cells: along it.
    """

    def __init__(self, level: Level, radius: float, cells: int) -> None:
        self.level, self.radius, self.cells = level, radius, cells
        self.values: Volume = np.zeros([cells + 1] * 3, np.float32)
        self.known: Mask = np.zeros([cells + 1] * 3, np.bool_)
        self.queries = 0

    def ask(self, wanted: Mask) -> None:
        """Ask the field at all nodes that are wanted and not known yet."""
        nodes = np.argwhere(wanted & ~self.known)
        points = torch.from_numpy(nodes).float() * (2 * self.radius / self.cells) - self.radius
        values = self.level(points).cpu().numpy().astype(np.float32)
        # What leaves the cube is closed at its sides, and a node on the surface would make triangles without area.
        is_border = (nodes == 0).any(1) | (nodes == self.cells).any(1)
        values = np.where(is_border, np.minimum(values, -1e-3), values)
        self.values[tuple(nodes.T)] = np.where(values == 0, np.float32(-1e-6), values)
        self.known |= wanted
        self.queries += len(nodes)

    def refined(self) -> _Grid:
        """A grid of half the spacing, whose new nodes are means of their neighbours."""
        finer = _Grid(self.level, self.radius, 2 * self.cells)
        values = self.values
        for axis in range(3):
            ahead, behind = (np.take(values, range(*ends), axis) for ends in ((1, self.cells + 1), (0, self.cells)))
            wider = np.empty([2 * self.cells + 1 if i == axis else n for i, n in enumerate(values.shape)], np.float32)
            np.moveaxis(wider, axis, 0)[::2] = np.moveaxis(values, axis, 0)
            np.moveaxis(wider, axis, 0)[1::2] = np.moveaxis((ahead + behind) / 2, axis, 0)
            values = wider
        finer.values, finer.queries = values, self.queries
        finer.known[::2, ::2, ::2] = self.known
        return finer

    def follow(self) -> None:
        """Ask at all corners of cells that the surface crosses, until none is guessed."""
        while (guessed := _corners(_crossed(self.values)) & ~self.known).any():
            self.ask(guessed)

    def surface(self) -> Mesh:
        """Marching cubes within the box around what is inside.

        Raises:
            SurfaceVanishedError: nothing is.
        """
        inside = self.values > 0
        if not inside.any():
            raise SurfaceVanishedError("the field is nowhere as dense as at a surface", "Lower its threshold")
        spans = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        low = np.array([span[0] - 1 for span in spans])
        box = tuple(slice(first, span[-1] + 2) for first, span in zip(low, spans, strict=True))
        vertices, faces, _, _ = marching_cubes(self.values[box], 0.0, gradient_direction="ascent")
        places = (vertices + low) * (2 * self.radius / self.cells) - self.radius
        return Mesh(torch.from_numpy(places).float(), torch.from_numpy(faces.astype(np.int64)))


def _crossed(values: Volume) -> Mask:
    """(N, N, N) the cells between (N + 1)³ nodes that have corners inside and outside."""
    inside = values > 0
    any_corner, all_corners = inside, inside
    for axis in range(3):
        count = inside.shape[axis] - 1
        ahead, behind = ((slice(None),) * axis + (slice(first, first + count),) for first in (1, 0))
        any_corner = any_corner[ahead] | any_corner[behind]
        all_corners = all_corners[ahead] & all_corners[behind]
    return any_corner & ~all_corners


def _corners(cells: Mask) -> Mask:
    """(N + 1)³ the nodes at the corners of chosen cells (N, N, N)."""
    nodes = np.zeros([side + 1 for side in cells.shape], np.bool_)
    for x, y, z in product((0, 1), repeat=3):
        nodes[x : x + cells.shape[0], y : y + cells.shape[1], z : z + cells.shape[2]] |= cells
    return nodes
