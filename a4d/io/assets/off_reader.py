"""Reading meshes in the Object File Format of Geomview."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.assets.polygon_mesh import PolygonMesh
from a4d.io.assets.mesh_file import MeshFile, colour_fractions, opaque, per_face, per_vertex, require_corners
from a4d.io.files import read_bytes
from a4d.io.number_text import NumberRows, no_numbers, number_rows

HEADER = re.compile(rb"(ST)?(C)?(N)?(4)?(n)?OFF(\s+BINARY)?(?=\s)")


def read_off(path: Path) -> MeshFile:
    """The polygons of an ASCII file, with the colours, normals and texture coordinates that its header announces.

    Colours behind the coordinates of plain vertices, and behind the corners of faces, are read as well.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is binary, of four dimensions, damaged, or holds less than it promises.
    """
    content = read_bytes(path).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip()
    header = HEADER.match(content)
    if header is None:
        raise InvalidInputError(f"{path} is not an OFF file", "Export it again")
    has_uvs, _, has_normals, is_4d, is_nd, is_binary = (group is not None for group in header.groups())
    if is_4d or is_nd or is_binary:
        raise InvalidInputError(f"{path} is an OFF file of a kind that is not read", "Export it as plain ASCII OFF")
    lines = [line.partition(b"#")[0].strip() for line in content[header.end() :].split(b"\n")]
    lines = [line for line in lines if line]
    promised = lines[0].split() if lines else []
    if len(promised) < 2 or not all(word.isdigit() and len(word) < 16 for word in promised[:2]):
        raise no_numbers(path, "count of vertices and faces", lines[0] if lines else b"")
    count, face_count = (int(word) for word in promised[:2])
    if len(lines) - 1 < count + face_count:
        found = max(len(lines) - 1 - count, 0)
        raise InvalidInputError(
            f"{path} is truncated: it promises {count} vertices and {face_count} faces, the file holds "
            f"{min(len(lines) - 1, count)} and {found}",
            "Copy or download it again",
        )
    if not face_count:
        raise InvalidInputError(f"{path} holds {count} vertices and no faces", "Points alone make no surface")
    vertices = number_rows(path, "vertex", b"\n".join(lines[1 : count + 1]))
    faces = number_rows(path, "face", b"\n".join(lines[count + 1 : count + 1 + face_count]))
    return MeshFile(_mesh(path, vertices, faces, has_normals, has_uvs))


def _mesh(path: Path, vertices: NumberRows, faces: NumberRows, has_normals: bool, has_uvs: bool) -> PolygonMesh:
    if vertices.counts.min(initial=3) < 3:
        raise InvalidInputError(f"{path} has a vertex with fewer than three coordinates", "Export it again")
    stated = faces.column(0)
    if not ((stated >= 0) & (stated < faces.counts)).all():
        wrong = int((~((stated >= 0) & (stated < faces.counts))).argmax())
        problem = f"{path} has a face of {stated[wrong]:g} corners that names {faces.counts[wrong] - 1}"
        raise InvalidInputError(problem, "Copy it again, or export it anew")
    counts = stated.astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    named = faces.values[np.repeat(faces.first + 1, counts) + within]
    corners = require_corners(path, named, len(vertices.counts))
    after_normals = 6 if has_normals else 3
    width = int(vertices.counts.min())
    uvs = vertices.columns(width - 2, width) * (1, -1) + (0, 1) if has_uvs and width >= after_normals + 2 else None
    colours = _colours(vertices, np.full(len(vertices.counts), after_normals), 2 if has_uvs else 0)
    by_face = _colours(faces, counts + 1, 0) if colours is None else None
    return PolygonMesh(
        vertices.columns(0, 3),
        corners,
        counts,
        np.zeros(len(counts), np.int64),
        per_vertex(vertices.columns(3, 6) if has_normals and width >= 6 else None, corners),
        per_vertex(uvs, corners),
        per_vertex(colours, corners) or per_face(by_face, counts),
    )


def _colours(rows: NumberRows, start: NDArray[np.int64], behind: int) -> NDArray[np.float64] | None:
    """(N, 4) of the three numbers from a place of each row on, white where a row has none; None where none has any."""
    has_colour = rows.counts - start - behind >= 3
    if not has_colour.any():
        return None
    places = (rows.first + start)[has_colour, None] + np.arange(3)
    found = rows.values[places]
    # Whole numbers count to 255, fractions to 1; a file of the first that is all black and almost black is unheard of.
    scale = np.uint8 if found.max(initial=0.0) > 1 else np.float64
    colours = np.ones((len(rows.counts), 3))
    colours[has_colour] = colour_fractions(found, scale)
    return opaque(colours)
