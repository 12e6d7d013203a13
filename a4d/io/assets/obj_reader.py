"""Reading Wavefront OBJ meshes in the dialects of the programs that write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.assets.left_out import quoted
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.polygon_mesh import CornerAttribute, PolygonMesh
from a4d.io.assets.mesh_file import PLAIN, MeshFile, colour_fractions, many, opaque, per_vertex
from a4d.io.assets.mtl_reader import MaterialReader, parse_library, plain_text
from a4d.io.assets.named_files import belonging
from a4d.io.assets.texture_files import TextureFiles
from a4d.io.files import read_bytes
from a4d.io.number_text import (
    NumberRows,
    leading_indices,
    no_numbers,
    number_rows,
    without_comments,
    word_counts,
)

CONTINUED = re.compile(rb"\\ *\n")
INDENTED = re.compile(rb"\n +")
IGNORED = frozenset(
    {b"", b"g", b"o", b"s", b"vp", b"deg", b"bmat", b"step", b"cstype", b"parm", b"trim", b"hole", b"scrv", b"sp",
     b"end", b"con", b"mg", b"bevel", b"c_interp", b"d_interp", b"lod", b"maplib", b"usemap", b"shadow_obj",
     b"trace_obj", b"ctech", b"stech"}
)  # fmt: skip
"""Statements that add nothing to a mesh by themselves."""
LEFT_OUT = {
    b"l": ("line", "lines"),
    b"p": ("point element", "point elements"),
    b"curv": ("free-form curve", "free-form curves"),
    b"curv2": ("free-form curve", "free-form curves"),
    b"surf": ("free-form surface", "free-form surfaces"),
}
BLOCKS = (b"f ", b"v ", b"vt", b"vn")
"""How the lines begin that fill files: faces, vertices, texture coordinates and normals."""
POLYPAINT = b"#MRGB"
"""The comment in which ZBrush keeps colours, eight hexadecimal digits for each vertex: mask, red, green, blue."""


@dataclass
class _Rows:
    """The lines of one kind, without their first word, in blocks as they stand together."""

    blocks: list[bytes] = field(default_factory=list)
    count: int = 0

    @property
    def text(self) -> bytes:
        """All of them, one a line."""
        return b"\n".join(self.blocks)


@dataclass
class _Statements:
    """The lines of a file by what they say."""

    rows: dict[bytes, _Rows] = field(default_factory=lambda: {keyword: _Rows() for keyword in BLOCKS})
    seen: list[tuple[int, int, int, int]] = field(default_factory=list)
    """At the first face of each block: its number, and those of vertices, texture coordinates and normals before it."""
    materials: list[tuple[int, str]] = field(default_factory=list)
    """The first face of each run of one material, and its name."""
    libraries: list[str] = field(default_factory=list)
    polypaint: list[bytes] = field(default_factory=list)
    others: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def of(cls, content: bytes) -> _Statements:
        """Sort the lines of a file, many that begin alike at a time."""
        found, text = cls(), _normalised(content)
        characters = np.frombuffer(text + b"\n\n", np.uint8)
        starts = np.concatenate([[0], np.flatnonzero(characters[:-1] == ord("\n")) + 1])
        # Two characters tell all kinds that fill files; the last start is behind the end.
        kinds = characters[starts[:-1]].astype(np.uint16) << 8 | characters[starts[:-1] + 1]
        edges = np.flatnonzero(np.diff(kinds)) + 1
        for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(kinds)], strict=True):
            found._take(text[starts[first] : starts[last] - 1], last - first)
        return found

    def _take(self, block: bytes, count: int) -> None:
        """Sort lines that all begin with the same two characters."""
        keyword = block[:2]
        if keyword not in BLOCKS:
            for line in block.split(b"\n"):
                self._take_line(line)
            return
        if keyword == b"f ":
            numbers = (self.rows[other].count for other in BLOCKS)
            self.seen.append(tuple(numbers))  # type: ignore[arg-type]
        rows = self.rows[keyword]
        rows.blocks.append(block.replace(b"\n" + keyword, b"\n")[2:])
        rows.count += count

    def _take_line(self, line: bytes) -> None:
        keyword, _, rest = line.partition(b" ")
        if keyword == b"usemtl":
            self.materials.append((self.rows[b"f "].count, plain_text(rest).strip()))
        elif keyword == b"mtllib":
            self.libraries.append(plain_text(rest).strip())
        elif keyword == POLYPAINT:
            self.polypaint.append(rest)
        elif not keyword.startswith(b"#") and keyword not in IGNORED:
            self.others[keyword] = self.others.get(keyword, 0) + 1


def _normalised(content: bytes) -> bytes:
    """The same statements one a line, each with single line feeds, spaces for tabs and no indentation."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", errors="replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\t", b" ")
    content = CONTINUED.sub(b" ", content) if b"\\" in content else content
    return INDENTED.sub(b"\n", content).lstrip().replace(b"\nfo ", b"\nf ")


