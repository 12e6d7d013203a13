"""Arrays out of foreign pickles, as old body models are: read by shells that hold what is stored and do nothing."""

from __future__ import annotations

import io
import math
import pickle  # noqa: TID251  (the one place)
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.files import read_bytes

NUMBERS = re.compile(r"[fiub]\d{1,2}")
"""Types of arrays that hold numbers, as numpy's pickles name them."""

MOST_ENTRIES = 1 << 28
"""Numbers of the largest array that a sparse one or a selection may become."""


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
    try:
        values = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if type(values) is not dict:
            raise InvalidInputError("it is no dictionary")
        missing = [name for name in names if name not in values]
        if missing:
            raise InvalidInputError(f"it has no '{missing[0]}'")
        return {name: _array(values[name]) for name in (*names, *optional) if name in values}
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} holds no {what} that can be read: {error.problem}", error.remedy) from None
    except Exception as error:  # a damaged pickle provokes nearly every type there is
        raise InvalidInputError(f"{path} is damaged: it is no pickle of arrays that can be read") from error


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


class _NewObject(_Shell):
    """`copyreg._reconstructor`."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        """A shell that has yet to get its state."""
        return _shell(kind)


class _Bytes(_Shell):
    """`_codecs.encode`, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, *_: str) -> Any:
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
    ("copy_reg", "_reconstructor"): _NewObject,
    ("copyreg", "_reconstructor"): _NewObject,
    ("_codecs", "encode"): _Bytes,
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
}
"""All that a pickle may name, and what stands for it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
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
    name = kind.arguments[0] if isinstance(kind, _DataType) else ""
    if not NUMBERS.fullmatch(name):
        raise InvalidInputError("it holds an array of Python objects")
    order = kind.state[1] if kind.state else "|"
    numbers = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, f"{order}{name}")
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
