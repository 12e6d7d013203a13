"""Arrays and values out of foreign pickles: read by shells that hold what is stored and do nothing."""

from __future__ import annotations

import io
import pickle  # noqa: TID251  (the one place)
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.array_files import read_header
from a4d.io.files import read_bytes
from a4d.io.pickle_shells import WrittenArrayShell, array_of, class_named, value_of

LARGEST = 1 << 32
"""Bytes that a compressed file may unfold to: hours of a person's surface."""


def read_pickled_arrays(
    path: Path, names: Sequence[str], what: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read arrays of a pickled dictionary, dense and copied, without running anything of it.

    Only classes in which body models were stored are known, each by its full name: numpy's arrays, sparse matrices of
    scipy, and the arrays of chumpy. None of them is that library's own here, and neither need be installed.

    Args:
        path: the pickle, of Python 2 or 3.
        names: of the arrays that it must hold.
        what: they are, for messages.
        optional: names of arrays that are taken too where it holds them.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, asks for anything else, or lacks an array.
    """
    content = read_bytes(path)
    with _complaining(path, what):
        values = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if type(values) is not dict:
            raise InvalidInputError("it is no dictionary")
        missing = [name for name in names if name not in values]
        if missing:
            raise InvalidInputError(f"it has no '{missing[0]}'")
        return {name: array_of(values[name]) for name in (*names, *optional) if name in values}


def read_pickled_values(path: Path, what: str) -> Any:
    """Read a pickle, one of joblib's, or a `.npy` of Python objects, without running anything of it.

    Args:
        path: of any protocol; joblib's may be compressed by zlib or gzip.
        what: it holds, for messages.

    Returns:
        Numbers, texts, bytes, arrays of numbers (tensors too), and dictionaries and lists of such, of any depth.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or asks for a class that is neither numpy's, torch's nor joblib's way to
            store an array.
    """
    content = read_bytes(path)
    with _complaining(path, what):
        return value_of(_JoblibUnpickler(_unfolded_stream(content)).load())


@contextmanager
def _complaining(path: Path, what: str) -> Iterator[None]:
    """Name the file in whatever a damaged or malicious pickle provokes, which is nearly every type there is."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} holds no {what} that can be read: {error.problem}", error.remedy) from None
    except Exception as error:
        raise InvalidInputError(f"{path} is damaged: it is no pickle of arrays that can be read") from error


def _unfolded_stream(content: bytes) -> io.BytesIO:
    """The pickle in a file: uncompressed, and behind the header of a `.npy`.

    Raises:
        InvalidInputError: it unfolds to more than a machine should be asked to hold.
    """
    if content.startswith((b"\x78", b"\x1f\x8b")):
        unfolding = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        content = unfolding.decompress(content, LARGEST)
        if unfolding.unconsumed_tail:
            raise InvalidInputError(f"it unfolds to over {LARGEST} bytes")
    stream = io.BytesIO(content)
    if content.startswith(np.lib.format.MAGIC_PREFIX) and not read_header(stream)[2].hasobject:
        raise InvalidInputError("it holds an array of numbers, without a name for any of them")
    return stream


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """See `class_named`."""
        return class_named(module, name)


class _JoblibUnpickler(pickle._Unpickler):  # noqa: SLF001  (the one in Python, which alone can be told to stop)
    """One that stops at every array whose numbers lie in the midst of the pickle, which that in C cannot.

    Args:
        stream: the whole file, uncompressed.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)  # noqa: SLF001

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin1")
        self._stream = stream

    def find_class(self, module: str, name: str) -> type:
        """See `class_named`."""
        return class_named(module, name)

    def load_build(self) -> None:
        """Give an object its state, and an array its numbers."""
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], WrittenArrayShell):  # type: ignore[attr-defined]
            self.stack[-1] = self.stack[-1].read(self._stream)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build
