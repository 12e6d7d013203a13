"""Arrays, `.npy`, and archives of them, `.npz`, without objects: nothing in them is believed unchecked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.files import atomic_path, require_file


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name, uncompressed, all or none.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(
    path: Path, names: Sequence[str], what: str, optional: Sequence[str] = (), largest: int = 0
) -> dict[str, NDArray[Any]]:
    """Read the arrays of these names.

    Args:
        path: the archive.
        names: of the arrays that it must hold.
        what: they are, for messages.
        optional: names of arrays that are taken too where it holds them.
        largest: bytes that a compressed array may unfold to; with 0 none may be compressed.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, holds Python objects, or lacks an array.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in optional if f"{name}.npy" in archive.namelist()]
            return {name: _read_array(archive, name, largest) for name in (*names, *found)}
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} holds no {what} that can be read: {error.problem}") from None
    except Exception as error:  # a damaged archive provokes nearly every type there is
        raise InvalidInputError(f"{path} is damaged: it is no archive of arrays that can be read") from error


def _read_array(archive: zipfile.ZipFile, name: str, largest: int) -> NDArray[Any]:
    """One array of an `.npz`, which unfolds to so many bytes if it is compressed.

    Raises:
        InvalidInputError: it is missing, compressed too much, of Python objects or without the numbers it promises.
    """
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise InvalidInputError(f"it has no '{name}'") from None
    if member.compress_type != zipfile.ZIP_STORED and member.file_size > largest:
        size = f" and unfolds to over {largest} bytes" if largest else ""
        raise InvalidInputError(f"'{name}' is compressed{size}")
    with archive.open(member) as stream:
        return _parse(stream, f"'{name}'")


def read_array(path: Path) -> NDArray[Any]:
    """Read the array of a `.npy` file.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or holds Python objects.
    """
    require_file(path)
    try:
        with path.open("rb") as stream:
            return _parse(stream, "its array")
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.problem}") from None
    except Exception as error:  # as above
        raise InvalidInputError(f"{path} is damaged: it is no array that can be read") from error


def _parse(stream: IO[bytes], what: str) -> NDArray[Any]:
    """The array of a `.npy` stream, of which no more is taken than there is.

    Raises:
        InvalidInputError: it is of Python objects or without the numbers it promises.
    """
    shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject or dtype.names:
        raise InvalidInputError(f"{what} holds Python objects")
    content = stream.read()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise InvalidInputError(f"{what} of shape {shape!s:.60} has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C").copy()


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order by columns and type of the array in a `.npy` stream, which is left where its numbers begin."""
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an archive; none of a file that is no archive.

    Raises:
        MissingInputError: there is no such file.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except Exception:  # as above; the reader of its arrays says what is wrong
        return []
