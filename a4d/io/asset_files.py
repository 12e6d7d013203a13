"""Which other files a mesh file needs beside it: materials, buffers and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote

from a4d.errors import A4DError
from a4d.io.containment import contained

LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+([^\r\n]+)", re.MULTILINE)
PICTURE = re.compile(rb"^[ \t]*(?:map_\w+|bump|norm|disp|decal|refl)[ \t]+([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
TEXTURE_COMMENT = re.compile(rb"^comment TextureFile[ \t]+([^\r\n]+)", re.MULTILINE)
PLY_HEADER = 65536
"""Bytes; no header of sense is longer."""


def asset_files(path: Path) -> list[Path]:
    """A mesh file and all that exists of what it refers to in its own folder and below; nothing outside is followed.

    A file that is damaged refers to nothing.

    Args:
        path: of any format.
    """
    finders = {".obj": _of_obj, ".gltf": _of_gltf, ".glb": _of_gltf, ".ply": _of_ply}
    find = finders.get(path.suffix.lower())
    try:
        named = list(find(path)) if find else []
    except (A4DError, OSError):
        named = []
    return [path, *_inside(path.parent, named, path)]


def _inside(folder: Path, names: Iterable[str], path: Path) -> list[Path]:
    """Existing files below a folder, each once."""
    found = dict[Path, None]()
    for name in names:
        with suppress(A4DError, OSError):
            target = contained(folder, normpath(name.replace("\\", "/")))
            if target.is_file() and target != path:
                found[target] = None
    return list(found)


def _of_obj(path: Path) -> Iterator[str]:
    for match in LIBRARY.finditer(path.read_bytes()):
        library = _text(match[1])
        yield library
        # Exporters that name several libraries on a line are rarer than names with spaces.
        for file in _inside(path.parent, [library], path):
            for picture in PICTURE.finditer(file.read_bytes()):
                yield from _candidates(_text(picture[1]))


def _candidates(value: str) -> Iterator[str]:
    """The name that a map's line gives: all of it, or what follows its options."""
    yield value
    words = value.split()
    yield from (" ".join(words[start:]) for start in range(1, len(words)))


def _of_gltf(path: Path) -> Iterator[str]:
    from a4d.io.gltf.container import read_container

    gltf = read_container(path).gltf
    for uri in (*(buffer.uri for buffer in gltf.buffers), *(image.uri for image in gltf.images)):
        if uri is not None and uri[:5].lower() != "data:":
            yield unquote(uri)


def _of_ply(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        header = file.read(PLY_HEADER).partition(b"end_header")[0]
    yield from (_text(match[1]) for match in TEXTURE_COMMENT.finditer(header))


def _text(value: bytes) -> str:
    return value.strip().decode("utf-8", errors="replace")
