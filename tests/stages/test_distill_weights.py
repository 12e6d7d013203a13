"""A scene distilled through the command line by models of named folders: missing, whole, and spoilt ones."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
import yaml
from distilled_animal import animal_workspace, settings, write_settings
from pickled_attack import Attack

from a4d.priors.released.mvdream import multi_view_config
from a4d.scenes import load_scene


@pytest.fixture(scope="session")
def small_workspace(tmp_path_factory) -> Path:
    return animal_workspace(tmp_path_factory.mktemp("distill"))


@pytest.fixture
def workspace(small_workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_workspace, tmp_path / "animal.a4d"))


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_missing_weights_are_named_before_anything_is_written(a4d, workspace: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    for arguments in (("a corgi wearing a beret",), (workspace, "--prompt", "a corgi")):
        result = a4d("distill", *arguments)
        assert (result.code, len(result.err.splitlines())) == (5, 1), result.err
        assert "`a4d weights fetch mvdream-2.1`" in result.err
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} <= {"animal.a4d", "hub"}


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


def test_a_model_from_a_named_folder_moves_the_scene_and_is_recorded(a4d, workspace: Path, tmp_path: Path) -> None:
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


def test_a_prior_may_be_shown_a_scene_that_stays_as_it_is(a4d, workspace: Path, tmp_path: Path) -> None:
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


def put_pickle(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    attack = Attack(print, "this must never run")
    torch.save({"conv_in.weight": torch.zeros(2), "more": attack}, folder / "unet" / "diffusion_pytorch_model.ckpt")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FOLDERS = {
    "an empty folder": (lambda folder: shutil.rmtree(folder / "unet"), "unet holds no weights"),
    "half a download": (lambda folder: halve(folder / "unet" / "diffusion_pytorch_model.safetensors"), "unet"),
    "another architecture": (lambda folder: None, "another architecture"),
    "a pickle payload": (put_pickle, "pickle payload"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_weights_are_one_line_and_leave_nothing_behind(a4d, workspace: Path, tmp_path: Path, case: str) -> None:
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
