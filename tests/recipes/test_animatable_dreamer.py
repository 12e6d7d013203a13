"""animatable_dreamer.sh, and its stages with tiny random models: a film to bones that carry another subject."""

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_models as tiny
import torch
import yaml
from bending import bend

from a4d.config import overlaid, value_at
from a4d.contents.subjects import SubjectRequest, load_subject
from a4d.geometry.cameras import Y_UP_FROM_Z_UP, opencv_from_opengl, turntable
from a4d.geometry.primitives import box, paint
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.frame_channels import write_flow
from a4d.io.pictures.images import write_image
from a4d.objectives import build_objectives
from a4d.optimise import _Loop
from a4d.priors.released.mvdream import multi_view_config
from a4d.render.mesh import render_mesh
from a4d.scenes import load_scene
from a4d.workspace.workspace import Workspace

RECIPE = "animatable_dreamer.sh"
FILE = Path(__file__).parents[2] / "recipes" / "animatable_dreamer" / "paper.yaml"
FRAMES, SIZE = 6, 32
SMALL_FIELD = {
    "bones": 8,
    "skinning": {"width": 8, "layers": 1, "harmonics": 2},
    "motion": {"layers": 1, "width": 8, "harmonics": 2},
    "canonical": {
        "trunk": {"width": 16, "layers": 2, "skip": 1, "frequencies": 3, "colour_frequencies": 3, "colour_layers": 1},
        "head_width": 16,
        "features": {"channels": 4, "frequencies": 2, "width": 8, "layers": 1},
        "start_resolution": 16,
    },
    "sampling": {"steps": 24},
    "occupancy": {"resolution": 12},
    "surface_resolution": 16,
}
SMALL = {
    # Flow is found in films alone; the test writes its own.
    "preprocess": {"size": SIZE, "feature_channels": 4, "flow": None},
    "fit-dynamic": {"scene": SMALL_FIELD, "seed": {"resolution": 24}, "iterations": 3},
    "distill": {"iterations": 4},
    "refine": {"iterations": 4},
    "export": {"formats": "glb"},
}
ABLATIONS = [
    "without=[score-distillation]",
    "without=[bone-displacement]",
    "without=[skeleton-range]",
    "without=[bone-displacement,skeleton-range]",
    "views.around.moment=null",
    "objectives.0.reaches=null",
]


def rehearsal(folder: Path) -> Path:
    """The paper's file with small numbers."""
    values = overlaid(yaml.safe_load(FILE.read_text()), SMALL)
    for section in ("fit-dynamic", "distill", "refine"):
        for name, views in values[section]["views"].items():
            views.update({"size": SIZE, **({"batch": 2} if name != "around" else {})})
            views.update({"patch": 16, "pairs": {"strides": [1]}} if name == "pairs" else {})
        for objective in values[section]["objectives"]:
            objective.update({"points": 32} if "points" in objective else {})
            objective.update({"patch": 16} if "patch" in objective else {})
    (folder / "small.yaml").write_text(yaml.safe_dump(values))
    return folder / "small.yaml"


