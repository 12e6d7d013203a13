"""How a multi-resolution grid lays its parameters out: as tiny-cuda-nn does, so that a scene opens on any backend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from a4d.config import Config

PRIMES = (1, 2654435761, 805459861, 3674653429)
"""Multipliers of the spatial hash per axis (Müller et al. 2022, section 3); the first is 1 for memory coherence."""

ENTRIES_MULTIPLE = 8
"""Dense levels are padded to a multiple of this many entries."""

LEVEL = np.dtype(
    [
        ("offset", np.uint64),
        ("size", np.uint32),
        ("mask", np.uint32),
        ("resolution", np.uint32),
        ("scale", np.float32),
        ("multipliers", np.uint32, (4,)),
        ("hashed", np.uint32),
    ],
    align=True,
)
"""One level: first entry, number of entries, mask of the index before it wraps at `size`, vertices per axis, cells per
unit of position, the multiplier of each coordinate, and whether products are combined by xor rather than added."""


class GridConfig(Config):
    """A multi-resolution grid of features over the unit cube [0, 1]^dimensions.

    A level whose vertices fit into `table` entries is dense. Above that, `hash-grid` scatters vertices by a spatial
    hash (Müller et al. 2022), and `tiled-grid` repeats: strides are taken until one exceeds the table, coordinates
    after it are ignored, and the sum wraps at the table's end, as in the released Animate124.
    """

    kind: Literal["hash-grid", "tiled-grid"] = "hash-grid"
    dimensions: int = Field(default=3, ge=2, le=4)
    levels: int = Field(default=16, ge=1, le=32)
    features: Literal[1, 2, 4, 8] = Field(default=2, description="features per level")
    table: int = Field(default=2**15, ge=8, le=2**24, description="most entries per level, a power of two")
    base_resolution: int = Field(default=16, ge=1, le=2**16, description="vertices per axis of the coarsest level")
    finest_resolution: int = Field(default=2048, ge=1, le=2**19, description="vertices per axis of the finest level")
    per_level_scale: float | None = Field(default=None, ge=1, le=16, description="growth; replaces finest_resolution")
    interpolation: Literal["linear", "smoothstep"] = "linear"

    @field_validator("table")
    @classmethod
    def _table_is_a_power_of_two(cls, table: int) -> int:
        if table & (table - 1):
            raise ValueError(f"must be a power of two, such as {2 ** table.bit_length()}")
        return table

    @model_validator(mode="after")
    def _resolutions_grow(self) -> GridConfig:
        if self.per_level_scale is None and self.finest_resolution < self.base_resolution:
            raise ValueError("finest_resolution is below base_resolution")
        if self.base_resolution * self.growth ** (self.levels - 1) > 2**19 + 1:
            raise ValueError("the finest level has more than 524288 vertices per axis: lower per_level_scale or levels")
        return self

    @property
    def smooth(self) -> bool:
        """Whether cell fractions f pass through 3f² - 2f³ on their way to weights."""
        return self.interpolation == "smoothstep"

    @property
    def growth(self) -> float:
        """Ratio of the resolutions of two neighbouring levels."""
        if self.per_level_scale is not None:
            return self.per_level_scale
        if self.levels == 1:
            return 1.0
        return 2.0 ** (math.log2(self.finest_resolution / self.base_resolution) / (self.levels - 1))


@dataclass(frozen=True, eq=False)
class GridLayout:
    """Where each level's entries lie in the flat parameter vector, and how a vertex finds its entry.

    Args:
        config: the grid; entry e holds the F parameters from e * F on.
        levels: (L,) records of type `LEVEL`, coarsest first.
    """

    config: GridConfig
    levels: np.ndarray

    @property
    def offsets(self) -> list[int]:
        """First entry of each level, and behind them the number of entries in all."""
        return [int(offset) for offset in self.levels["offset"]] + [
            int(self.levels["offset"][-1]) + int(self.levels["size"][-1])
        ]

    @property
    def parameters(self) -> int:
        """Length of the flat parameter vector."""
        return self.offsets[-1] * self.config.features


@lru_cache(maxsize=64)
def grid_layout(config: GridConfig) -> GridLayout:
    """The layout of a grid.

    Level l has `scale = growth^l * base_resolution - 1` cells per unit and `ceil(scale) + 1` vertices per axis, in
    single precision as on the GPU. A position x falls at `x * scale + 0.5`: the half cell staggers the levels against
    each other, and lets the last vertex of an axis wrap onto the first one of the next row.
    """
    levels = np.zeros(config.levels, LEVEL)
    offset = 0
    for index, level in enumerate(levels):
        scale = _scale(config, index)
        resolution = math.ceil(scale) + 1
        dense = -(-(resolution**config.dimensions) // ENTRIES_MULTIPLE) * ENTRIES_MULTIPLE
        size = min(dense, config.table)
        wraps = resolution**config.dimensions > size
        level["hashed"] = wraps and config.kind == "hash-grid"
        multipliers = PRIMES[: config.dimensions] if level["hashed"] else _strides(resolution, config.dimensions, size)
        level["multipliers"][: config.dimensions] = multipliers
        level["mask"] = size - 1 if wraps else 2**32 - 1
        level["offset"], level["size"], level["resolution"], level["scale"] = offset, size, resolution, scale
        offset += size
    levels.setflags(write=False)
    return GridLayout(config, levels)


def _scale(config: GridConfig, level: int) -> np.float32:
    # Rounded to single precision after every step: near an integer the last bit decides the resolution.
    log2_growth = np.float32(math.log2(np.float32(config.growth)))
    return np.float32(2.0 ** float(np.float32(level) * log2_growth)) * np.float32(config.base_resolution) - np.float32(
        1
    )


def _strides(resolution: int, dimensions: int, size: int) -> list[int]:
    """Strides of a row-major grid, the first axis fastest; 0 from the axis on whose stride exceeds the table."""
    return [stride if stride <= size else 0 for stride in (resolution**axis for axis in range(dimensions))]
