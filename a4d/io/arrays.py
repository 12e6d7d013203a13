"""The numpy side of tensors that go to a file, checked once for all writers and readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike, NDArray

from a4d.errors import InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor

    from a4d.geometry.mesh import Mesh


def numpy_from_tensor(
    tensor: Tensor,  # any shape, on any device
    dtype: DTypeLike = np.float32,
) -> NDArray:
    """A contiguous copy on the host, without gradient history."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=dtype)


def require_finite(
    path: Path,
    what: str,
    values: NDArray,  # any shape
) -> None:
    """Refuse NaN and infinity.

    Raises:
        InvalidInputError: names the file, what is wrong in it, and how often.
    """
    damaged = int(np.count_nonzero(~np.isfinite(values)))
    if damaged:
        raise InvalidInputError(f"{path} holds {damaged} {what} values that are not finite numbers")


@dataclass(frozen=True)
class MeshArrays:
    """A mesh ready to be written.

    Args:
        vertices: (V, 3) float32 world, metres.
        faces: (F, 3) uint32.
        normals: (V, 3) float32 of unit length everywhere.
        colours: (V, 3) float32 sRGB in [0, 1], or None.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    normals: NDArray[np.float32]
    colours: NDArray[np.float32] | None


def mesh_arrays(path: Path, mesh: Mesh) -> MeshArrays:
    """The arrays of a mesh about to be written to `path`.

    Raises:
        InvalidInputError: the mesh has no faces or a vertex that is not finite.
    """
    if not len(mesh.faces):
        raise InvalidInputError(f"cannot write {path}: the mesh has no faces")
    vertices = numpy_from_tensor(mesh.vertices)
    require_finite(path, "vertex", vertices)
    normals = numpy_from_tensor(mesh.vertex_normals)
    # A vertex without a face of positive area has no normal; formats demand one of unit length all the same.
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 1.0, 0.0)
    colours = None if mesh.colours is None else numpy_from_tensor(mesh.colours).clip(0.0, 1.0)
    return MeshArrays(vertices, numpy_from_tensor(mesh.faces, np.uint32), normals, colours)