def write_film(folder: Path, angles: Sequence[float]) -> Path:
    """A bar that bends, from a camera that goes around it once."""
    bar, cameras = paint(box((0.3, 1.2, 0.3))), turntable(len(angles), 10.0, 2.6, 40.0, SIZE)
    frames = []
    for index, angle in enumerate(angles):
        render = render_mesh(bar.with_vertices(bend(bar.vertices, angle)), cameras[index])
        rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0]
        write_image(folder / f"images/{index}.png", rgba.clamp(0, 1).numpy())
        pose = Y_UP_FROM_Z_UP.T @ opencv_from_opengl(cameras.world_from_camera[index])
        time = {"time": index / (len(angles) - 1)}
        frames.append({"file_path": f"images/{index}.png", "transform_matrix": pose.tolist(), **time})
    document = {"camera_angle_x": math.radians(40.0), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


def write_still_flow(workspace: Path) -> None:
    """The flow of frames in which nothing moves, to the next one."""
    still, known = np.zeros((SIZE, SIZE, 2), np.float32), np.ones((SIZE, SIZE), bool)
    (workspace / "flow/forward_1").mkdir(parents=True)
    for file in sorted((workspace / "images").glob("*.png"))[:-1]:
        write_flow(workspace / f"flow/forward_1/{file.stem}.npz", still, known)


@pytest.fixture(scope="module")
def site(tmp_path_factory, a4d_in) -> tuple[Path, tuple[object, ...]]:
    """A folder with a film that was fitted, and what every command is told."""
    folder = tmp_path_factory.mktemp("site")
    models = tiny.save_all_but_the_unet(folder / "mvdream-2.1")
    tiny.unet(**multi_view_config(tiny.UNET)).save_pretrained(models / "unet")
    tiny.save_dinov2(folder / "dinov2-small")
    weights = f"mvdream-2.1={models},dinov2-small={folder / 'dinov2-small'}"
    told = ("--config", rehearsal(folder), "--weights", weights)
    write_film(folder / "bar", torch.linspace(0, 1, FRAMES).tolist())
    taken_in(folder, "bar", told, a4d_in)
    write_still_flow(folder / "bar.a4d")
    done = a4d_in(folder, "fit-dynamic", "bar.a4d", *told, "--prompt", "a bar", "--accept")
    assert done.code == 0, done.err
    return folder, told


def taken_in(folder: Path, film: str, told: Sequence[object], a4d_in) -> None:
    for command in (("preprocess", film, *told), ("estimate-pose", f"{film}.a4d", *told[:2])):
        done = a4d_in(folder, *command)
        assert done.code == 0, (command[0], done.err)


def tensors(folder: Path, name: str) -> bytes:
    return (folder / "bar.a4d/scenes" / name / "tensors.safetensors").read_bytes()


def carried_film(workspace: Path, scene: str) -> int:
    """How many frames give the surface of a scene its looks when it leaves."""
    subject = load_subject(Workspace.open(workspace), SubjectRequest(scene=scene, is_textured=True))
    return 0 if subject.film is None else len(subject.film)


def test_extraction_learns_shape_bones_and_features(site) -> None:
    folder, _ = site
    scene = load_scene(folder / "bar.a4d/scenes/fit-dynamic")
    assert len(scene.bones().radii) == 8
    assert float(scene.bone_transforms([0.1, 0.9]).detach().diff(dim=0).abs().max()) > 0
    metrics = json.loads((folder / "bar.a4d/stages/fit-dynamic/record.json").read_text())["metrics"]
    asked = {"score-distillation/mvdream-2.1/around", "flow/pairs", "feature-match/pairs", "eikonal", "warp-cycle/film"}
    asked |= {"feature-reprojection/pairs", "focal_scale"}
    assert asked <= metrics.keys()
    assert all(math.isfinite(value) for value in metrics.values() if isinstance(value, float))


def test_generation_that_is_killed_and_resumed_has_the_same_bytes(site, a4d_in) -> None:
    folder, told = site
    command = ("distill", "bar.a4d", *told, "--from", "fit-dynamic", "--prompt", "a squirrel")
    assert a4d_in(folder, *command, "--name", "whole").code == 0
    step = _Loop.step

    def dies(loop: _Loop, index: int):
        if index == 2:
            raise KeyboardInterrupt
        return step(loop, index)

    often = ("--checkpoint-seconds", 1e-6)
    with mock.patch.object(_Loop, "step", dies):
        assert a4d_in(folder, *command, "--name", "cut", *often).code != 0
    assert (folder / "bar.a4d/stages/cut.partial/checkpoint/state.safetensors").is_file()
    done = a4d_in(folder, *command, "--name", "cut", *often)
    assert done.code == 0, done.err
    assert tensors(folder, "cut") == tensors(folder, "whole")
    assert tensors(folder, "whole") != tensors(folder, "fit-dynamic")
    metrics = json.loads((folder / "bar.a4d/stages/whole/record.json").read_text())["metrics"]
    assert {"bone-displacement", "skeleton-range"} <= metrics.keys()
    shown = {name: carried_film(folder / "bar.a4d", name) for name in ("fit-dynamic", "whole")}
    assert shown == {"fit-dynamic": FRAMES, "whole": 0}, "the film shows no squirrel"


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablations_are_single_settings(site, a4d_in, ablation: str) -> None:
    folder, told = site
    assert f"--set {ablation}" in FILE.read_text()
    command = ("distill", "bar.a4d", *told, "--from", "fit-dynamic", "--prompt", "a squirrel", "--iterations", 1)
    done = a4d_in(folder, *command, "--name", "ablation", "--set", ablation, "--force", "--json")
    assert done.code == 0, done.err


def test_another_film_moves_the_same_model(site, a4d_in) -> None:
    folder, told = site
    write_film(folder / "other", torch.linspace(0.8, -0.8, FRAMES).tolist())
    taken_in(folder, "other", told, a4d_in)
    done = a4d_in(folder, "refine", "other.a4d", *told[:2], "--from", "bar.a4d/scenes/fit-dynamic")
    assert done.code == 0, done.err
    model = load_scene(folder / "bar.a4d/scenes/fit-dynamic").state_dict()
    followed = load_scene(folder / "other.a4d/scenes/refine").state_dict()
    poses, own = ("articulation.", "root."), ("log_focal", "course.", "occupancy", "steps_done")
    kept = {name for name in model if not name.startswith((*poses, *own))}
    assert all(torch.equal(model[name], followed[name]) for name in kept)
    assert not all(torch.equal(model[name], followed[name]) for name in model if name.startswith(poses))


def test_what_was_extracted_leaves_as_a_moving_asset(site, a4d_in) -> None:
    folder, told = site
    done = a4d_in(folder, "export", "bar.a4d", *told[:2], "--from", "fit-dynamic", "--stem", "bar")
    assert done.code == 0, done.err
    asset = read_gltf(folder / "bar.a4d/exports/bar.glb")
    assert asset.clips[0].duration > 0
    assert asset.skins


def test_a_film_without_a_prior_becomes_a_moving_asset(run_recipe, tmp_path: Path) -> None:
    write_film(tmp_path / "bar", torch.linspace(0, 1, FRAMES).tolist())
    small = {
        "A4D_FIT_DYNAMIC": "--iterations 2 --set scene.count=200 --set scene.resolution=24 --set seed.resolution=24",
        "A4D_EXPORT": "--formats glb",
    }
    done = run_recipe(RECIPE, "bar", "--profile", "compact", "--accept", **small)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "film"
    names = read_gltf(tmp_path / "bar.a4d/exports/film.glb").skeleton(0).names
    assert read_gltf(tmp_path / "bar.a4d/exports/film.glb").clips[0].duration > 0
    waiting = yaml.safe_load((tmp_path / "bar.a4d/exports/film-joints.yaml").read_text())
    assert waiting == dict.fromkeys(names)
    assert (tmp_path / "bar.a4d/exports/film-joints.png").is_file()


def test_joints_that_have_numbers_are_paired_before_a_motion_capture_is_asked_for(run_recipe, tmp_path: Path) -> None:
    for name in ("cat.mp4", "walk.bvh"):
        (tmp_path / name).touch()
    refused = run_recipe(RECIPE, "cat.mp4", "--motion", "walk.bvh")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "a copy of exports/film-joints.yaml, as exports/film-joints.png shows them" in refused.stderr


@pytest.fixture
def calls(run_recipe, tmp_path: Path):
    """What a recipe calls of a4d, which does nothing."""

    def called(*options: str) -> list[str]:
        program = tmp_path / "programs" / "a4d"
        program.parent.mkdir(exist_ok=True)
        made = '[ "$1" = export ] && mkdir -p "$2/exports/film.glb"'
        program.write_text(f'#!/bin/sh\necho "$@" >> calls\n{made}\nexit 0\n')
        program.chmod(0o755)
        path = os.pathsep.join(map(str, (program.parent, Path(sys.executable).parent, os.environ["PATH"])))
        done = run_recipe(RECIPE, "cat.mp4", "--profile", "compact", "--accept", *options, PATH=path)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "calls").read_text().splitlines()

    for name in ("cat.mp4", "cameras.json", "walk.bvh", "pairs.yaml"):
        (tmp_path / name).touch()
    return called


