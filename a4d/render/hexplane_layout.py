"""How the six planes of a hexplane lie in two flat parameter vectors, one of space and one of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from a4d.config import Config

SPACE_PLANES = ("xy", "xz", "yz")
TIME_PLANES = ("xt", "yt", "zt")
"""Planes by their axes: the first runs along the columns, the second along the rows."""

PLANE = np.dtype(
    [
        ("offset", np.uint64),
        ("row_step", np.uint64),
        ("columns", np.uint32),
        ("rows", np.uint32),
        ("column_axis", np.uint32),
        ("row_axis", np.uint32),
        ("timed", np.uint32),
    ],
    align=True,
)
"""One plane: parameter of its first vertex and distance between rows, vertices along both axes, the coordinates these
are, and whether it lies in the parameters of time."""

Resolution = Annotated[int, Field(ge=2, le=4096)]


class HexplaneConfig(Config):
    """Six planes per level over x, y, z and time; see `HexplaneEncoding`. The defaults are those of Animate3D."""

    kind: Literal["hexplane"] = "hexplane"
    features: int = Field(default=16, ge=1, le=128, description="features per level")
    resolutions: tuple[tuple[Resolution, Resolution, Resolution, Resolution], ...] = Field(
        default=((50, 50, 50, 8), (100, 100, 100, 16)),
        min_length=1,
        max_length=32,
        description="vertices along x, y, z, t per level",
    )


@dataclass(frozen=True, eq=False)
class HexplaneLayout:
    """Where each plane's vertices lie; a vertex is F neighbouring parameters.

    Args:
        features: F.
        planes: (L, 6) records of type `PLANE`, in the order of `SPACE_PLANES` and `TIME_PLANES`.
        time_blocks: per level the shape (T, X + Y + Z, F) of its three time planes side by side.
    """

    features: int
    planes: np.ndarray
    time_blocks: tuple[tuple[int, int, int], ...]

    @property
    def space_parameters(self) -> int:
        """Length of the flat vector of the space planes."""
        planes = self.planes[:, :3]
        return int((planes["columns"].astype(np.int64) * planes["rows"]).sum()) * self.features

    @property
    def time_parameters(self) -> int:
        """Length of the flat vector of the time planes."""
        return sum(rows * columns * features for rows, columns, features in self.time_blocks)

    def frozen_in_time(self) -> HexplaneLayout:
        """The layout when every time block has been interpolated to the single row of one instant."""
        planes = self.planes.copy()
        blocks = tuple((1, columns, features) for _, columns, features in self.time_blocks)
        before = 0
        for level, (rows, columns, features) in enumerate(self.time_blocks):
            planes["offset"][level, 3:] -= np.uint64(before)
            before += (rows - 1) * columns * features
        planes["rows"][:, 3:] = 1
        planes.setflags(write=False)
        return replace(self, planes=planes, time_blocks=blocks)


@lru_cache(maxsize=64)
def hexplane_layout(config: HexplaneConfig) -> HexplaneLayout:
    """The layout of a hexplane.

    Space planes follow each other, level by level, each row-major. The time planes of a level lie side by side, so that
    one instant of all three is one row of (X + Y + Z) vertices.
    """
    F = config.features
    planes = np.zeros((len(config.resolutions), 6), PLANE)
    space_offset = time_offset = 0
    blocks = []
    for level, resolution in enumerate(config.resolutions):
        block_columns = sum(resolution[:3])
        block_start = time_offset
        for plane, name in zip(planes[level], SPACE_PLANES + TIME_PLANES, strict=True):
            column_axis, row_axis = ("xyzt".index(letter) for letter in name)
            columns, rows = resolution[column_axis], resolution[row_axis]
            timed = row_axis == 3
            plane["columns"], plane["rows"], plane["timed"] = columns, rows, timed
            plane["column_axis"], plane["row_axis"] = column_axis, row_axis
            plane["row_step"] = (block_columns if timed else columns) * F
            plane["offset"] = time_offset if timed else space_offset
            if timed:
                time_offset += columns * F
            else:
                space_offset += columns * rows * F
        blocks.append((resolution[3], block_columns, F))
        time_offset = block_start + resolution[3] * block_columns * F
    planes.setflags(write=False)
    return HexplaneLayout(F, planes, tuple(blocks))
