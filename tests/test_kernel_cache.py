"""Compiled kernels on disk: damaged, written by several at once, or with no place to be."""

import importlib.util
import logging
import os
import stat
import tempfile

import pytest

from a4d import kernel_cache
from a4d.kernel_cache import KernelFiles, cache_folder

KERNEL = "from a4d.kernel_cache import njit\n@njit(cache=True)\ndef double(number):\n    return 2 * number\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A fresh cache, and what the choice of it was before."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget():
    cache_folder.cache_clear()
    kernel_cache._warn_once.cache_clear()


def load(folder):
    """The small kernel, as a process that has just begun sees it."""
    source = folder / "small_kernel.py"
    if not source.exists():
        source.write_text(KERNEL)
    spec = importlib.util.spec_from_file_location("small_kernel", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double


def entry(cache):
    (file,) = cache.rglob("*.nbc")
    return file


def test_what_is_compiled_is_loaded_by_the_next_process(place, tmp_path):
    first = load(tmp_path)
    assert (first(21), sum(first.stats.cache_misses.values())) == (42, 1)
    second = load(tmp_path)
    assert (second(21), sum(second.stats.cache_hits.values()), sum(second.stats.cache_misses.values())) == (42, 1, 0)


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "within the digest": lambda data: data[:20],
    "digest alone": lambda data: data[:32],
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one bit": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "zeros": lambda data: bytes(len(data)),
    "other bytes": lambda data: os.urandom(len(data)),
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_compiled_anew_and_replaced_and_that_is_said_once(place, tmp_path, caplog, damage):
    load(tmp_path)(21)
    whole = entry(place).read_bytes()
    entry(place).write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        again = load(tmp_path)
        assert (again(21), again(1.5)) == (42, 3.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"compiled kernels in {place} are damaged and are compiled anew"
    ]
    forget()
    caplog.clear()
    third = load(tmp_path)
    assert (third(21), sum(third.stats.cache_misses.values())) == (42, 0)
    assert not caplog.records


def test_an_entry_of_another_source_is_not_taken(place, tmp_path):
    load(tmp_path)(21)
    (tmp_path / "small_kernel.py").write_text(KERNEL.replace("2 *", "3 *"))
    assert load(tmp_path)(21) == 63


def test_a_folder_in_the_place_of_an_entry_costs_the_cache_and_not_the_run(place, tmp_path, caplog):
    load(tmp_path)(21)
    file = entry(place)
    file.unlink()
    (file / "x").mkdir(parents=True)
    assert load(tmp_path)(21) == 42
    assert any("cannot be" in record.getMessage() for record in caplog.records)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_processes_that_compile_at_once_keep_their_own_code(tmp_path):
    one, other = (KernelFiles(tmp_path / "cache", "kernel", b"source") for _ in range(2))
    assert one.load("int64") is None
    assert other.load("float64") is None
    other.save("float64", "for floats")
    one.save("int64", "for integers")
    assert (one.load("float64"), other.load("int64")) == ("for floats", "for integers")
    assert KernelFiles(tmp_path / "cache", "kernel", b"other source").load("int64") is None
    one.flush()
    assert other.load("int64") is None


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """A home in which nothing can be made, also by root, and a folder for temporary files."""
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    forget()
    yield tmp_path
    forget()


def test_without_a_home_it_is_a_private_folder_among_the_temporary_files(blocked, caplog):
    folder = cache_folder()
    assert folder.parent == blocked / "temporary"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache_folder() == folder
    (said,) = caplog.records
    assert (
        said.getMessage() == f"{blocked / 'file/a4d/kernels'} cannot be written: compiled kernels are kept in {folder}"
    )
    load(blocked)(21)
    assert entry(folder)


@pytest.mark.parametrize("trap", ["others may write", "link", "somebody else's"])
def test_a_folder_that_others_may_have_filled_is_not_used(blocked, caplog, monkeypatch, trap):
    folder = blocked / "temporary" / f"a4d-kernels-{os.getuid()}"
    if trap == "link":
        (blocked / "theirs").mkdir(mode=0o700)
        folder.symlink_to(blocked / "theirs")
    else:
        folder.mkdir(mode=0o700)
        if trap == "others may write":
            folder.chmod(0o777)
        else:
            os.chown(folder, os.getuid() + 1, -1) if os.getuid() == 0 else pytest.skip("needs root")
    assert cache_folder() is None
    assert load(blocked)(21) == 42
    assert "compiled anew in every run" in caplog.records[0].getMessage()
    assert len(caplog.records) == 1
    assert not list(blocked.rglob("*.nbc"))


def test_an_unknown_home_makes_no_folder_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget()
    assert cache_folder().parent == tmp_path
    assert not (tmp_path / "~").exists()
    forget()


def test_the_doctor_shows_the_folder_that_is_used(a4d, blocked):
    result = a4d("doctor", "--json")
    assert result.json["caches"]["kernels"]["path"] == str(blocked / "temporary" / f"a4d-kernels-{os.getuid()}")