def test_given_cameras_see_what_moves_and_joints_are_paired_for_the_motion_alone(calls) -> None:
    given = ("--cameras", "cameras.json", "--motion", "walk.bvh", "--joints", "pairs.yaml")
    called = calls(*given)
    assert [call.split()[0] for call in called] == ["preprocess", "estimate-pose", "fit-dynamic", "export", "export"]
    assert "--cameras cameras.json --moving" in called[1]
    assert all(call.split().count("--accept") == 1 for call in called)
    assert ["--joints pairs.yaml" in call for call in called[3:]] == [False, True]


def test_cameras_that_are_not_given_are_found(calls) -> None:
    called = calls()
    assert [call.split()[0] for call in called] == ["preprocess", "estimate-pose", "fit-dynamic", "export"]
    assert "--method object" in called[1]
    assert "--name film" in called[2]


def test_noise_levels_fall_over_eight_thousand_steps() -> None:
    (asked, *_) = yaml.safe_load(FILE.read_text())["distill"]["objectives"]
    (distillation,) = build_objectives([asked], "a squirrel")
    found = [[round(value_at(share, step), 6) for share in distillation.t] for step in (0, 4000, 8000)]
    assert found == [[0.98, 0.98], [0.5, 0.74], [0.02, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], RECIPE),
        (["a.mp4", "b.mp4"], RECIPE),
        (["a.mp4", "--fast", "1"], RECIPE),
        (["film.mp4", "--profile", "compact", "--generate", "a squirrel"], "add --profile paper"),
        (["film.mp4", "--profile", "paper"], "add --subject"),
        (["film.mp4", "--profile", "best"], "choose from: compact paper"),
    ],
)
def test_what_is_no_call_of_it_says_so(run_recipe, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "film.mp4").touch()
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("added", ["--formats ply --stem cat", "--name=mine", "--from other"])
def test_what_its_stages_are_called_is_said_before_anything_is_run(run_recipe, tmp_path: Path, added: str) -> None:
    (tmp_path / "film.mp4").touch()
    done = run_recipe(RECIPE, "film.mp4", A4D_EXPORT=added)
    assert done.returncode == 2
    assert done.stderr.startswith("A4D_EXPORT says --")
    assert done.stderr.count("\n") == 1


def test_files_that_are_not_there_are_one_line(run_recipe, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    for option in ([], ["--masks"], ["--cameras"], ["--motion"], ["--joints"]):
        done = run_recipe(RECIPE, *(["film.mp4", *option] if option else []), "absent")
        assert (done.returncode, done.stderr.strip()) == (4, "there is no 'absent'")
