"""A scene distilled through the command line: against the workspace's own frames, and where weights are missing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from blender_capture import preprocess_capture, write_blender_capture

from a4d.geometry.cameras import Cameras, concatenate, orbit
from a4d.geometry.primitives import creature, paint
from a4d.io.pictures.images import read_image
from a4d.scenes import load_scene

ROOT = Path(__file__).parents[2]


def write_capture(folder: Path, train: Cameras, test: Cameras) -> Path:
    """A painted animal from given cameras."""
    return write_blender_capture(folder, paint(creature()), {"train": train, "test": test})


def rings(size: int, elevations: tuple[float, ...], offsets: tuple[float, ...]) -> Cameras:
    """Four views a quarter turn apart for every elevation and offset, ring by ring."""
    quarter = torch.arange(4) * 90.0
    return concatenate(
        [
            orbit(quarter + offset, torch.full((4,), elevation), 2.6, 40.0, size, size)
            for elevation in elevations
            for offset in offsets
        ]
    )


def settings(steps: int, count: int, batch: int, views: int = 1) -> dict:
    """Distillation of Gaussians from a random ball against the exact prior of the frames, over black and white."""
    levels = ("black", "white")
    return {
        "seed": {"kind": "ball", "radius": 0.9},
        "scene": {"kind": "gaussians", "count": count, "opacity": 0.2},
        "views": {
            f"on-{level}": {"kind": "observed", "batch": batch, "run": views, "background": level} for level in levels
        },
        "priors": {level: {"kind": "exact", "background": level, "views": views} for level in levels},
        "objectives": [
            {
                "kind": "score-distillation", "views": f"on-{level}", "prior": level, "form": "x0",
                "guidance_scale": 1, "t": [0.02, {"from": 0.6, "to": 0.05, "steps": steps}],
            }
            for level in levels
        ],
        "iterations": steps,
        "optimiser": {
            "rates": {
                "means": {"from": 1e-2, "to": 5e-4, "steps": steps, "curve": "exponential"},
                "quaternions": 2e-2,
                "log_scales": 2e-2,
                "opacity_logits": 5e-2,
                "sh_base": {"from": 5e-2, "to": 1e-2, "steps": steps, "curve": "exponential"},
            }
        },
    }  # fmt: skip


def write_settings(values: dict) -> str:
    Path("distill.yaml").write_text(yaml.safe_dump(values))
    return "distill.yaml"


@pytest.fixture(scope="session")
def small_workspace(tmp_path_factory) -> Path:
    """Eight training and four held-out views of 32 pixels, preprocessed."""
    folder = tmp_path_factory.mktemp("distill")
    capture = write_capture(folder / "animal", rings(32, (10.0,), (0.0, 45.0)), rings(32, (20.0,), (20.0,)))
    return preprocess_capture(capture)


@pytest.fixture
def workspace(small_workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_workspace, tmp_path / "animal.a4d"))


@pytest.mark.parametrize("views", [1, 4], ids=["posed views", "rings of views"])
def test_a_random_ball_comes_to_look_like_the_frames(a4d, workspace: Path, views: int) -> None:
    steps = 120
    result = a4d("distill", workspace, "--config", write_settings(settings(steps, 600, 4, views)), "--json")
    assert result.code == 0, result.err
    figures = a4d("evaluate", workspace, "--json").json
    assert figures["split"] == "test"
    assert figures["psnr"] > 17
    assert figures["iou"] > 0.8
    assert result.json["metrics"]["psnr"] > 19
    lines = [json.loads(line) for line in (workspace / "stages/distill/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["score-distillation/black/on-black"] < 0.5 * lines[0]["score-distillation/black/on-black"]
    preview = read_image(workspace / f"stages/distill/previews/on-black_{steps:06d}.png")
    assert preview.shape[:2] == (32, 64)
    assert a4d("distill", workspace, "--config", "distill.yaml", "--json").json["status"] == "up to date"


KINDS = {
    "field": {
        "scene": {
            "kind": "field",
            "encoding": {"levels": 5, "table": 8192, "base_resolution": 8, "finest_resolution": 32},
            "density": {"bias": -1.0, "blob": 3.0, "blob_radius": 0.4},
            "sampling": {"steps": 64},
            "occupancy": {"resolution": 24, "threshold": 1.0},
        },
        "rates": {"encoding": 2e-2, "network": 5e-3},
    },
    "tetmesh": {
        "scene": {
            "kind": "tetmesh",
            "bound": 1.0,
            "surface": {
                "resolution": 24,
                "geometry": {
                    "kind": "network",
                    "encoding": {"levels": 4, "table": 8192, "base_resolution": 8, "finest_resolution": 32},
                    "start_resolution": 24,
                },
            },
            "material": {"encoding": {"levels": 4, "table": 8192, "base_resolution": 8, "finest_resolution": 48}},
            "shading": "albedo",
        },
        "rates": {"geometry_encoding": 5e-3, "geometry_network": 1e-3, "material_encoding": 2e-2,
                  "material_network": 5e-3},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_fields_and_surfaces_come_to_look_like_the_frames(a4d, workspace: Path, kind: str) -> None:
    values = settings(60, 0, 4, 4) | {"scene": KINDS[kind]["scene"]}
    values["optimiser"] = {"rates": KINDS[kind]["rates"]}
    result = a4d("distill", workspace, "--config", write_settings(values), "--json")
    assert result.code == 0, result.err
    assert load_scene(workspace / "scenes" / "distill").kind == kind
    figures = a4d("evaluate", workspace, "--json").json
    assert figures["psnr"] > 17
    assert figures["iou"] > 0.8


def test_a_given_scene_is_gone_on_from(a4d, workspace: Path) -> None:
    values = settings(20, 200, 4)
    assert a4d("distill", workspace, "--config", write_settings(values), "--name", "first").code == 0
    del values["scene"]
    config = ("--config", write_settings(values))
    assert a4d("distill", workspace, *config, "--from", "first", "--iterations", 0, "--name", "same").code == 0
    assert a4d("distill", workspace, *config, "--from", "first", "--name", "second").code == 0
    first, same, second = (
        load_scene(workspace / "scenes" / name).gaussians().means.detach() for name in ("first", "same", "second")
    )
    assert torch.equal(first, same)
    assert 0 < float((first - second).norm(dim=-1).mean()) < 0.2
    result = a4d("distill", workspace, *config, "--from", "second", "--name", "second", "--force")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "cannot take its own place" in result.err
    result = a4d("distill", workspace, *config, "--from", "third")
    assert (result.code, len(result.err.splitlines())) == (4, 1)
    assert "no scene 'third'" in result.err


def test_an_ellipsoid_is_begun_from(a4d, workspace: Path) -> None:
    values = settings(0, 500, 4) | {"seed": {"kind": "ellipsoid", "radius": 0.5, "axes": [1, 2, 0.5]}}
    assert a4d("distill", workspace, "--config", write_settings(values)).code == 0
    means = load_scene(workspace / "scenes/distill").gaussians().means.detach()
    assert float((means / torch.tensor([0.5, 1.0, 0.25])).norm(dim=-1).sub(1).abs().max()) < 0.02


def test_an_observed_image_and_a_prior_act_together_in_fit_static(a4d, workspace: Path) -> None:
    values = settings(30, 300, 4)
    distillation = {**values["objectives"][0], "weight": 0.1}
    values["objectives"] = [{"kind": "photometric", "views": "on-white"}, distillation]
    result = a4d("fit-static", workspace, "--config", write_settings(values | {"seed": {"kind": "ball"}}), "--json")
    assert result.code == 0, result.err
    assert {"photometric/on-white", "score-distillation/black/on-black"} <= result.json["metrics"].keys()


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(a4d, workspace: Path, tmp_path: Path) -> None:
    config = ("--config", write_settings(settings(60, 300, 4) | {"checkpoint_seconds": 0.01}), "--device", "cpu")
    other = Path(shutil.copytree(workspace, tmp_path / "other" / "animal.a4d"))
    assert a4d("distill", workspace, *config).code == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-m", "a4d", "distill", str(other), *config, "-q"], env=environment, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 100
    while not (other / "stages/distill.partial/checkpoint/state.safetensors").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 75
    assert a4d("distill", other, *config).code == 0
    tensors = [path / "scenes/distill/tensors.safetensors" for path in (workspace, other)]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("no_weights")
def test_missing_weights_are_named_before_anything_is_written(a4d, workspace: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    for arguments in (("a corgi wearing a beret",), (workspace, "--prompt", "a corgi")):
        result = a4d("distill", *arguments)
        assert (result.code, len(result.err.splitlines())) == (5, 1), result.err
        assert "`a4d weights fetch mvdream-2.1`" in result.err
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} <= {"animal.a4d", "hub"}


@pytest.mark.usefixtures("no_weights")
def test_the_text_of_a_workspace_is_the_prompt(a4d) -> None:
    foreseen = a4d("distill", "a corgi wearing a beret", "--print-config").out
    assert a4d("preprocess", "a corgi wearing a beret").code == 0
    printed = a4d("distill", "a-corgi-wearing-a-beret.a4d", "--print-config").out
    assert printed == foreseen
    values = yaml.safe_load(printed)
    assert values["objectives"][0]["prompt"] == "a corgi wearing a beret"
    assert values["priors"] == {
        "mvdream-2.1": {
            "kind": "mvdream-2.1",
            "dtype": None,
            "text_on_cpu": False,
            "images_at_once": 4,
            "samples_at_once": None,
            "adapters": [],
            "learns": None,
            "size": None,
            "views": None,
            "condition_frame_time_zero": None,
            "strength": None,
            "control_prompt": None,
        }
    }


@pytest.mark.usefixtures("no_weights")
def test_a_model_from_a_named_folder_moves_the_scene_and_is_recorded(a4d, workspace: Path, tmp_path: Path) -> None:
    import tiny_models

    name = "stable-diffusion-1.5"
    folder = tiny_models.save_all_but_the_unet(tmp_path / "model")
    values = settings(3, 100, 1) | {
        "views": {"around": {"kind": "orbit", "size": 32}},
        "priors": {},
        "objectives": [{"kind": "score-distillation", "views": "around", "prior": name, "guidance_scale": 7}],
    }
    arguments = ("distill", workspace, "--config", write_settings(values), "--prompt", "a cat")
    named = ("--weights", f"{name}={folder}")
    result = a4d(*arguments, *named)
    assert (result.code, len(result.err.splitlines())) == (5, 1), result.err
    assert not list((workspace / "stages").glob("distill*"))
    tiny_models.unet().save_pretrained(folder / "unet")
    result = a4d(*arguments, *named, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"][f"score-distillation/{name}/around"] > 0
    (used,) = json.loads((workspace / "stages/distill/record.json").read_text())["weights"]
    assert (used["id"], len(used["sha256"])) == (name, 64)
    # What is finished needs no weights to be called up to date.
    assert a4d(*arguments, "--json").json["status"] == "up to date"
    assert a4d(*arguments, *named, "--iterations", 0, "--name", "untouched").code == 0
    moved, still = (
        load_scene(workspace / "scenes" / each).gaussians().sh.detach() for each in ("distill", "untouched")
    )
    assert float((moved - still).abs().max()) > 1e-3


@pytest.mark.usefixtures("no_weights")
def test_a_prior_may_be_shown_a_scene_that_stays_as_it_is(a4d, workspace: Path, tmp_path: Path) -> None:
    import tiny_models

    name = "stable-diffusion-1.5"
    folder = tiny_models.save_all_but_the_unet(tmp_path / "model")
    tiny_models.unet().save_pretrained(folder / "unet")
    assert a4d("distill", workspace, "--config", write_settings(settings(0, 100, 4)), "--name", "before").code == 0
    kept = (workspace / "scenes/before/tensors.safetensors").read_bytes()
    asks = {"kind": "score-distillation", "views": "around", "prior": name, "guidance_scale": 7, "frozen": "before"}
    values = settings(2, 100, 1) | {
        "views": {"around": {"kind": "orbit", "size": 32}},
        "objectives": [asks],
        "priors": {name: {"images_at_once": 1, "samples_at_once": 1}},
        "offload": "all",
    }
    arguments = ("distill", workspace, "--config", write_settings(values), "--prompt", "a cat")
    named = ("--weights", f"{name}={folder}")
    result = a4d(*arguments, *named)
    assert result.code == 0, result.err
    record = json.loads((workspace / "stages/distill/record.json").read_text())
    assert "scenes/before" in record["input_paths"]
    assert (workspace / "scenes/before/tensors.safetensors").read_bytes() == kept
    # Where models lie is no part of what a result is compared by.
    assert a4d(*arguments, "--offload", "none", "--json").json["status"] == "up to date"
    result = a4d(*arguments, *named, "--name", "before", "--force")
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    values["objectives"] = [{**asks, "frozen": "after"}]
    result = a4d("distill", workspace, "--config", write_settings(values), "--prompt", "a cat", *named, "--force")
    assert (result.code, len(result.err.splitlines())) == (4, 1), result.err
    assert "no scene 'after'" in result.err


class Payload:
    def __reduce__(self):
        return (print, ("this must never run",))


def put_pickle(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": torch.zeros(2), "more": Payload()}, folder / "unet" / "diffusion_pytorch_model.ckpt")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FOLDERS = {
    "an empty folder": (lambda folder: shutil.rmtree(folder / "unet"), "unet holds no weights"),
    "half a download": (lambda folder: halve(folder / "unet" / "diffusion_pytorch_model.safetensors"), "unet"),
    "another architecture": (lambda folder: None, "another architecture"),
    "a pickle payload": (put_pickle, "pickle payload"),
}


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_weights_are_one_line_and_leave_nothing_behind(a4d, workspace: Path, tmp_path: Path, case: str) -> None:
    import tiny_models

    from a4d.priors.mvdream import multi_view_config

    folder = tiny_models.save_all_but_the_unet(tmp_path / "model")
    fits = case != "another architecture"
    tiny_models.unet(**(multi_view_config(tiny_models.UNET) if fits else {})).save_pretrained(folder / "unet")
    spoil, words = BAD_FOLDERS[case]
    spoil(folder)
    values = settings(3, 100, 4) | {
        "views": {"ring": {"kind": "orbit", "size": 32, "batch": 4, "ring": 4}},
        "priors": {},
        "objectives": [{"kind": "score-distillation", "views": "ring", "prior": "mvdream-2.1", "guidance_scale": 7}],
    }
    before = sorted(workspace.rglob("*"))
    options = ("--prompt", "a cat", "--weights", f"mvdream-2.1={folder}")
    result = a4d("distill", workspace, "--config", write_settings(values), *options)
    assert (result.code, len(result.err.splitlines())) == (5, 1), result.err
    assert words in result.err
    assert "never run" not in result.out
    assert sorted(workspace.rglob("*")) == before
    here = sorted(Path.cwd().iterdir())
    result = a4d("distill", "a corgi", "--weights", f"mvdream-2.1={folder}", "-q")
    assert (result.code, len(result.err.splitlines())) == (5, 1), result.err
    assert sorted(Path.cwd().iterdir()) == here


def test_mistakes_are_named(a4d, workspace: Path) -> None:
    values = settings(2, 50, 4)
    cases = {
        "no such prior": ({"objectives": [{**values["objectives"][0], "prior": "blakc"}]}, 3, "Did you mean 'black'"),
        "no such kind": ({"priors": {"black": {"kind": "stable-difusion-1.5"}}}, 3, "'stable-diffusion-1.5'"),
        "half an example": (
            {"priors": {"black": {"kind": "exact", "views": 3}, "white": {"kind": "exact"}}},
            3,
            "8 fr",
        ),
        "one prior too few": ({"priors": {"black": {"kind": "exact"}}}, 3, "prior: white"),
        "no frames": ({"priors": {key: {"kind": "exact", "split": "proxy"} for key in values["priors"]}}, 4, "'proxy'"),
        "half a run": ({"views": {"on-black": {"kind": "observed", "batch": 3, "run": 2}}}, 3, "multiple of run 2"),
        "a scene that is not there": ({"from_scene": "x"}, 4, "no scene"),
        "no prompt": ({"objectives": [{**values["objectives"][0], "prior": "stable-diffusion-1.5"}]}, 3, "--prompt"),
        "no such folder": ({"weights": "mvdream-2.1=nowhere"}, 2, "no folder nowhere"),
    }
    for name, (change, code, words) in cases.items():
        result = a4d("distill", workspace, "--config", write_settings({**values, **change}))
        assert (result.code, len(result.err.splitlines())) == (code, 1), (name, result.err)
        assert words in result.err, (name, result.err)
        assert not list((workspace / "stages").glob("distill*")), name


def hidden_object_figures(a4d, values: dict) -> dict:
    """Scores on 16 held-out views of a distillation from 24 others."""
    train = rings(64, (-10.0, 15.0, 40.0), (0.0, 45.0))
    capture = write_capture(Path("animal"), train, rings(64, (0.0, 25.0), (20.0, 65.0)))
    assert a4d("preprocess", capture).code == 0
    result = a4d("distill", "animal.a4d", "--config", write_settings(values), "--json")
    assert result.code == 0, result.err
    figures = a4d("evaluate", "animal.a4d", "--json").json
    assert (figures["split"], len(figures["views"])) == ("test", 16)
    return figures


@pytest.mark.slow
def test_the_hidden_object_is_found_through_the_command_line(a4d) -> None:
    figures = hidden_object_figures(a4d, settings(400, 4000, 4))
    assert figures["psnr"] >= 22
    assert figures["iou"] >= 0.9


@pytest.mark.slow
def test_a_prior_that_does_not_know_the_view_hides_it(a4d) -> None:
    values = settings(400, 4000, 4)
    for prior in values["priors"].values():
        prior["posed"] = False
    figures = hidden_object_figures(a4d, values)
    assert figures["psnr"] < 18
    assert figures["iou"] < 0.7
