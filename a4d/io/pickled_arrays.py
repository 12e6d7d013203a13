"""Arrays and values out of foreign pickles: read by shells that hold what is stored and do nothing."""

from __future__ import annotations

import io
import math
import pickle  # noqa: TID251  (the one place)
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.array_files import read_header
from a4d.io.files import read_bytes

NUMBERS = re.compile(r"[fiub]\d{1,2}")
"""Types of arrays that hold numbers, as numpy's pickles name them."""

MOST_ENTRIES = 1 << 28
"""Numbers of the largest array that a sparse one or a selection may become."""

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
        return {name: _array(values[name]) for name in (*names, *optional) if name in values}


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
        return _value(_JoblibUnpickler(_unfolded_stream(content)).load())


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


class _Shell:
    """What stands for an object of a pickle: it keeps what it is given.

    Every name that a pickle may use is a class of this kind, never a function: what a pickle tries to change about a
    class ends in its `__setstate__`, which needs an instance.
    """

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Shell):
    """`numpy.ndarray`: its state is version, shape, type, order and bytes."""


class _DataType(_Shell):
    """`numpy.dtype`: it is made of a name such as `f8`; its state holds the order of bytes."""


class _Sparse(_Shell):
    """A compressed sparse matrix of scipy, by columns."""


class _SparseRows(_Sparse):
    """A compressed sparse matrix of scipy, by rows."""


class _Variable(_Shell):
    """`chumpy.Ch`: an array that could be differentiated."""


class _Selection(_Shell):
    """`chumpy.reordering.Select`: entries of another variable, in a shape of their own."""


