"""Which paths that stand in a file may be followed: those below the folder that the file speaks of, and no others.

Every reader and writer of a path that somebody else may have written asks here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from a4d.errors import OutsideError
from a4d.io.complaints import quoted

LONGEST_NAME = 255
"""Bytes, of all file systems in common use."""


def require_inner(name: str) -> str:
    """A relative path that stays below its folder as far as its text tells, on every system.

    Args:
        name: with `/`; nothing of that name needs to exist.

    Raises:
        ValueError: it is empty, absolute, of a drive, goes up by `..`, or has a name of over 255 bytes.
    """
    if not name or "\0" in name:
        raise ValueError("a path is empty or holds a zero byte")
    readings = (PurePosixPath(name), PureWindowsPath(name))
    if any(path.anchor or path.drive or ".." in path.parts for path in readings):
        raise ValueError(f"{name!r} leads out of its folder")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in readings[0].parts):
        raise ValueError(f"{quoted(name)}... is longer than file names are")
    return name


def contained(folder: Path, name: str) -> Path:
    """Where a path that stands in a file leads: below a folder.

    Args:
        folder: that the path is relative to.
        name: with `/`; nothing of that name needs to exist.

    Returns:
        `folder / name`, links unresolved.

    Raises:
        OutsideError: the path leads out of the folder, by its text or by a link.
    """
    try:
        path = folder / require_inner(name)
    except ValueError as error:
        raise OutsideError(f"{folder}: {error}", "Only what lies below that folder is read") from None
    if not stays_inside(folder, path):
        raise OutsideError(
            f"{path} is a link that leads out of {folder}", "Put a copy of what it points to in its place"
        )
    return path


def require_inside(folder: Path, paths: Iterable[Path]) -> None:
    """Check that those of some paths below a folder which are links lead to something in it.

    Raises:
        OutsideError: one leads out of the folder.
    """
    for path in paths:
        if path.is_symlink():
            contained(folder, path.relative_to(folder).as_posix())


def stays_inside(folder: Path, path: Path) -> bool:
    """Whether no link on the way to a path below a folder leads out of the folder.

    A store of contents by their hashes that the folder belongs to, as the Hugging Face hub's cache and DVC have one,
    counts as inside: whoever can name a file in it knows what the file holds.
    """
    try:
        root, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return False
    return target.is_relative_to(root) or any(target.is_relative_to(store) for store in _stores(root))


def _stores(root: Path) -> Iterator[Path]:
    """The content stores around a folder, none of which is reached by a link."""
    for folder in (root, *root.parents):
        candidates = [folder / ".dvc" / "cache"]
        if folder.parent.name == "snapshots":
            candidates.append(folder.parents[1] / "blobs")
        yield from (store for store in candidates if store.is_dir() and store.resolve() == store)


def links_and_devices(folder: Path, depth: int = 100) -> Iterator[Path]:
    """Everything below a folder that is neither a file nor a folder itself, in sorted order; no link is followed.

    Folders that vanish meanwhile are left out.

    Args:
        folder: that is searched.
        depth: of nested folders; one that lies deeper counts as no folder.

    Raises:
        OSError: a folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if depth and entry.is_dir(follow_symlinks=False):
            yield from links_and_devices(Path(entry.path), depth - 1)
        elif not entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
