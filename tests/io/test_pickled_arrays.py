"""Pickles of arrays: those of body models are read, and nothing of any other is run."""

import collections
import copyreg
import io
import os
import pickle
import sys
import types
import zlib

import numpy as np
import pytest
import torch
from fuzzing import TELLTALES
from pickled_attack import Attack
from scipy.sparse import csc_matrix, csr_matrix

from a4d.errors import ExitCode, InvalidInputError, MissingInputError
from a4d.io import pickle_shells, pickled_arrays
from a4d.io.pickled_arrays import read_pickled_arrays, read_pickled_values

NUMBERS = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def chumpy(monkeypatch):
    """Classes under the names of chumpy's, which pickle their state as those do."""
    ch, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (ch.Ch,), {"__module__": "chumpy.reordering"})
    for module in (types.ModuleType("chumpy"), ch, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def made(kind, **state):
        value = kind()
        value.__dict__.update(state, _dirty_vars=set())
        return value

    return types.SimpleNamespace(
        variable=lambda x: made(ch.Ch, x=x),
        selection=lambda a, idxs, shape: made(reordering.Select, a=a, idxs=idxs, preferred_shape=shape),
    )


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_of_all_kinds_come_back(tmp_path, chumpy, protocol):
    sparse = np.where(NUMBERS % 3 == 1, NUMBERS, 0.0)
    values = {
        "plain": NUMBERS,
        "fortran": np.asfortranarray(NUMBERS),
        "big_endian": NUMBERS.astype(">f4"),
        "indices": np.arange(5, dtype=np.uint32),
        "sparse": csc_matrix(sparse),
        "rows": csr_matrix(sparse),
        "variable": chumpy.variable(NUMBERS),
        "selection": chumpy.selection(chumpy.variable(NUMBERS), np.array([1, 0, 11, 5]), (2, 2)),
        "said": {"bs_type": "lrotmin", "bs_style": "lbs", "count": 3},
    }
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(values, protocol))
    names = [name for name in values if name != "said"]
    read = read_pickled_arrays(path, names, "model", optional=("absent",))
    expected = {**dict.fromkeys(names, NUMBERS), "indices": np.arange(5), "sparse": sparse, "rows": sparse}
    expected["selection"] = NUMBERS.ravel()[[1, 0, 11, 5]].reshape(2, 2)
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(read[name], value), name
    assert read["indices"].dtype == np.uint32


def attacks(sentinel):
    """Pickles, by name, that leave a file behind if anything of them is run."""
    command = f"touch {sentinel}"
    shell = Attack(os.system, command)
    text, source = repr(command).encode(), f"open({str(sentinel)!r}, 'w')"
    objects = np.empty(1, dtype=object)
    objects[0] = shell
    reconstruct = b"c%b\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR."
    nested = Attack(dict, [("v", shell)])
    return {
        "reduce": pickle.dumps({"v": shell}, 2),
        "reduce 4": pickle.dumps({"v": shell}, 4),
        "nested": pickle.dumps({"v": [({"w": nested},)]}, 2),
        "eval": pickle.dumps({"v": Attack(eval, source)}, 2),
        "object array": pickle.dumps({"v": objects}, 2),
        "array in array": pickle.dumps({"v": Attack(np.array, [shell])}, 4),
        "reconstructor": pickle.dumps({"v": Attack(copyreg._reconstructor, Attack, object, None)}, 2),
        "reconstructor of a function": reconstruct % b"copy_reg",
        "reconstructor of a function 3": reconstruct % b"copyreg",
        "old instance": b"(S%b\nios\nsystem\n." % text,
        "object": b"(cos\nsystem\nS%b\no." % text,
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "inside numpy": b"cnumpy.testing._private.utils\nruncmd\n(S%b\ntR." % text,
        "inside scipy": b"cscipy._lib._util\ngetfullargspec\n(S'x'\ntR.",
        "inside chumpy": b"cchumpy.utils\nsystem\n(S'x'\ntR.",
        "getattr": b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Psystem\n.",
        "another class": b"cnumpy.core.multiarray\n_reconstruct\n(c__builtin__\nset\n(I0\ntS'b'\ntR.",
    }


@pytest.mark.parametrize("name", attacks("x"))
def test_nothing_of_a_pickle_is_run(tmp_path, name):
    sentinel, path = tmp_path / "sentinel", tmp_path / "model.pkl"
    path.write_bytes(attacks(sentinel)[name])
    with pytest.raises(InvalidInputError) as caught:
        read_pickled_arrays(path, ["v"], "body model")
    assert caught.value.exit_code == ExitCode.INVALID
    assert not sentinel.exists()
    assert not TELLTALES.search(str(caught.value).replace("numpy.", ""))


