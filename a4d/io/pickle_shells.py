"""What stands for the classes that a foreign pickle names: shells that keep what they are given and do nothing."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError

NUMBERS = re.compile(r"[fiub]\d{1,2}")
"""Types of arrays that hold numbers, as numpy's pickles name them."""

MOST_ENTRIES = 1 << 28
"""Numbers of the largest array that a sparse one or a selection may become."""


class Shell:
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


class ArrayShell(Shell):
    """`numpy.ndarray`: its state is version, shape, type, order and bytes."""


class DataTypeShell(Shell):
    """`numpy.dtype`: it is made of a name such as `f8`; its state holds the order of bytes."""


class SparseShell(Shell):
    """A compressed sparse matrix of scipy, by columns."""


class SparseRowsShell(SparseShell):
    """A compressed sparse matrix of scipy, by rows."""


class VariableShell(Shell):
    """`chumpy.Ch`: an array that could be differentiated."""


class SelectionShell(Shell):
    """`chumpy.reordering.Select`: entries of another variable, in a shape of their own."""


class NewArrayShell(Shell):
    """`numpy.core.multiarray._reconstruct`."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        """An array that has yet to get its state."""
        return _shell(kind)


class BufferShell(Shell):
    """`numpy.core.numeric._frombuffer`, by which protocol 5 stores arrays."""

    def __new__(cls, content: Any, kind: Any, shape: Any, order: str) -> Any:
        """An array with its state."""
        array = _shell(ArrayShell)
        array.state = (1, shape, kind, order == "F", content)
        return array


class NewObjectShell(Shell):
    """`copyreg._reconstructor`."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        """A shell that has yet to get its state."""
        return _shell(kind)


class WrittenArrayShell(Shell):
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


class StorageShell(Shell):
    """`torch.storage._load_from_bytes`: the numbers of a tensor, as a checkpoint of their own."""


class TensorShell(Shell):
    """`torch._utils._rebuild_tensor_v2`: some numbers of a storage, by offset, size and stride."""


class DictionaryShell(dict[Any, Any]):
    """`collections.defaultdict`, without what makes its defaults."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        """Nothing: as with shells, its being there keeps a pickle from changing the class."""


class BytesShell(Shell):
    """`_codecs.encode`, by which Python 3 writes bytes for Python 2, and `bytes`, by which it writes none."""

    def __new__(cls, text: str = "", *_: str) -> Any:
        """The bytes themselves."""
        return str.encode(text, "latin1")


def _shell(kind: Any) -> Shell:
    if not (isinstance(kind, type) and issubclass(kind, Shell)):
        raise InvalidInputError("it makes an object of something that is no class of arrays")
    return Shell.__new__(kind)


CLASSES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): ArrayShell,
    ("numpy", "dtype"): DataTypeShell,
    ("numpy.core.multiarray", "_reconstruct"): NewArrayShell,
    ("numpy._core.multiarray", "_reconstruct"): NewArrayShell,
    ("numpy.core.multiarray", "scalar"): Shell,
    ("numpy._core.multiarray", "scalar"): Shell,
    ("numpy.core.numeric", "_frombuffer"): BufferShell,
    ("numpy._core.numeric", "_frombuffer"): BufferShell,
    ("copy_reg", "_reconstructor"): NewObjectShell,
    ("copyreg", "_reconstructor"): NewObjectShell,
    ("_codecs", "encode"): BytesShell,
    ("__builtin__", "bytes"): BytesShell,
    ("scipy.sparse.csc", "csc_matrix"): SparseShell,
    ("scipy.sparse._csc", "csc_matrix"): SparseShell,
    ("scipy.sparse.csr", "csr_matrix"): SparseRowsShell,
    ("scipy.sparse._csr", "csr_matrix"): SparseRowsShell,
    ("chumpy.ch", "Ch"): VariableShell,
    ("chumpy.reordering", "Select"): SelectionShell,
    ("__builtin__", "object"): Shell,
    ("builtins", "object"): Shell,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): DictionaryShell,
    ("__builtin__", "dict"): DictionaryShell,
    ("builtins", "dict"): DictionaryShell,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): WrittenArrayShell,
    ("torch._utils", "_rebuild_tensor_v2"): TensorShell,
    ("torch.storage", "_load_from_bytes"): StorageShell,
}
"""All that a pickle may name, and what stands for it."""


def class_named(module: str, name: str) -> type:
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


def value_of(value: Any) -> Any:
    """What a part of a pickle stands for, with arrays in place of their shells.

    Raises:
        InvalidInputError: it stands for no value.
    """
    if isinstance(value, Mapping):
        return {key: value_of(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [value_of(part) for part in value]
    if isinstance(value, ArrayShell) and isinstance(value.state, tuple) and isinstance(value.state[4], list):
        parts = [value_of(part) for part in value.state[4]]
        return parts if value.state[1] else parts[0]
    if isinstance(value, TensorShell):
        return numbers_of_tensor(value)
    if type(value) is Shell and len(value.arguments) == 2:
        kind, content = value.arguments
        return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, _data_type(kind))[0]
    return array_of(value) if isinstance(value, Shell) else value


def numbers_of_tensor(value: TensorShell) -> NDArray[Any]:
    """The numbers of a tensor.

    Raises:
        InvalidInputError: it speaks of numbers that it does not store, or repeats some.
    """
    from a4d.io.weight_files import read_storage

    storage, offset, size, stride = value.arguments[:4]
    if not isinstance(storage, StorageShell):
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
    name = kind.arguments[0] if isinstance(kind, DataTypeShell) else ""
    if not NUMBERS.fullmatch(name):
        raise InvalidInputError("it holds an array of Python objects")
    return np.dtype(f"{kind.state[1] if kind.state else '|'}{name}")


def array_of(value: Any) -> NDArray[Any]:
    """The numbers that a value of a pickle stands for.

    Raises:
        InvalidInputError: it stands for none.
    """
    if isinstance(value, ArrayShell):
        return _dense(value)
    if isinstance(value, SparseShell):
        return _unfolded(value)
    if isinstance(value, VariableShell):
        return array_of(value.state["x"])
    if isinstance(value, SelectionShell):
        chosen = array_of(value.state["idxs"])
        shape = tuple(int(length) for length in value.state["preferred_shape"])
        return array_of(value.state["a"]).ravel()[chosen].reshape(shape)
    raise InvalidInputError("something in it is no array")


def _dense(value: ArrayShell) -> NDArray[Any]:
    _, shape, kind, is_fortran, content = value.state
    numbers = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, _data_type(kind))
    if math.prod(shape) != len(numbers) or min(shape, default=0) < 0:
        raise InvalidInputError(f"it holds an array of shape {shape!s:.60} and {len(numbers)} numbers")
    return numbers.reshape(shape, order="F" if is_fortran else "C").copy()


def _unfolded(value: SparseShell) -> NDArray[Any]:
    state = value.state
    rows, columns = (int(length) for length in state.get("_shape", state.get("shape")))
    data, indices, starts = (array_of(state[name]) for name in ("data", "indices", "indptr"))
    lanes, along = (rows, columns) if isinstance(value, SparseRowsShell) else (columns, rows)
    if min(lanes, along) < 1 or lanes * along > MOST_ENTRIES or len(starts) != lanes + 1 or indices.min(initial=0) < 0:
        raise InvalidInputError(f"it holds a damaged sparse matrix of {rows} by {columns}")
    dense = np.zeros((lanes, along), data.dtype)
    np.add.at(dense, (np.repeat(np.arange(lanes), np.diff(starts)), indices), data)
    return dense if isinstance(value, SparseRowsShell) else np.ascontiguousarray(dense.T)
