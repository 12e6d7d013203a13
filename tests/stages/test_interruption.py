"""Runs that are killed, stopped, locked out, or that run out of disk or memory, through the real command line."""

import builtins
import errno
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from counting import tree
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
FAST = {"checkpoint_seconds": 0.02, "preview_seconds": 0.5}
IMAGE = {
    **FAST,
    "iterations": 120,
    "proxies": {"count": 4, "size": 48},
    "scene": {"kind": "gaussians", "count": 400},
}
CAPTURE = {
    **FAST,
    "iterations": 160,
    "scene": {
        "kind": "gaussians", "count": 300, "opacity": 0.7, "sh_degree": 1, "sh_degree_every": 60,
        "density": {
            "start": 10, "stop": 140, "every": 15, "gradient_threshold": 1e-5, "most": 900, "reset_every": 70,
        },
    },
}  # fmt: skip
RESULT = "scenes/fit-static"
CHECKPOINT = "stages/fit-static.partial/checkpoint/state.safetensors"


class Site:
    """A folder with an input and a configuration, in which the main job is started as a process of its own."""

    def __init__(self, folder: Path, source: Path, config: dict) -> None:
        self.folder, self.workspace = folder, folder / f"{source.stem}.a4d"
        folder.mkdir()
        shutil.copytree(source, folder / source.name) if source.is_dir() else shutil.copy(source, folder)
        (folder / "fit.yaml").write_text(yaml.safe_dump(config))
        self.arguments = ["fit-static", source.name, "--config", "fit.yaml", "--device", "cpu", "-q"]

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "a4d", *self.arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True)

    def finish(self) -> None:
        child = self.start()
        _, err = child.communicate(timeout=120)
        assert (child.returncode, err) == (0, "")

    def checkpointed(self, child: subprocess.Popen) -> None:
        """Wait until the process has written something to resume from, or is done."""
        deadline = time.monotonic() + 60
        checkpoint = self.workspace / CHECKPOINT
        former = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while child.poll() != 0 and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == former):
            assert child.poll() in (None, 0), child.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def result(self) -> dict[str, bytes]:
        assert not list((self.workspace / "stages").glob("*.partial"))
        assert not list(self.folder.glob("*.partial"))
        return tree(self.workspace / RESULT)


PICTURE, CLONING = "image", "capture with density control"