def test_the_attacks_work_on_who_believes_them(tmp_path):
    sentinel = tmp_path / "sentinel"
    pickle.loads(attacks(sentinel)["nested"])
    assert sentinel.exists()


@pytest.mark.parametrize("known", sorted(pickle_shells.CLASSES))
def test_a_pickle_changes_nothing_about_what_stands_for_its_classes(tmp_path, known):
    """A state for a class itself, in both forms that a state has."""
    module, name = (part.encode() for part in known)
    before = {key: dict(vars(kind)) for key, kind in pickle_shells.CLASSES.items()}
    for state in (b"}S'arguments'\nI1\ns", b"N}S'arguments'\nI1\ns\x86"):
        path = tmp_path / "model.pkl"
        path.write_bytes(b"\x80\x02c%b\n%b\n%bb." % (module, name, state))
        with pytest.raises(InvalidInputError):
            read_pickled_arrays(path, [], "model")
    assert before == {key: dict(vars(kind)) for key, kind in pickle_shells.CLASSES.items()}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "has no 'v'"),
        ([1, 2], "no dictionary"),
        ({"v": "text"}, "no array"),
        ({"v": np.array([None, {}], dtype=object)}, "Python objects"),
        ({"v": np.array(["text"])}, "Python objects"),
    ],
)
def test_what_holds_no_arrays_says_so(tmp_path, values, complaint):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(values, 2))
    with pytest.raises(InvalidInputError, match=complaint):
        read_pickled_arrays(path, ["v"], "body model")


@pytest.mark.parametrize(
    "state", [(1, (2**60,), "f8"), (1, (-1,), "f8"), (1, (3,), "f8"), (1, (2,), "O8"), (1, (2,), "V8")]
)
def test_an_array_has_the_numbers_that_it_promises(tmp_path, state):
    version, shape, kind = state
    array = pickle_shells.ArrayShell()
    array.state = (version, shape, pickle_shells.DataTypeShell(kind, False, True), False, b"\0" * 16)
    with pytest.raises(InvalidInputError):
        pickle_shells.array_of(array)


@pytest.mark.parametrize(
    "shape_and_indices", [((2**40, 2**40), [0]), ((3, 1), [7]), ((3, 1), [-1]), ((-3, -1), [0]), ((3, 2), [0])]
)
def test_a_sparse_matrix_stays_within_its_shape(tmp_path, shape_and_indices):
    matrix = csc_matrix(np.array([[1.0], [0.0], [0.0]]))
    shape, indices = shape_and_indices
    matrix._shape, matrix.indices = shape, np.array(indices, dtype=np.int32)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v": matrix}, 2))
    with pytest.raises(InvalidInputError):
        read_pickled_arrays(path, ["v"], "body model")


def test_cut_files_are_refused_and_absent_ones_are_missed(tmp_path):
    whole, path = pickle.dumps({"v": NUMBERS}, 2), tmp_path / "model.pkl"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInputError):
            read_pickled_arrays(path, ["v"], "body model")
    with pytest.raises(MissingInputError):
        read_pickled_arrays(tmp_path / "absent.pkl", ["v"], "body model")


