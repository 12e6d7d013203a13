"""A film of one orbiting camera, of whose subject nothing is known: a shape, bones, and how often it moves."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from a4d.contents.frames import load_frames
from a4d.estimation import silhouettes
from a4d.estimation.repetition import ENOUGH
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import write_image
from a4d.render.mesh import render_mesh
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

RECIPE = Path(__file__).resolve().parents[2] / "recipes/animatable_dreamer/compact.yaml"
COUNT, SIZE, CYCLES, TURNS = 60, 48, 5, 2.0
QUICK = (
    "--iterations", 6, "--set", "scene.count=150", "--set", "scene.bones=3", "--set", "scene.resolution=32",
    "--set", "seed.resolution=32", "--set", "views.film.size=32",
)  # fmt: skip


def waving(phase: float) -> Mesh:
    """A ball with an arm that goes up and down."""
    ball, arm = icosphere(0.35, 2), icosphere(0.2, 2)
    offset = torch.tensor([0.55, 0.45 * math.sin(2 * math.pi * phase), 0.0])
    vertices = torch.cat([ball.vertices, arm.vertices * torch.tensor([2.0, 0.6, 0.6]) + offset])
    colours = torch.tensor([[0.9, 0.3, 0.1], [0.1, 0.3, 0.9]]).repeat_interleave(len(ball.vertices), 0)
    return Mesh(vertices, torch.cat([ball.faces, arm.faces + len(ball.vertices)]), colours)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film") / "waving"
    folder.mkdir()
    times = torch.arange(COUNT) / COUNT
    cameras = orbit(360 * TURNS * times, torch.full((COUNT,), 15.0), 3.0, 40.0, SIZE, SIZE)
    paths = [folder / f"{index:03d}.png" for index in range(COUNT)]
    for index, path in enumerate(paths):
        render = render_mesh(waving(CYCLES * float(times[index])), cameras[index])
        write_image(
            path, torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], -1)[0].clamp(0, 1).numpy()
        )
    capture = PosedCapture(
        images=tuple(paths),
        world_from_camera=cameras.world_from_camera.double().numpy(),
        intrinsics=cameras.intrinsics.expand(COUNT, 4).double().numpy(),
        sizes=np.full((COUNT, 2), SIZE),
        times=times.double().numpy(),
        up_axis="+y",
    )
    write_transforms(folder / "transforms.json", capture)
    return folder


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silhouettes, "GRID", 24)


@pytest.mark.usefixtures("coarse")
def test_a_film_becomes_a_scene_of_bones_and_the_cycles_are_said(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    result = a4d("fit-dynamic", "waving.a4d", *QUICK)
    assert result.code in (0, 7), result.err
    assert "repeats" in " ".join(result.err.split())
    scene = load_scene(Path("waving.a4d/scenes/fit-dynamic"))
    assert scene.kind == "articulated"
    assert scene.config.cycles == pytest.approx(CYCLES, abs=0.1)
    assert len(scene.bones().radii) == 3
    metrics = Workspace.open(Path("waving.a4d")).read_records()["fit-dynamic"].metrics
    assert metrics["cycles"] == pytest.approx(CYCLES, abs=0.1)
    assert metrics["cycles_evidence"] > ENOUGH
    untold = a4d("evaluate", "waving.a4d", "--protocol", "banmo")
    assert (untold.code, "no shape to compare with" in untold.err) == (4, True)
    assert not any(tensor.any() for tensor in scene.course.parameters()), "these cameras were given"
    assert "strayed_degrees" not in metrics


@pytest.mark.usefixtures("coarse")
def test_errors_of_cameras_are_not_laid_on_others_that_were_found_since(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    path = Path("waving.a4d/transforms.json")
    told = {**json.loads(path.read_text()), "approximate": True}
    path.write_text(json.dumps(told))
    assert a4d("fit-dynamic", "waving.a4d", *QUICK, "--cycles", CYCLES).code in (0, 7)
    assert a4d("evaluate", "waving.a4d").code == 0
    refine = ("refine", "waving.a4d", "--from", "fit-dynamic", "--iterations", 1, "--set", "views.film.size=32")
    assert "forgotten" not in a4d(*refine, "--config", RECIPE).err
    assert load_scene(Path("waving.a4d/scenes/refine")).has_learnt_cameras

    told["frames"][0]["transform_matrix"][2][3] += 0.1
    path.write_text(json.dumps(told))
    refused = a4d("evaluate", "waving.a4d", "--scene", "fit-dynamic")
    assert refused.code == 3
    assert "'fit-dynamic'" in refused.err
    assert "a4d fit-dynamic waving.a4d" in refused.err
    anew = a4d(*refine, "--config", RECIPE, "--force")
    assert "forgotten" in anew.err
    assert not load_scene(Path("waving.a4d/scenes/refine")).has_learnt_cameras


@pytest.mark.usefixtures("coarse")
def test_its_model_leaves_with_a_texture_of_the_film_or_the_colours_of_its_vertices(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    assert a4d("fit-dynamic", "waving.a4d", *QUICK, "--cycles", CYCLES).code in (0, 7)
    found = {}
    for name, chosen in (("pictured", ()), ("plain", ("--texture", 0))):
        assert a4d("export", "waving.a4d", "--formats", "glb", "--name", name, "--stem", name, *chosen).code in (0, 7)
        found[name] = read_gltf(Path(f"waving.a4d/exports/{name}.glb"))
    maps = {name: asset.materials[0].base_colour_map for name, asset in found.items()}
    colours = {name: asset.meshes[0].primitives[0].colours for name, asset in found.items()}
    assert [maps["pictured"] is None, colours["pictured"] is None] == [False, True]
    assert [maps["plain"] is None, colours["plain"] is None] == [True, False]
    assert found["pictured"].skins
    read = Workspace.open(Path("waving.a4d")).read_records()["pictured"].input_paths
    assert "images" in read, "a texture is out of date when the frames change"


@pytest.mark.usefixtures("coarse")
def test_how_far_cameras_stray_that_the_subject_told_is_learnt_and_said(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    path = Path("waving.a4d/transforms.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "approximate": True}))
    result = a4d("fit-dynamic", "waving.a4d", *QUICK, "--cycles", CYCLES)
    assert result.code in (0, 7), result.err
    scene, frames = load_scene(Path("waving.a4d/scenes/fit-dynamic")), load_frames(Workspace.open(Path("waving.a4d")))
    metrics = Workspace.open(Path("waving.a4d")).read_records()["fit-dynamic"].metrics
    turns = [
        said.world_from_camera[0, :3, :3].T @ seen.world_from_camera[0, :3, :3]
        for said, seen in zip(frames.cameras, frames.seen_by(scene).cameras, strict=True)
    ]
    degrees = [math.degrees(math.acos(min((float(turn.trace()) - 1) / 2, 1))) for turn in turns]
    assert metrics["strayed_degrees"] == pytest.approx(sum(degrees) / COUNT, rel=0.05)
    assert 0 < metrics["strayed_share"] < 0.1


@pytest.mark.usefixtures("coarse")
def test_cycles_may_be_said_and_without_any_the_motion_is_slower(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    assert a4d("fit-dynamic", "waving.a4d", *QUICK, "--cycles", 0).code in (0, 7)
    scene = load_scene(Path("waving.a4d/scenes/fit-dynamic"))
    assert scene.config.cycles == 0
    assert scene.config.motion.harmonics == 4
    assert not scene.is_periodic
    result = a4d(
        "fit-dynamic", "waving.a4d", *QUICK, "--set", "lacking.unrepeated.weights.flow=1", "--cycles", 0, "--name", "x"
    )
    assert result.code == 3
    assert "lacking.unrepeated.weights.flow" in result.err


def test_a_sequence_is_of_databases_alone(a4d, film: Path) -> None:
    result = a4d("preprocess", film, "--sequence", "cat")
    assert result.code == 2
    assert "--sequence" in result.err


def test_what_holds_of_cameras_that_were_found_is_checked_where_they_were_given(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    result = a4d("fit-dynamic", "waving.a4d", "--set", "lacking.strayed.rate.course=1e-3", "--dry-run")
    assert result.code == 3
    assert "lacking.strayed.rate" in result.err


def test_cycles_of_a_motion_that_cannot_repeat_are_refused(a4d, film: Path) -> None:
    assert a4d("preprocess", film).code == 0
    result = a4d("fit-dynamic", "waving.a4d", "--profile", "fit-dynamic-frames", "--cycles", 5, "--dry-run")
    assert result.code == 2
    assert "--cycles" in result.err


@pytest.mark.slow
def test_a_killed_and_resumed_fit_ends_with_the_same_bits(a4d, film: Path, tmp_path: Path) -> None:
    assert a4d("preprocess", film, "--flow", "dis", "--set", "flow_strides=[1]").code == 0
    command = ["fit-dynamic", "waving.a4d", *map(str, QUICK), "--cycles", "5", "--accept", "--iterations", "40"]
    assert a4d(*command, "--name", "whole").code in (0, 7)
    run = [sys.executable, "-m", "a4d", *command, "--name", "cut", "--checkpoint-seconds", "0.01"]
    process = subprocess.Popen(run, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = tmp_path / "waving.a4d" / "stages" / "cut.partial" / "checkpoint" / "state.safetensors"
    deadline = time.monotonic() + 300
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.is_file()
    assert a4d(*command, "--name", "cut", "--checkpoint-seconds", "0.01").code in (0, 7)
    whole, cut = (tmp_path / f"waving.a4d/scenes/{name}/tensors.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()
