"""Which other files a mesh file needs beside it: materials, buffers and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from a4d.errors import A4DError
from a4d.io.containment import stays_inside

SEPARATORS = re.compile(r"[/\\]+")
DRIVE = re.compile(r"[A-Za-z]:")
MOST_PARTS = 64
"""Of a name; each may mean a look through a folder."""


def asset_files(path: Path) -> list[Path]:
    """A mesh file and all that exists of what it refers to in its own folder and below; nothing outside is followed.

    A file that is damaged refers to nothing.

    Args:
        path: of any format.
    """
    finders = {".obj": _of_obj, ".gltf": _of_gltf, ".glb": _of_gltf, ".ply": _of_ply}
    find = finders.get(path.suffix.lower())
    found = dict[Path, None]()
    try:
        for file in find(path) if find else ():
            if file is not None and file.resolve() != path.resolve():
                found[file] = None
    except (A4DError, OSError):
        return [path]
    return [path, *found]


def belonging(path: Path, name: str, folder: Path | None = None) -> Path | None:
    r"""The file that a mesh file means by a name.

    Exporters write the separators of their system, the letters of a disk that knows no case, or the place on the disk
    of somebody else: of the parts of such a name the most that lead to a file are taken.

    Args:
        path: of the mesh file.
        name: relative or not, with `/` or `\`.
        folder: where the name stands, below that of the mesh file; it is looked in first.

    Returns:
        An existing file in the mesh file's folder or below, of which no link leads out; or None.
    """
    parts = [part for part in SEPARATORS.split(name.strip().strip("\"'")) if part and not DRIVE.fullmatch(part)]
    root = path.parent
    for start in range(len(parts) if len(parts) <= MOST_PARTS else 0):
        for base in dict.fromkeys([folder or root, root]):
            file = _followed(base, parts[start:])
            if file is not None and stays_inside(root, file):
                return file
    return None


def _followed(folder: Path, parts: list[str]) -> Path | None:
    """The file below a folder, where a part that is not there may be written in other letters if only one thing is."""
    place = folder
    for part in parts:
        if part == "..":
            return None
        try:
            if not (place / part).exists():
                alike = [entry for entry in place.iterdir() if entry.name.casefold() == part.casefold()]
                if len(alike) != 1:
                    return None
                part = alike[0].name
        except (OSError, ValueError):
            return None
        place = place if part == "." else place / part
    return place if place.is_file() else None


def _of_obj(path: Path) -> Iterator[Path | None]:
    from a4d.io.assets.mtl_reader import map_statements, parse_library
    from a4d.io.assets.obj_reader import material_libraries

    for library in material_libraries(path):
        yield library
        for statements in parse_library(library).values() if library is not None else ():
            for statement in map_statements(statements).values():
                yield belonging(path, statement.name, library.parent)


def _of_gltf(path: Path) -> Iterator[Path | None]:
    from a4d.io.assets.gltf.container import read_container

    gltf = read_container(path).gltf
    for uri in (*(buffer.uri for buffer in gltf.buffers), *(image.uri for image in gltf.images)):
        if uri is not None and uri[:5].lower() != "data:":
            yield belonging(path, unquote(uri))


def _of_ply(path: Path) -> Iterator[Path | None]:
    from a4d.io.assets.ply_mesh import texture_names
    from a4d.io.assets.ply_table import read_ply_header

    for name in texture_names(read_ply_header(path)):
        yield belonging(path, name)
