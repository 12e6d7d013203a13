"""The files that a mesh file means by the names it gives."""

from __future__ import annotations

import re
from pathlib import Path

from a4d.io.containment import stays_inside

SEPARATORS = re.compile(r"[/\\]+")
DRIVE = re.compile(r"[A-Za-z]:")
MOST_PARTS = 64
"""Of a name; each may mean a look through a folder."""


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
