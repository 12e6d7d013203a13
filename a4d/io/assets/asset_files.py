"""Which other files a mesh file needs beside it: materials, buffers and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from a4d.errors import A4DError
from a4d.io.assets.named_files import belonging


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
    from a4d.io.ply.tables import read_ply_header

    for name in texture_names(read_ply_header(path)):
        yield belonging(path, name)
