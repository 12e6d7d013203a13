"""Which cells of a cube hold something: the highest density seen in each of late, kept per interval of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config

CELL_BYTES = 5
"""A density in single precision, and whether it counts."""

CHUNK = 2**17
"""Points that are evaluated at once."""

Density = Callable[[Tensor, Tensor], Tensor]
"""Densities (N,) per metre at points (N, 3) in the world and times (N,) in [0, 1]."""


class OccupancyConfig(Config):
    """How finely a field's empty space is known, and how often it is looked at anew."""

    resolution: int = Field(default=64, ge=4, le=512, description="cells along the cube's side")
    bins: int = Field(default=16, ge=1, le=256, description="intervals of time of a field that moves")
    every: int = Field(default=16, ge=1, description="steps between two updates, each of one interval of time")
    warm_up: int = Field(default=256, ge=0, description="steps in which an update looks at every cell")
    share: float = Field(default=0.125, gt=0, le=1, description="of the empty cells an update looks at after that")
    decay: float = Field(default=0.7, gt=0, lt=1, description="of what was seen before, per update")
    threshold: float = Field(default=0.5, gt=0, description="density per metre above which a cell is occupied")


@dataclass(frozen=True)
class MarkedSpace:
    """Which cells of the cube [-bound, bound]³ hold something in each of late, as far as whoever made it knows.

    Args:
        occupied: (T, R, R, R) bool, by interval of time, x, y and z.
        bound: metres.
    """

    occupied: Tensor
    bound: float


@torch.no_grad()
def marked_space(
    points: Tensor,  # (T, N, 3) world, metres, in every interval of time
    cell: float,
    most: int = 256,
) -> MarkedSpace:
    """The cells with points in them, and their neighbours.

    Args:
        points: no farther apart than a cell where the space between them is occupied.
        cell: side of a cell, metres; longer where the points would need more than `most` along the cube's side.
        most: cells along the cube's side.
    """
    reach = float(points.abs().amax())
    resolution = min(2 * math.ceil(reach / cell) + 4, most)
    bound = max(resolution * cell / 2, reach * resolution / (resolution - 4))
    cells = ((points / bound + 1) * (resolution / 2)).long().clamp(0, resolution - 1)
    occupied = points.new_zeros(len(points), resolution, resolution, resolution)
    moment = torch.arange(len(points), device=points.device)[:, None].expand(cells.shape[:2])
    occupied[moment, cells[..., 0], cells[..., 1], cells[..., 2]] = 1
    return MarkedSpace(nn.functional.max_pool3d(occupied[:, None], 3, stride=1, padding=1)[:, 0] > 0, bound)


class OccupancyGrid(nn.Module):
    """Densities of the cells of the cube [-bound, bound]³, decaying maxima of what updates find at random points.

    Müller et al. 2022, appendix E.2. A cell counts as occupied where it or a neighbour is dense, and where everything
    is thin, if it is denser than the mean.

    Args:
        config: sizes and rates.
        bound: half of the cube's side, metres.
        bins: intervals of time, 1 for a static field.
    """

    density: Tensor
    occupied: Tensor

    def __init__(self, config: OccupancyConfig, bound: float, bins: int = 1) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        shape = (bins, config.resolution, config.resolution, config.resolution)
        # Axes are time, x, y, z. Until it is looked at, everything may hold something.
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.bool))

    @property
    def share(self) -> float:
        """Fraction of cells that are occupied."""
        return float(self.occupied.float().mean())

    @torch.no_grad()
    def fill(self, density: Density, generator: torch.Generator) -> None:
        """Look at every cell once at time 0, for a field that does not change over time yet."""
        self._look(0, torch.arange(self.density[0].numel()), density, generator, decay=0.0)
        self.density.copy_(self.density[:1].clone().expand_as(self.density))
        for bin_index in range(len(self.density)):
            self._threshold(bin_index)

    @torch.no_grad()
    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Look at one interval of time anew if an update is due after a step, counted from 0; intervals take turns."""
        turn, rest = divmod(step + 1, self.config.every)
        if rest:
            return
        bin_index = turn % len(self.density)
        cells = torch.arange(self.density[0].numel())
        if step >= self.config.warm_up:
            is_drawn = torch.rand(len(cells), generator=generator) < self.config.share
            cells = cells[is_drawn | self.occupied[bin_index].flatten().cpu()]
        self._look(bin_index, cells, density, generator, self.config.decay)
        self._threshold(bin_index)

    def _look(self, bin_index: int, cells: Tensor, density: Density, generator: torch.Generator, decay: float) -> None:
        values = self.density[bin_index].view(-1)
        device = values.device
        values *= decay
        for part in cells.split(CHUNK):
            draws = torch.rand(len(part), 4, generator=generator)
            corner = torch.stack(torch.unravel_index(part, self.density.shape[1:]), dim=-1)
            points = ((corner + draws[:, :3]) / self.config.resolution * 2 - 1) * self.bound
            times = (bin_index + draws[:, 3]) / len(self.density)
            found = density(points.to(device), times.to(device)).to(values)
            looked_at = part.to(device)
            values[looked_at] = torch.maximum(values[looked_at], found)

    def _threshold(self, bin_index: int) -> None:
        values = self.density[bin_index]
        least = min(self.config.threshold, float(values.double().mean()))
        dense = (values >= least).float()[None, None]
        # A point drawn in a cell may have missed what is in it; its neighbours are less likely to have missed it too.
        self.occupied[bin_index] = nn.functional.max_pool3d(dense, 3, stride=1, padding=1)[0, 0] > 0


Space = OccupancyGrid | MarkedSpace
"""What says where rays need not look."""