def on(first: str, other: str) -> pytest.MarkDecorator:
    """Ask a fixture for one kind of run, and where there is time for the other."""
    kinds = [first, pytest.param(other, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("uninterrupted", kinds, indirect=True)


@pytest.fixture(scope="module")
def uninterrupted(request, tmp_path_factory, creature_picture, creature_capture):
    """A finished run to compare with, how long it took, and how to start the same elsewhere."""
    source, config = (creature_picture, IMAGE) if request.param == PICTURE else (creature_capture, CAPTURE)
    site = Site(tmp_path_factory.mktemp("whole") / "site", source, config)
    began = time.monotonic()
    site.finish()
    return site, time.monotonic() - began, lambda folder: Site(folder, source, config)


def kill_and_resume(uninterrupted, folder: Path, kills: int, seed: int) -> None:
    whole, seconds, begin = uninterrupted
    broken, moments = begin(folder), random.Random(seed)
    for attempt in range(kills):
        child = broken.start()
        if attempt % 3 == 1:  # so that there is something to resume from, whatever chance says
            broken.checkpointed(child)
            time.sleep(moments.uniform(0, 0.1))
        else:
            time.sleep(moments.uniform(0, 1.1 * seconds))
        child.kill()
        child.communicate()
    broken.finish()
    assert broken.result() == whole.result()


@on(CLONING, PICTURE)
def test_a_run_that_is_killed_at_random_moments_ends_with_the_same_bytes(uninterrupted, tmp_path) -> None:
    kill_and_resume(uninterrupted, tmp_path / "broken", kills=2, seed=0)


@pytest.mark.slow
@on(CLONING, PICTURE)
def test_a_run_that_is_killed_twenty_times_ends_with_the_same_bytes(uninterrupted, tmp_path) -> None:
    kill_and_resume(uninterrupted, tmp_path / "broken", kills=20, seed=1)


@on(PICTURE, CLONING)
def test_a_run_that_is_asked_to_stop_says_so_in_one_line_and_goes_on_later(uninterrupted, tmp_path) -> None:
    whole, _, begin = uninterrupted
    stopped = begin(tmp_path / "stopped")
    for number, code in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
        child = stopped.start()
        stopped.checkpointed(child)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        assert (child.returncode, len(err.splitlines())) == (code, 1), err
        assert not (stopped.workspace / ".lock").exists()
        assert (stopped.workspace / CHECKPOINT).is_file()
    stopped.finish()
    assert stopped.result() == whole.result()


@pytest.mark.parametrize("uninterrupted", [CLONING], indirect=True)
def test_density_control_had_changed_the_number_by_then(uninterrupted) -> None:
    site, _, _ = uninterrupted
    with safe_open(site.workspace / RESULT / "tensors.safetensors", framework="pt") as file:
        assert file.get_slice("means").get_shape()[0] != 300


def test_a_second_writer_is_told_of_the_first_and_takes_over_when_that_is_dead(a4d, tmp_path, creature_picture) -> None:
    site = Site(tmp_path / "shared", creature_picture, {**IMAGE, "iterations": 100_000})
    first = site.start()
    site.checkpointed(first)
    second = a4d("fit-static", site.workspace, "--name", "other", "--iterations", 1)
    assert (second.code, len(second.err.splitlines())) == (3, 1)
    assert f"is being written by process {first.pid}" in second.err
    first.kill()
    first.communicate()
    assert "being written" not in a4d("info", site.workspace).out
    again = a4d("fit-static", site.workspace, "--name", "other", "--iterations", 1, "--set", "scene.count=100", "-q")
    assert (again.code, again.err) == (0, "")


@pytest.fixture
def prepared(a4d, creature_picture: Path) -> Path:
    """A workspace that is ready for the fit, in the current folder."""
    shutil.copy(creature_picture, ".")
    assert a4d("preprocess", "creature.png", "--size", 64).code == 0
    assert a4d("estimate-pose", "creature.a4d").code == 0
    few = {"iterations": 2, "checkpoint_seconds": 60, "scene": {"kind": "gaussians", "count": 50}}
    Path("fit.yaml").write_text(yaml.safe_dump({**IMAGE, **few}))
    return Path("creature.a4d")


FIT = ("fit-static", "creature.a4d", "--config", "fit.yaml", "--device", "cpu")


class BrokenDisk:
    """A disk on which writing fails below the current folder; what Python itself opens, makes and renames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, *, writes: int = 0, everything: bool = True):
        self.number, self.left, self.place = number, writes, str(Path.cwd())
        names = ["mkdir", "link", "replace", "rename", "unlink", "rmdir"] if everything else ["mkdir"]
        for name in names:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))
        opened = self._failing(io.open, lambda mode="r", *_, **__: not mode.startswith("r"))
        for module in (io, builtins):
            monkeypatch.setattr(module, "open", opened)

    def fill(self, path: Path) -> None:
        """Leave no room and try to write."""
        self.left = 0
        path.write_bytes(b"")

    def _failing(self, function, applies=lambda *given, **named: True):
        def checked(path, *given, **named):
            is_here = isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.place)
            if is_here and applies(*given, **named):
                self.left -= 1
                if self.left < 0:
                    raise OSError(self.number, os.strerror(self.number), os.fspath(path))
            return function(path, *given, **named)

        return checked


def test_a_read_only_place_is_one_line_and_what_is_finished_can_be_looked_at(a4d, prepared, monkeypatch) -> None:
    assert a4d(*FIT).code == 0
    shutil.copy("creature.png", "other.png")
    before = tree(Path.cwd())
    with monkeypatch.context() as patched:
        BrokenDisk(patched, errno.EROFS)
        for command in ((*FIT, "--name", "new"), (*FIT, "--force"), ("preprocess", "other.png")):
            result = a4d(*command)
            assert (result.code, result.out, len(result.err.splitlines())) == (3, "", 1), result.err
            assert "read-only" in result.err
        for command in (FIT, ("info", "creature.a4d"), ("validate", "creature.a4d"), ("evaluate", "creature.a4d")):
            result = a4d(*command)
            assert (result.code, result.err) == (0, ""), command
    assert tree(Path.cwd()) == before


def test_a_disk_that_fills_up_at_any_write_leaves_the_workspace_as_it_was(a4d, prepared, monkeypatch) -> None:
    before = tree(Path.cwd())
    for writes in range(200):
        with monkeypatch.context() as patched:
            BrokenDisk(patched, errno.ENOSPC, writes=writes, everything=False)
            result = a4d(*FIT, "-q")
        if result.code == 0:
            break
        assert (result.code, result.out, len(result.err.splitlines())) == (3, "", 1), (writes, result.err)
        if (prepared / "stages/fit-static.partial/journal.json").exists():
            break  # the result is whole, and whoever comes next will put it in its place
        assert "disk is full" in result.err or "No space left" in result.err, (writes, result.err)
        assert tree(Path.cwd()) == before, writes
    assert writes > 15
    assert "up to date" in a4d(*FIT).out
    assert a4d("validate", "creature.a4d").code == 0


def test_a_disk_that_fills_up_after_a_checkpoint_leaves_that_to_go_on_from(a4d, prepared, monkeypatch) -> None:
    Path("fit.yaml").write_text(yaml.safe_dump({**IMAGE, "checkpoint_seconds": 1e-6, "iterations": 2}))
    before = tree(Path.cwd())
    with monkeypatch.context() as patched:
        disk = BrokenDisk(patched, errno.ENOSPC, writes=10_000, everything=False)
        patched.setattr("a4d.scenes.gaussians.scene.GaussianScene.save", lambda scene, folder: disk.fill(folder / "x"))
        result = a4d(*FIT)
        assert result.code == 3
        assert "the disk is full" in result.err.splitlines()[-1]
    after = tree(Path.cwd())
    assert {name for name in after if name not in before} >= {f"creature.a4d/{CHECKPOINT}"}
    assert all(".partial/" in name for name in after.keys() ^ before.keys())
    result = a4d(*FIT)
    assert result.code == 0
    assert "resumes from its checkpoint" in result.err


@pytest.mark.parametrize("exhausted", [lambda *_: bytearray(1 << 62), lambda *_: torch.empty(1 << 58)])
def test_memory_that_runs_out_names_the_knobs(a4d, prepared, monkeypatch, exhausted) -> None:
    from a4d.fitting import seeds

    before = tree(prepared)
    monkeypatch.setattr(seeds, "make_seed", exhausted)
    result = a4d(*FIT)
    assert (result.code, result.out, len(result.err.splitlines())) == (6, "", 1), result.err
    assert "scene.count" in result.err
    assert tree(prepared) == before


def test_a_workspace_of_a_future_format_is_left_alone(a4d, prepared) -> None:
    file = prepared / "workspace.yaml"
    file.write_text(file.read_text().replace("version: 1", "version: 2"))
    before = tree(Path.cwd())
    for command in (FIT, ("preprocess", "creature.png"), ("export", "creature.a4d"), ("info", "creature.a4d")):
        result = a4d(*command)
        assert (result.code, result.out, len(result.err.splitlines())) == (3, "", 1), result.err
        assert "format version 2" in result.err
        assert "Upgrade a4d" in result.err
    assert tree(Path.cwd()) == before