def values(random):
    """What trackers store: arrays of both orders and several types, numbers, texts, lists and dictionaries."""
    return {
        "poses": random.normal(size=(3, 4)).astype(np.float32),
        "fortran": np.asfortranarray(random.normal(size=(3, 4))),
        "empty": np.zeros((0, 3)),
        7: {"ids": np.arange(5), "score": np.float64(0.5), "seen": [True, None, (1, "two")], "raw": b"\x00\xff"},
        "picture": np.arange(600, dtype=np.uint8),
    }


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return np.array_equal(a, b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_values_of_all_kinds_come_back(tmp_path):
    stored, path = values(np.random.default_rng(0)), tmp_path / "values.pkl"
    stored["by_default"] = collections.defaultdict(dict, {1: {"x": np.ones(2)}})
    for protocol in (0, 2, 4, 5):
        path.write_bytes(pickle.dumps(stored, protocol))
        assert equal(stored, read_pickled_values(path, "poses"))


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_values_of_joblib_come_back(tmp_path, compress, protocol):
    joblib = pytest.importorskip("joblib")
    stored, path = values(np.random.default_rng(1)), tmp_path / "values.pkl"
    joblib.dump(stored, path, compress=compress, protocol=protocol)
    assert equal(stored, read_pickled_values(path, "poses"))


def joblib_bytes(array, aligned=True, state=()):
    """`{"poses": array}` as joblib writes it: a wrapper, and then the numbers in the midst of the pickle."""
    wrapper = types.ModuleType("joblib.numpy_pickle")
    wrapper.NumpyArrayWrapper = type("NumpyArrayWrapper", (), {"__module__": "joblib.numpy_pickle"})
    before = {name: sys.modules.get(name) for name in ("joblib", "joblib.numpy_pickle")}
    sys.modules.update({"joblib": types.ModuleType("joblib"), "joblib.numpy_pickle": wrapper})
    try:
        value = wrapper.NumpyArrayWrapper()
        value.__dict__.update(
            subclass=np.ndarray, shape=array.shape, order="C", dtype=array.dtype, allow_mmap=True,
            numpy_array_alignment_bytes=16 if aligned else None,
        )  # fmt: skip
        value.__dict__.update(state)
        pickled = pickle.dumps({"poses": value}, 2)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    numbers = array.tobytes() if array.dtype.kind != "O" else b""
    end = pickled.rindex(b"b") + 1
    return pickled[:end] + (b"\x05" + b"\xff" * 5 if aligned else b"") + numbers + pickled[end:]


@pytest.mark.parametrize("aligned", [False, True])
def test_numbers_in_the_midst_of_a_pickle_are_taken(tmp_path, aligned):
    path = tmp_path / "poses.pkl"
    path.write_bytes(zlib.compress(joblib_bytes(NUMBERS, aligned)))
    assert np.array_equal(read_pickled_values(path, "poses")["poses"], NUMBERS)


@pytest.mark.parametrize("state", [{"shape": (2**50,)}, {"shape": (-3, -4)}, {"dtype": np.dtype("O")}, {"shape": 3}])
def test_an_array_in_the_midst_of_a_pickle_has_its_numbers(tmp_path, state):
    path = tmp_path / "poses.pkl"
    path.write_bytes(joblib_bytes(NUMBERS, state=state))
    with pytest.raises(InvalidInputError):
        read_pickled_values(path, "poses")


def test_tensors_and_objects_in_array_files_come_back(tmp_path):
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    stored = {"pred_rotmat": tensor[:, 1:, ::2], "frame": torch.arange(3), "focal": np.float32(700.0)}
    np.save(tmp_path / "track.npy", stored)
    read = read_pickled_values(tmp_path / "track.npy", "track")
    assert np.array_equal(read["pred_rotmat"], tensor[:, 1:, ::2].numpy())
    assert read["frame"].tolist() == [0, 1, 2]
    assert read["focal"] == 700.0
    np.save(tmp_path / "list.npy", np.array([{"a": 1}, None], dtype=object))
    assert read_pickled_values(tmp_path / "list.npy", "track") == [{"a": 1}, None]


@pytest.mark.parametrize("size", [(10,), (2, 2**60), (-1,)])
def test_a_tensor_stays_within_its_numbers(size):
    content = io.BytesIO()
    torch.save(torch.arange(6.0).untyped_storage(), content, _use_new_zipfile_serialization=False)
    storage = pickle_shells.StorageShell(content.getvalue())
    with pytest.raises(InvalidInputError):
        pickle_shells.numbers_of_tensor(pickle_shells.TensorShell(storage, 0, size, (1,) * len(size)))


@pytest.mark.parametrize("fold", ["plain", "zlib", "array file"])
@pytest.mark.parametrize("name", attacks("x"))
def test_nothing_of_a_trackers_pickle_is_run(tmp_path, name, fold):
    sentinel, path = tmp_path / "sentinel", tmp_path / "track.pkl"
    content = attacks(sentinel)[name]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    folded = {"plain": content, "zlib": zlib.compress(content), "array file": header.getvalue() + content}
    path.write_bytes(folded[fold])
    with pytest.raises(InvalidInputError) as caught:
        read_pickled_values(path, "track")
    assert caught.value.exit_code == ExitCode.INVALID
    assert not sentinel.exists()


def test_a_pickle_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled_arrays, "LARGEST", 1000)
    (tmp_path / "track.pkl").write_bytes(zlib.compress(bytes(10_000)))
    with pytest.raises(InvalidInputError, match="unfolds to over 1000 bytes"):
        read_pickled_values(tmp_path / "track.pkl", "track")
