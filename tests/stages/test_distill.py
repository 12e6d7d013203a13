"""A scene distilled through the command line: against the workspace's own frames."""

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
from distilled_animal import animal_workspace, rings, settings, write_capture, write_settings

from a4d.io.pictures.images import read_image
from a4d.scenes import load_scene

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def small_workspace(tmp_path_factory) -> Path:
    return animal_workspace(tmp_path_factory.mktemp("distill"))


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
