"""What the readers of meshes without nodes and motion share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.polygon_mesh import CornerAttribute, PolygonMesh

ROUGHNESS = 0.9
PLAIN = Material(metallic=0.0, roughness=ROUGHNESS, is_double_sided=True)
"""The look of what names no material."""

BRIGHT = 2.0
"""Floating-point colours may exceed 1 by rounding or by light; above this they count to 255."""


@dataclass(frozen=True)
class MeshFile:
    """The content of a file that shows one mesh.

    Args:
        mesh: in the frame of the file.
        materials: what its polygons refer to.
        left_out: what the file holds beside them, in words.
    """

    mesh: PolygonMesh
    materials: tuple[Material, ...] = (PLAIN,)
    left_out: tuple[str, ...] = ()


def colour_fractions(colours: NDArray, kind: DTypeLike) -> NDArray[np.float64]:
    """Stored colours as values in [0, 1].

    Args:
        colours: of any shape.
        kind: the type that the file declares. Programs write bytes into wider types, too, and floating-point numbers up
            to 255, which the values tell.
    """
    kind, values = np.dtype(kind), np.asarray(colours, np.float64)
    largest = float(values[np.isfinite(values)].max(initial=0.0))
    if kind.kind == "f":
        scale = 1.0 if largest <= BRIGHT else 255.0
    else:
        scale = next((limit for limit in (255.0, 65535.0) if largest <= limit), float(np.iinfo(kind).max))
    return (values / scale).clip(0.0, 1.0)


def opaque(
    colours: NDArray[np.float64],  # (N, 3)
) -> NDArray[np.float64]:
    """(N, 4) the same colours with an alpha of 1."""
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def per_vertex(values: NDArray[np.float64] | None, corners: NDArray[np.int64]) -> CornerAttribute | None:
    """The attribute of polygons whose corners take it from their vertices."""
    return None if values is None else CornerAttribute(values, corners)


def per_face(values: NDArray[np.float64] | None, counts: NDArray[np.int64]) -> CornerAttribute | None:
    """The attribute of polygons all of whose corners have the same."""
    return None if values is None else CornerAttribute(values, np.repeat(np.arange(len(counts)), counts))


def require_corners(
    path: Path,
    corners: NDArray,  # (C,) indices from 0
    count: int,  # of the vertices
) -> NDArray[np.int64]:
    """Indices as int64, each of which names a vertex.

    Raises:
        InvalidInputError: one does not.
    """
    indices = corners.astype(np.int64)
    wrong = corners[(indices != corners) | (indices < 0) | (indices >= count)]
    if len(wrong):
        problem = f"{path} has a face that names vertex {wrong[0]:.15g}, of {count} numbered from 0"
        raise InvalidInputError(problem, "Copy the file again, or export it anew")
    return indices


def many(count: int, singular: str, plural: str = "") -> str:
    """A number of things in words."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