class _NewArray(_Shell):
    """`numpy.core.multiarray._reconstruct`."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        """An array that has yet to get its state."""
        return _shell(kind)


class _ArrayOfBuffer(_Shell):
    """`numpy.core.numeric._frombuffer`, by which protocol 5 stores arrays."""

    def __new__(cls, content: Any, kind: Any, shape: Any, order: str) -> Any:
        """An array with its state."""
        array = _shell(_Array)
        array.state = (1, shape, kind, order == "F", content)
        return array


class _NewObject(_Shell):
    """`copyreg._reconstructor`."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        """A shell that has yet to get its state."""
        return _shell(kind)


class _WrittenArray(_Shell):
    """`joblib.numpy_pickle.NumpyArrayWrapper`: an array whose numbers follow it, in the midst of the pickle."""

    def read(self, stream: IO[bytes]) -> NDArray[Any]:
        """Take the numbers from where the pickle has been read to.

        Raises:
            InvalidInputError: it is of Python objects, or the file ends before they do.
        """
        kind = _data_type(self.state["dtype"])
        shape = tuple(int(length) for length in self.state["shape"])
        if self.state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        length = math.prod(shape) * kind.itemsize
        content = stream.read(length) if length >= 0 else b""
        if min(shape, default=0) < 0 or len(content) != length:
            raise InvalidInputError(f"it holds an array of shape {shape!s:.60} and {len(content)} bytes")
        order: Literal["C", "F"] = "F" if self.state.get("order") == "F" else "C"
        return np.frombuffer(content, kind).reshape(shape, order=order).copy()


class _Storage(_Shell):
    """`torch.storage._load_from_bytes`: the numbers of a tensor, as a checkpoint of their own."""


class _Tensor(_Shell):
    """`torch._utils._rebuild_tensor_v2`: some numbers of a storage, by offset, size and stride."""


class _Dictionary(dict[Any, Any]):
    """`collections.defaultdict`, without what makes its defaults."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        """Nothing: as with shells, its being there keeps a pickle from changing the class."""


class _Bytes(_Shell):
    """`_codecs.encode`, by which Python 3 writes bytes for Python 2, and `bytes`, by which it writes none."""

    def __new__(cls, text: str = "", *_: str) -> Any:
        """The bytes themselves."""
        return str.encode(text, "latin1")


def _shell(kind: Any) -> _Shell:
    if not (isinstance(kind, type) and issubclass(kind, _Shell)):
        raise InvalidInputError("it makes an object of something that is no class of arrays")
    return _Shell.__new__(kind)


CLASSES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DataType,
    ("numpy.core.multiarray", "_reconstruct"): _NewArray,
    ("numpy._core.multiarray", "_reconstruct"): _NewArray,
    ("numpy.core.multiarray", "scalar"): _Shell,
    ("numpy._core.multiarray", "scalar"): _Shell,
    ("numpy.core.numeric", "_frombuffer"): _ArrayOfBuffer,
    ("numpy._core.numeric", "_frombuffer"): _ArrayOfBuffer,
    ("copy_reg", "_reconstructor"): _NewObject,
    ("copyreg", "_reconstructor"): _NewObject,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("scipy.sparse.csc", "csc_matrix"): _Sparse,
    ("scipy.sparse._csc", "csc_matrix"): _Sparse,
    ("scipy.sparse.csr", "csr_matrix"): _SparseRows,
    ("scipy.sparse._csr", "csr_matrix"): _SparseRows,
    ("chumpy.ch", "Ch"): _Variable,
    ("chumpy.reordering", "Select"): _Selection,
    ("__builtin__", "object"): _Shell,
    ("builtins", "object"): _Shell,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _Dictionary,
    ("__builtin__", "dict"): _Dictionary,
    ("builtins", "dict"): _Dictionary,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _WrittenArray,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
}
"""All that a pickle may name, and what stands for it."""


def _class_named(module: str, name: str) -> type:
    """The shell of a class by its full name.

    Raises:
        InvalidInputError: it has none.
    """
    found = CLASSES.get((module, name))
    if found is None:
        full = f"{module}.{name}"
        wanted = f"'{full:.60}'" if full.replace(".", "_").isidentifier() else "something without a name"
        problem = f"it asks for {wanted}, and nothing of it was run"
        raise InvalidInputError(problem, "Use the model's file as its authors publish it")
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """See `_class_named`."""
        return _class_named(module, name)


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
        """See `_class_named`."""
        return _class_named(module, name)

    def load_build(self) -> None:
        """Give an object its state, and an array its numbers."""
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], _WrittenArray):  # type: ignore[attr-defined]
            self.stack[-1] = self.stack[-1].read(self._stream)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build


def _value(value: Any) -> Any:
    """What a part of a pickle stands for, with arrays in place of their shells.

    Raises:
        InvalidInputError: it stands for no value.
    """
    if isinstance(value, Mapping):
        return {key: _value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_value(part) for part in value]
    if isinstance(value, _Array) and isinstance(value.state, tuple) and isinstance(value.state[4], list):
        parts = [_value(part) for part in value.state[4]]
        return parts if value.state[1] else parts[0]
    if isinstance(value, _Tensor):
        return _numbers_of_tensor(value)
    if type(value) is _Shell and len(value.arguments) == 2:
        kind, content = value.arguments
        return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, _data_type(kind))[0]
    return _array(value) if isinstance(value, _Shell) else value


def _numbers_of_tensor(value: _Tensor) -> NDArray[Any]:
    """The numbers of a tensor.

    Raises:
        InvalidInputError: it speaks of numbers that it does not store, or repeats some.
    """
    from a4d.io.checkpoints import read_storage

    storage, offset, size, stride = value.arguments[:4]
    if not isinstance(storage, _Storage):
        raise InvalidInputError("it holds a tensor without numbers")
    numbers = read_storage(storage.arguments[0])
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if (
        min((offset, *size, *stride)) < 0
        or math.prod(size) > len(numbers)
        or (math.prod(size) and last >= len(numbers))
    ):
        raise InvalidInputError("it holds a tensor of more numbers than it stores")
    steps = tuple(step * numbers.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(numbers[offset:], tuple(size), steps).copy()


def _data_type(kind: Any) -> np.dtype[Any]:
    """The type of an array's numbers.

    Raises:
        InvalidInputError: they are no numbers.
    """
    name = kind.arguments[0] if isinstance(kind, _DataType) else ""
    if not NUMBERS.fullmatch(name):
        raise InvalidInputError("it holds an array of Python objects")
    return np.dtype(f"{kind.state[1] if kind.state else '|'}{name}")


def _array(value: Any) -> NDArray[Any]:
    """The numbers that a value of a pickle stands for.

    Raises:
        InvalidInputError: it stands for none.
    """
    if isinstance(value, _Array):
        return _dense(value)
    if isinstance(value, _Sparse):
        return _unfolded(value)
    if isinstance(value, _Variable):
        return _array(value.state["x"])
    if isinstance(value, _Selection):
        chosen = _array(value.state["idxs"])
        shape = tuple(int(length) for length in value.state["preferred_shape"])
        return _array(value.state["a"]).ravel()[chosen].reshape(shape)
    raise InvalidInputError("something in it is no array")


def _dense(value: _Array) -> NDArray[Any]:
    _, shape, kind, is_fortran, content = value.state
    numbers = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, _data_type(kind))
    if math.prod(shape) != len(numbers) or min(shape, default=0) < 0:
        raise InvalidInputError(f"it holds an array of shape {shape!s:.60} and {len(numbers)} numbers")
    return numbers.reshape(shape, order="F" if is_fortran else "C").copy()


def _unfolded(value: _Sparse) -> NDArray[Any]:
    state = value.state
    rows, columns = (int(length) for length in state.get("_shape", state.get("shape")))
    data, indices, starts = (_array(state[name]) for name in ("data", "indices", "indptr"))
    lanes, along = (rows, columns) if isinstance(value, _SparseRows) else (columns, rows)
    if min(lanes, along) < 1 or lanes * along > MOST_ENTRIES or len(starts) != lanes + 1 or indices.min(initial=0) < 0:
        raise InvalidInputError(f"it holds a damaged sparse matrix of {rows} by {columns}")
    dense = np.zeros((lanes, along), data.dtype)
    np.add.at(dense, (np.repeat(np.arange(lanes), np.diff(starts)), indices), data)
    return dense if isinstance(value, _SparseRows) else np.ascontiguousarray(dense.T)
