"""Reading triangles from stereolithography files, in text or binary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a4d.errors import InvalidInputError
from a4d.geometry.assets.polygon_mesh import PolygonMesh
from a4d.geometry.mesh import same_places
from a4d.io.assets.mesh_file import MeshFile, many
from a4d.io.files import read_bytes
from a4d.io.number_text import number_rows

HEADER = 80
"""Bytes of free text before a binary file's count."""
BEGINNING = 4096
"""Bytes in which a text begins its first triangle, or ends."""
FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> MeshFile:
    """The triangles of a file; corners at the same place become one vertex, normals are those of the faces.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, holds less than it promises, or has no triangles.
    """
    content = read_bytes(path)
    count = int.from_bytes(content[HEADER : HEADER + 4], "little")
    is_exact = len(content) == HEADER + 4 + count * FACET.itemsize
    # Binary files may begin with "solid" as well.
    beginning = content[:BEGINNING].lower()
    is_text = (
        beginning.lstrip().startswith(b"solid") and not is_exact and (b"facet" in beginning or b"end" in beginning)
    )
    corners, left_out = _of_text(path, content) if is_text else _of_binary(path, content, count)
    if not len(corners):
        raise InvalidInputError(f"{path} holds no triangles", "Export it again")
    points = corners.reshape(-1, 3).astype(np.float32)
    first, index = same_places(points)
    faces = len(corners)
    mesh = PolygonMesh(points[first].astype(np.float64), index, np.full(faces, 3), np.zeros(faces, np.int64))
    return MeshFile(mesh, left_out=left_out)


def _of_binary(path: Path, content: bytes, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(content) < HEADER + 4:
        raise InvalidInputError(f"{path} is not an STL file, or is truncated inside its header", "Copy it again")
    found = (len(content) - HEADER - 4) // FACET.itemsize
    if found < count:
        problem = f"{path} is truncated: it promises {count} triangles, the file holds {found}"
        raise InvalidInputError(problem, "Copy or download it again")
    facets = np.frombuffer(content, FACET, count, HEADER + 4)
    coloured = int(np.count_nonzero(facets["attribute"]))
    left_out = (many(coloured, "attribute of a triangle", "attributes of triangles"),) if coloured else ()
    return facets["corners"].astype(np.float64), left_out


def _of_text(path: Path, content: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    words = [line.strip() for line in content.lower().replace(b"\r", b"\n").split(b"\n")]
    vertices = [line[6:] for line in words if line.startswith(b"vertex")]
    facets = sum(line.startswith(b"facet") for line in words)
    if len(vertices) != 3 * facets:
        whole = min(len(vertices) // 3, sum(line.startswith(b"endfacet") for line in words))
        problem = f"{path} is truncated or damaged: it begins {facets} triangles and holds {whole} whole ones"
        raise InvalidInputError(problem, "Copy or download it again")
    rows = number_rows(path, "vertex", b"\n".join(vertices))
    if (rows.counts != 3).any():
        raise InvalidInputError(f"{path} has a vertex without three coordinates", "Export it again")
    return rows.values.reshape(-1, 3, 3), ()
