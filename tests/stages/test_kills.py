"""Commands that are killed at random moments and run again: what they make has the bytes of one that was left alone."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from bending import bending_bar
from counting import tree

from a4d.geometry.assets.animating import AnimationOptions, animated_asset
from a4d.geometry.assets.assembly import primitive_from_mesh
from a4d.io.assets.glb_asset import write_asset
from a4d.io.films.video import write_video

ROOT = Path(__file__).parents[2]
FRAMES, OFTEN = 3, "checkpoint_seconds=0.02"
DISTILL = {
    "seed": {"kind": "ball", "radius": 0.9},
    "scene": {"kind": "gaussians", "count": 60, "opacity": 0.2},
    "views": {"seen": {"kind": "observed", "batch": 2, "background": "black"}},
    "priors": {"exact": {"kind": "exact", "background": "black"}},
    "objectives": [
        {"kind": "score-distillation", "views": "seen", "prior": "exact", "form": "x0", "guidance_scale": 1,
         "t": [0.02, 0.6]},
    ],
    "iterations": 60,
    "checkpoint_seconds": 0.02,
    "optimiser": {
        "rates": {"means": 1e-2, "quaternions": 2e-2, "log_scales": 2e-2, "opacity_logits": 5e-2, "sh_base": 5e-2},
    },
}  # fmt: skip
BAR = ("preprocess", "bar.glb", "--views", 3, "--test-views", 0, "--size", 32)
MOVING = (*BAR, "--clip", "morph", "--frames", FRAMES)
STILL = (*BAR, "--clip", "none")
FIT = ("fit-static", "bar.a4d", "--iterations", 10, "--set", "scene.count=100")
FILM = ("make-dataset", "--procedural", 4, "--views", 2, "--frames", 3, "--size", 32, "--output", "set")


@dataclass(frozen=True)
class Task:
    """A command to be killed, and those that come before it, which are not."""

    command: tuple[object, ...]
    before: tuple[tuple[object, ...], ...] = ()


TASKS = {
    "preprocess an image": Task(("preprocess", "creature.png", "--size", 64)),
    "preprocess a mesh": Task(MOVING),
    "preprocess a video": Task(("preprocess", "film.mp4", "--size", 32)),
    "export": Task(
        ("export", "bar.a4d", "--formats", "glb,ply,ply-sequence,mp4", "--resolution", 24, "--force"), (STILL, FIT)
    ),
    "fit-dynamic": Task(
        ("fit-dynamic", "bar.a4d", "--from", "fit-static", "--iterations", 40, "--set", OFTEN, "--set",
         "scene.motion.nodes=8"),
        (MOVING, FIT),
    ),
    "distill": Task(("distill", "bar.a4d", "--config", "distill.yaml"), (STILL,)),
    "make-dataset": Task((*FILM, "--workers", 2)),
    "make-dataset in one process": Task((*FILM, "--workers", 1)),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, creature_picture: Path) -> Path:
    """A picture, a mesh that moves, a film, and settings."""
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    folder.mkdir()
    shutil.copy(creature_picture, folder)
    bar = bending_bar(FRAMES, 1, 16)
    options = AnimationOptions(tolerance=0)
    asset = animated_asset("bar", primitive_from_mesh(bar.meshes[0]), bar.trajectories, 0.1, options)
    write_asset(folder / "bar.glb", asset)
    frames = np.ones((FRAMES, 32, 32, 4), np.float32)
    for index in range(FRAMES):
        frames[index, 8:24, 6 + index : 22 + index, :3] = (0.8, 0.1, 0.2)
    write_video(folder / "film.mp4", iter(frames), 8.0, (1.0, 1.0, 1.0))
    (folder / "distill.yaml").write_text(yaml.safe_dump(DISTILL))
    return folder


def start(folder: Path, command: tuple[object, ...]) -> subprocess.Popen:
    words = [str(word) for word in (*command, "-q")]
    device = [] if words[0] == "make-dataset" else ["--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "a4d", *words, *device]
    return subprocess.Popen(program, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, command: tuple[object, ...]) -> None:
    child = start(folder, command)
    _, err = child.communicate(timeout=300)
    assert child.returncode == 0, err


def made(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder, but for what tells when and how long."""
    assert not list(folder.rglob("*.partial"))
    return {name: data for name, data in tree(folder).items() if "/stages/" not in name}


def kill_and_repeat(task: Task, inputs: Path, folder: Path, a4d_in: Callable, kills: int, seed: int) -> None:
    whole, broken, moments = folder / "whole", folder / "broken", random.Random(seed)
    shutil.copytree(inputs, whole)
    for command in task.before:
        done = a4d_in(whole, *command, "--device", "cpu", "-q")
        assert done.code == 0, done.err
    shutil.copytree(whole, broken)
    began = time.monotonic()
    finish(whole, task.command)
    seconds = time.monotonic() - began
    for attempt in range(kills):
        child = start(broken, task.command)
        # The first part of a run is the same imports every time.
        time.sleep(seconds * moments.uniform(0.3 if attempt % 2 else 0, 1.1))
        child.kill()
        child.communicate()
    finish(broken, task.command)
    assert made(broken) == made(whole)


@pytest.mark.parametrize("name", ["preprocess an image", "make-dataset in one process"])
def test_a_command_that_is_killed_and_run_again_makes_the_same_bytes(name, inputs, tmp_path, a4d_in) -> None:
    kill_and_repeat(TASKS[name], inputs, tmp_path, a4d_in, kills=1, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_command_that_is_killed_ten_times_makes_the_same_bytes(name, inputs, tmp_path, a4d_in) -> None:
    kill_and_repeat(TASKS[name], inputs, tmp_path, a4d_in, kills=10, seed=3)
