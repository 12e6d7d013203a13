"""Triangle meshes and point clouds in PLY files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.arrays import mesh_arrays, require_finite
from a4d.io.assets.ply_mesh import vertex_colours
from a4d.io.ply.tables import read_ply_table, write_ply_tables

if TYPE_CHECKING:
    from a4d.geometry.mesh import Mesh


@dataclass(frozen=True)
class PointCloud:
    """Points with optional colours.

    Args:
        positions: (P, 3) float64, in the frame of the file.
        colours: (P, 3) float32 sRGB in [0, 1], or None.
    """

    positions: NDArray[np.float64]
    colours: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.positions)


def read_point_cloud(path: Path) -> PointCloud:
    """The vertices of a PLY file, whatever else it holds.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, has no points, or no positions.
    """
    table = read_ply_table(path, "vertex")
    missing = [name for name in "xyz" if name not in table.columns]
    if missing or not table.element.count:
        raise InvalidInputError(f"{path} holds no points")
    with np.errstate(invalid="ignore"):  # a signalling NaN is refused below
        positions = np.stack([table.columns[name] for name in "xyz"], axis=1).astype(np.float64)
    require_finite(path, "position", positions)
    colours = vertex_colours(table)
    if colours is None:
        return PointCloud(positions)
    require_finite(path, "colour", colours)
    return PointCloud(positions, colours[:, :3].astype(np.float32))


def write_point_cloud(path: Path, cloud: PointCloud) -> None:
    """Write points, with uchar colours where there are any.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    fields = [(name, "f4") for name in "xyz"]
    if cloud.colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    table = np.empty(len(cloud), fields)
    for axis, name in enumerate("xyz"):
        table[name] = cloud.positions[:, axis]
    if cloud.colours is not None:
        _fill_colours(table, cloud.colours)
    write_ply_tables(path, {"vertex": table})


def write_ply_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh with normals, and uchar colours where there are any.

    Raises:
        InvalidInputError: the mesh is empty or not finite.
        WorkspaceError: the file cannot be written.
    """
    arrays = mesh_arrays(path, mesh)
    fields = [(name, "f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if arrays.colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(arrays.vertices), fields)
    for axis, name in enumerate("xyz"):
        vertices[name] = arrays.vertices[:, axis]
        vertices["n" + name] = arrays.normals[:, axis]
    if arrays.colours is not None:
        _fill_colours(vertices, arrays.colours)
    faces = np.empty(len(arrays.faces), [("vertex_indices", "i4", (3,))])
    faces["vertex_indices"] = arrays.faces
    write_ply_tables(path, {"vertex": vertices, "face": faces})


def _fill_colours(table: NDArray, colours: NDArray[np.float32]) -> None:
    for channel, name in enumerate(("red", "green", "blue")):
        table[name] = np.rint(colours[:, channel] * 255)