def read_obj(path: Path) -> MeshFile:
    """The polygons of an OBJ file, with the materials of its libraries.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, has no faces, or a face names a vertex that does not exist.
    """
    statements = _Statements.of(read_bytes(path))
    faces, vertices, uvs, normals = (statements.rows[keyword] for keyword in BLOCKS)
    if not faces.count:
        what = many(vertices.count, "vertex", "vertices")
        raise InvalidInputError(f"{path} holds {what} and no faces", "Points and lines alone make no surface")
    rows = number_rows(path, "vertex", vertices.text)
    if (rows.counts < 3).any():
        line = vertices.text.split(b"\n")[int((rows.counts < 3).argmax())]
        raise no_numbers(path, "vertex of three coordinates", line)
    corners = _Corners.of(path, statements)
    left_out = list(_left_out(statements, corners))
    materials, chosen = _materials(path, statements, left_out)
    uv_rows, normal_rows = number_rows(path, "texture coordinate", uvs.text), number_rows(path, "normal", normals.text)
    mesh = PolygonMesh(
        rows.columns(0, 3),
        corners.vertices,
        corners.counts,
        chosen,
        _attribute(normal_rows.columns(0, 3, missing=0.0), corners.normals),
        _attribute(uv_rows.columns(0, 2, missing=0.0) * (1, -1) + (0, 1), corners.uvs),
        per_vertex(_colours(rows, statements), corners.vertices),
    )
    return MeshFile(mesh, materials, tuple(left_out))


def _attribute(values: NDArray[np.float64], index: NDArray[np.int64]) -> CornerAttribute | None:
    return CornerAttribute(values, index) if (index >= 0).any() else None


def material_libraries(path: Path) -> Iterator[Path]:
    """The material libraries of an OBJ file that exist in its folder and below.

    Raises:
        InvalidInputError: it cannot be read.
    """
    for value in _Statements.of(read_bytes(path)).libraries:
        yield from (file for file in _libraries(path, value).values() if file is not None)


def _libraries(path: Path, value: str) -> dict[str, Path | None]:
    """The files of one `mtllib` statement: one whose name may have spaces, or several."""
    whole = belonging(path, value)
    if whole is not None:
        return {value: whole}
    names, words = list[str](), list[str]()
    for word in value.split():
        words.append(word)
        if word.lower().strip("\"'").endswith(".mtl"):
            names.append(" ".join(words))
            words = []
    return {name: belonging(path, name) for name in (*names, " ".join(words)) if name}


def _left_out(statements: _Statements, corners: _Corners) -> Iterator[str]:
    others = dict(statements.others)
    for keyword, (singular, plural) in LEFT_OUT.items():
        if keyword in others:
            yield many(others.pop(keyword), singular, plural)
    if others:
        yield many(sum(others.values()), "line of an unknown kind", "lines of unknown kinds")
    small = int((corners.counts < 3).sum())
    if small:
        yield many(small, "face of fewer than three corners", "faces of fewer than three corners")
    if corners.strays:
        yield many(corners.strays, "texture coordinate or normal that", "texture coordinates or normals that") + (
            " a face names and the file lacks"
        )


def _materials(
    path: Path, statements: _Statements, left_out: list[str]
) -> tuple[tuple[Material, ...], NDArray[np.int64]]:
    """The materials that faces name, each of a known name once, and (P,) which of them each face has."""
    known, textures = dict[str, tuple[Path, dict[str, str]]](), TextureFiles(path)
    for value in dict.fromkeys(statements.libraries):
        for name, library in _libraries(path, value).items():
            if library is None:
                left_out.append(f"the material library {quoted(name)}, which is missing")
            else:
                known |= {title: (library, lines) for title, lines in parse_library(library).items()}
    alike = {title.casefold(): title for title in known}
    starts = [(0, ""), *statements.materials]
    used = {name: 0 for (start, name), (end, _) in _runs(starts, statements.rows[b"f "].count) if end > start}
    materials = list[Material]()
    for name in used:
        title = name if name in known else alike.get(name.casefold())
        if not name and len(known) == 1:  # what names no material means the only one
            title = next(iter(known))
        used[name] = len(materials)
        if title is None:
            materials.append(PLAIN)
            if known and name:
                left_out.append(f"the material {quoted(name)}, which no library has")
        else:
            library, lines = known[title]
            materials.append(MaterialReader(library.parent, textures).material(title, lines))
    left_out += textures.left_out
    chosen = np.zeros(statements.rows[b"f "].count, np.int64)
    for (start, name), (end, _) in _runs(starts, statements.rows[b"f "].count):
        chosen[start:end] = used.get(name, 0)
    return tuple(materials), chosen


