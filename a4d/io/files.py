"""Files that appear whole or not at all, and what is wrong with those that cannot be read."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from a4d.errors import InvalidInputError, MissingInputError, WorkspaceError

_terminal = threading.Lock()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Offer a temporary sibling to write to, and rename it to `path` when the block ends well.

    Raises:
        WorkspaceError: the folder is missing or read-only, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise WorkspaceError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def require_file(path: Path) -> None:
    """Check that there is a file with something in it.

    Raises:
        MissingInputError: nothing is there.
        InvalidInputError: it is a folder, a device, empty, or not readable for this user.
    """
    try:
        if not path.exists():
            raise MissingInputError(f"{path} does not exist")
        if not path.is_file():
            raise InvalidInputError(f"{path} is a folder, not a file" if path.is_dir() else f"{path} is not a file")
        if path.stat().st_size == 0:
            raise InvalidInputError(f"{path} is empty")
        if not os.access(path, os.R_OK):
            raise InvalidInputError(f"{path} may not be read by this user")
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path}: {error}") from None


@contextmanager
def muted_terminal() -> Iterator[None]:
    """Discard what C libraries write to standard error while the block runs; one thread at a time."""
    with _terminal:
        terminal = os.dup(2)
        try:
            with open(os.devnull, "wb") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which `frame9` comes before `frame10`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
