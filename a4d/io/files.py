"""Reading inputs with errors a person can act on, and writing outputs that are whole or absent."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from a4d.documents import parse_json
from a4d.errors import InvalidInputError, MissingInputError, WorkspaceError

LFS_POINTER = b"version https://git-lfs.github.com/"
"""What a file begins with in whose place Git keeps the address of its content."""

_terminal = threading.Lock()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling with the same suffix, renamed to `path` when the block ends well and removed otherwise.

    Raises:
        WorkspaceError: the folder cannot be written or the disk is full; what stood at `path` before still stands.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105  (unlike Path.rename it replaces on every system)
    except OSError as error:
        raise WorkspaceError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # A failing removal must not hide the error that made it necessary.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, *parts: bytes) -> None:
    """Write a whole file or nothing.

    Raises:
        WorkspaceError: it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file, or nothing; line ends stay as they are in `text`.

    Raises:
        WorkspaceError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is a folder, may not be read, or is a pointer of Git LFS.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingInputError(f"{path} does not exist") from error
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from error
    _refuse_pointer(path, content)
    return content


def _refuse_pointer(path: Path, beginning: bytes) -> None:
    if beginning.startswith(LFS_POINTER):
        raise InvalidInputError(f"{path} is a pointer of Git LFS and not the file itself", "Run `git lfs pull`")


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        result = hashlib.sha256()
        while block := file.read(1 << 20):
            result.update(block)
    return result.hexdigest()


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, without a byte-order mark.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it may not be read or is no text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not a text file") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no JSON as `a4d.documents` takes it, or its top level is not an object.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} holds no JSON object at its top level")
    return content


def require_file(path: Path) -> None:
    """Check that there is a file with something in it.

    Raises:
        MissingInputError: nothing is there.
        InvalidInputError: it is a folder, a device, empty, a pointer of Git LFS, or not readable for this user.
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
        with path.open("rb") as file:
            _refuse_pointer(path, file.read(len(LFS_POINTER)))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path}: {error}") from None


@contextmanager
def muted_terminal() -> Iterator[IO[bytes]]:
    """Keep what C libraries write to standard error off the terminal while the block runs; one thread at a time.

    Yields:
        The file that their words go to.
    """
    with _terminal, tempfile.TemporaryFile() as words:
        terminal = os.dup(2)
        try:
            os.dup2(words.fileno(), 2)
            yield words
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which `frame9` comes before `frame10`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