def _runs(starts: list[tuple[int, str]], count: int) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    return zip(starts, [*starts[1:], (count, "")], strict=True)


def _colours(rows: NumberRows, statements: _Statements) -> NDArray[np.float64] | None:
    """(V, 4) of `v x y z r g b` or of polypaint; None where there are none, or all are white, which says nothing."""
    colours = None
    if (rows.counts >= 6).any():
        stated = rows.columns(3, 6)
        stated[rows.counts < 6] = np.nan
        colours = np.where(np.isnan(stated), 1.0, colour_fractions(stated, np.float64))
    elif statements.polypaint:
        digits = b"".join(statements.polypaint).replace(b" ", b"")
        try:
            painted = np.frombuffer(bytes.fromhex(digits.decode("ascii", errors="replace")), np.uint8)
        except ValueError:
            return None
        if len(painted) == 4 * len(rows.counts):
            colours = painted.reshape(-1, 4)[:, 1:] / 255.0
    return None if colours is None or (colours == 1).all() else opaque(colours)


@dataclass(frozen=True)
class _Corners:
    """Polygons whose corners name a vertex and, or with -1 not, texture coordinates and a normal.

    Args:
        vertices: (C,) int64.
        uvs: (C,) int64.
        normals: (C,) int64.
        counts: (P,) int64 corners of each polygon.
        strays: how many texture coordinates and normals are named that do not exist.
    """

    vertices: NDArray[np.int64]
    uvs: NDArray[np.int64]
    normals: NDArray[np.int64]
    counts: NDArray[np.int64]
    strays: int

    @classmethod
    def of(cls, path: Path, statements: _Statements) -> _Corners:
        """Parse all faces at once.

        Raises:
            InvalidInputError: one is no list of corners, or names a vertex that does not exist.
        """
        lines = statements.rows[b"f "]
        text = without_comments(lines.text) + b"\n"
        # A number in every place that slashes make, 0 for what is left out.
        text = text.replace(b"//", b"/0/").replace(b"/ ", b" ").replace(b"/\n", b"\n")
        starts, counts = word_counts(text)
        counts = counts[: lines.count]
        slashes = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("/"))
        fields = 1 + np.bincount(np.searchsorted(starts, slashes, "right") - 1, minlength=len(starts))
        numbers, is_whole = leading_indices(text.replace(b"/", b" "))
        polygon = np.repeat(np.arange(len(counts)), counts)
        if not is_whole or len(numbers) != fields.sum() or fields.max(initial=1) > 3:
            corner = int(np.searchsorted(np.cumsum(fields), len(numbers), "right"))
            corner = corner if corner < len(polygon) else int(fields.argmax())
            line = lines.text.split(b"\n")[int(polygon[corner])] if len(polygon) else b""
            raise no_numbers(path, "face", line)
        first = np.cumsum(fields) - fields
        totals = [statements.rows[keyword].count for keyword in BLOCKS[1:]]
        seen = np.array(statements.seen, np.int64)
        run = np.searchsorted(seen[:, 0], polygon, "right") - 1
        indices = []
        for place, total in enumerate(totals):
            stated = np.zeros(len(fields))
            stated[fields > place] = numbers[first[fields > place] + place]
            whole = stated.astype(np.int64)
            # From the last of those before the face backwards, or from 1.
            index = np.where(whole < 0, seen[run, place + 1] + whole, whole - 1)
            is_wrong = (whole != stated) | (index < 0) | (index >= total)
            if place == 0 and is_wrong.any():
                named = f"{stated[is_wrong][0]:g}"
                raise InvalidInputError(f"{path} has a face that names vertex {named} of {total}", "Export it again")
            indices.append((np.where(is_wrong, -1, index), int((is_wrong & (whole != 0)).sum())))
        (vertices, _), (uvs, stray_uvs), (normals, stray_normals) = indices
        return cls(vertices, uvs, normals, counts, stray_uvs + stray_normals)
