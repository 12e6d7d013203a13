"""A clip of a bending bar through the command line: fitted, resumed, exported, refused."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from bending import bending_bar

from a4d.contents.assets import load_ground_truth
from a4d.geometry.assets.animating import AnimationOptions, animated_asset
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.deformation.arap import deformation_energy
from a4d.geometry.primitives import box
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
FRAMES = 4
# The profile's own schedules; images are a fifth as large as those that its blur is meant for.
BLUR = "{from: 2.4, to: 0.2, steps: alone, curve: exponential}"
SETTINGS = [
    "--set", "scene.count=400", "--set", "scene.motion.nodes=20",
    "--set", f"objectives.0.blur={BLUR}", "--set", f"objectives.1.blur={BLUR}",
]  # fmt: skip


def write_bar(path: Path) -> None:
    bar = bending_bar(FRAMES, 1, 16)
    options = AnimationOptions(tolerance=0)
    write_asset(path, animated_asset("bar", primitive_from_mesh(bar.meshes[0]), bar.trajectories, 0.1, options))


def prepared(a4d, tmp_path: Path) -> Path:
    write_bar(tmp_path / "bar.glb")
    done = a4d("preprocess", "bar.glb", "--clip", "morph", "--frames", FRAMES, "--views", 4, "--test-views", 0,
               "--size", 48)  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "bar.a4d"


def test_a_motion_is_fitted_and_leaves_as_an_animated_mesh(a4d, tmp_path: Path) -> None:
    folder = prepared(a4d, tmp_path)
    assert a4d("fit-static", folder, "--set", "scene.count=400").code == 0
    done = a4d("fit-dynamic", folder, "--from", "fit-static", *SETTINGS)
    assert done.code == 0, done.err
    truth = load_ground_truth(Workspace.open(folder)).vertices
    truth = torch.as_tensor(truth)
    scene = load_scene(folder / "scenes" / "fit-dynamic")
    with torch.no_grad():
        found = scene.moved_points("vertices", torch.linspace(0, 1, FRAMES).tolist())
    torch.testing.assert_close(found[0], truth[0], atol=1e-5, rtol=0)
    error = (found - truth).norm(dim=-1).mean() / (truth - truth[0]).norm(dim=-1).mean()
    assert float(error) < 0.4
    assert (folder / "stages" / "fit-dynamic" / "previews").is_dir()
    energy = deformation_energy(found, scene.mesh().faces)
    assert "arap_energy" in done.out
    record = Workspace.open(folder).read_records()["fit-dynamic"]
    assert record.metrics["arap_energy"] == pytest.approx(energy, rel=1e-3)
    figures = a4d("evaluate", folder, "--json").json
    assert figures["arap_energy"] == pytest.approx(energy, rel=1e-3)
    # A bar that is rolled up strains its sides.
    assert figures["arap_energy_of_truth"] == pytest.approx(deformation_energy(truth, scene.mesh().faces), rel=0.05)
    done = a4d("export", folder, "--formats", "glb", "--frame", "source")
    assert done.code == 0, done.err
    source, result = read_gltf(tmp_path / "bar.glb"), read_gltf(folder / "exports" / "bar.glb")
    assert len(trimesh.load_mesh(folder / "exports" / "bar.glb", process=False).faces) == 768
    assert torch.equal(result.meshes[0].primitives[0].faces, source.meshes[0].primitives[0].faces)
    end = result.clips[0].duration
    at_rest, at_end = deform(result, result.clips[0], 0.0), deform(result, result.clips[0], end)
    torch.testing.assert_close(at_rest.vertices, deform(source).vertices, atol=1e-4, rtol=0)
    wanted = deform(source, source.clips[0], source.clips[0].duration).vertices
    off = (at_end.vertices - wanted).norm(dim=-1).mean() / (wanted - at_rest.vertices).norm(dim=-1).mean()
    assert float(off) < 0.4


def test_a_killed_and_resumed_fit_ends_with_the_same_bits(a4d, tmp_path: Path) -> None:
    folder = prepared(a4d, tmp_path)
    command = ["fit-dynamic", str(folder), "--accept", "--iterations", "40", *map(str, SETTINGS)]
    assert a4d(*command, "--name", "whole").code == 0
    run = [sys.executable, "-m", "a4d", *command, "--name", "cut", "--checkpoint-seconds", "0.01"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(run, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = folder / "stages" / "cut.partial" / "checkpoint" / "state.safetensors"
    deadline = time.monotonic() + 300
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.is_file()
    assert a4d(*command, "--name", "cut", "--checkpoint-seconds", "0.01").code == 0
    tensors = "tensors.safetensors"
    whole, cut = (folder / "scenes" / name / tensors for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_of_several_clips_the_one_that_is_named_is_fitted(a4d, tmp_path: Path) -> None:
    write_bar(tmp_path / "single.glb")
    asset = read_gltf(tmp_path / "single.glb")
    (clip,) = asset.clips
    write_asset(tmp_path / "bar.glb", replace(asset, clips=(clip, replace(clip, name="again"))))
    views = ("--clip", "all", "--frames", 3, "--views", 2, "--test-views", 0, "--size", 32)
    assert a4d("preprocess", "bar.glb", *views).code == 0
    done = a4d("fit-dynamic", "bar.a4d", "--clip", "again", "--accept", "--iterations", 1, *SETTINGS)
    assert done.code == 0, done.err
    refused = a4d("fit-dynamic", "bar.a4d", "--clip", "gallop", "--name", "other", *SETTINGS)
    assert refused.code == 4
    assert "morph, again" in refused.err


def test_what_cannot_be_fitted_gets_one_line(a4d, tmp_path: Path) -> None:
    write_asset(tmp_path / "box.glb", static_asset("box", primitive_from_mesh(box())))
    assert a4d("preprocess", "box.glb", "--views", 2, "--test-views", 0, "--size", 16).code == 0
    refused = a4d("fit-dynamic", "box.a4d", "--iterations", 1)
    assert refused.code == 4
    assert "do not move" in refused.err
    silent = a4d("fit-dynamic", "box.a4d", "--set", "sample.prior=compact-video")
    assert silent.code == 2
    assert "no words" in silent.err
    unknown = a4d("fit-dynamic", "box.a4d", "--set", "sample.prior=nonsense", "--prompt", "a box jumps")
    assert unknown.code == 3
    for message in (refused.err, silent.err, unknown.err):
        assert len(message.strip().splitlines()) <= 2, message


@pytest.mark.parametrize(("name", "content"), [("model.fbx", b"Kaydara FBX Binary"), ("points.obj", b"v 0 0 0\n")])
def test_files_without_a_surface_get_one_line(a4d, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refused = a4d("preprocess", name)
    assert refused.code == 3
    assert len(refused.err.strip().splitlines()) == 1
