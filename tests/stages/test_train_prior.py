"""A prior learns a subject through the command line, is stopped and goes on, and is distilled with what it learnt."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_models
import torch
import yaml
from blender_capture import preprocess_capture, write_blender_capture

from a4d.geometry.cameras import turntable
from a4d.geometry.primitives import creature, paint
from a4d.priors.released.mvdream import multi_view_config

ROOT = Path(__file__).parents[2]
NAME = "stable-diffusion-1.5"


@pytest.fixture(scope="module")
def eight_views(tmp_path_factory) -> Path:
    """A workspace of a painted animal from eight sides."""
    cameras = turntable(8, 10.0, 2.6, 40.0, 32)
    capture = tmp_path_factory.mktemp("eight") / "animal"
    return preprocess_capture(write_blender_capture(capture, paint(creature()), {"train": cameras}))


@pytest.fixture
def workspace(eight_views: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(eight_views, tmp_path / "animal.a4d"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Tiny random weights of a model of texts."""
    folder = tiny_models.save_all_but_the_unet(tmp_path / "model")
    tiny_models.unet().save_pretrained(folder / "unet")
    return folder


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def gradient_norms(a4d, workspace: Path, adapter: str, prompt: str, weights: str) -> list[float]:
    """Of the first step of a distillation, without an adapter and with it."""
    values = {
        "scene": {"kind": "gaussians", "count": 50},
        "views": {"around": {"kind": "orbit", "size": 32}},
        "priors": {"plain": {"kind": NAME}, "mine": {"kind": NAME, "adapters": [adapter]}},
        "objectives": [
            {"kind": "score-distillation", "views": "around", "prior": prior, "guidance_scale": 7, "t": [0.5, 0.5]}
            for prior in ("plain", "mine")
        ],
        "iterations": 1,
        "optimiser": {"rates": {"means": 1e-3}},
    }
    Path("distill.yaml").write_text(yaml.safe_dump(values))
    options = ("--config", "distill.yaml", "--prompt", prompt, "--weights", weights, "--force", "--json")
    result = a4d("distill", workspace, *options)
    assert result.code == 0, result.err
    return [result.json["metrics"][f"score-distillation/{prior}/around"] for prior in ("plain", "mine")]


@pytest.mark.parametrize("method", ["textual-inversion", "lora"])
def test_a_personalised_model_is_distilled(a4d, workspace: Path, model: Path, method: str) -> None:
    train = ("train-prior", method, workspace, "--iterations", 4, "--set", "rate=0.3")
    result = a4d(*train)
    assert (result.code, len(result.err.splitlines())) == (5, 1)
    assert f"`a4d weights fetch {NAME}`" in result.err
    assert not (workspace / "adapters").exists()
    named = ("--weights", f"{NAME}={model}")
    result = a4d(*train, *named, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["images"] == 8
    assert result.json["metrics"]["loss"] > 0
    assert a4d(*train, *named, "--json").json["status"] == "up to date"
    assert a4d("validate", workspace).code == 0
    plain, mine = gradient_norms(a4d, workspace, method, "a photo of <subject>", named[1])
    assert plain != pytest.approx(mine, rel=1e-3)
    shutil.rmtree(workspace / "adapters")
    result = a4d("distill", workspace, "--config", "distill.yaml", "--prompt", "<subject>", *named, "--force")
    assert (result.code, len(result.err.splitlines())) == (5, 1)
    assert "holds no adapter" in result.err


def test_a_token_of_ones_own_takes_the_place_of_a_trained_one(a4d, workspace: Path, model: Path) -> None:
    torch.save({"_panda_": torch.linspace(-1, 1, tiny_models.WIDTH)}, "mine.bin")
    bring = ("train-prior", "textual-inversion", workspace, "--embedding", "mine.bin", "--json")
    done = a4d(*bring)
    assert done.code == 0, done.err
    assert done.json["metrics"] == {"numbers": tiny_models.WIDTH}
    assert a4d(*bring).json["status"] == "up to date"
    assert a4d("validate", workspace).code == 0
    plain, mine = gradient_norms(a4d, workspace, "textual-inversion", "a _panda_", f"{NAME}={model}")
    assert plain != pytest.approx(mine, rel=1e-3)
    torch.save({"_panda_": torch.zeros(4), "more": print}, "mine.bin")
    refused = a4d(*bring, "--force")
    assert (refused.code, len(refused.err.splitlines())) == (5, 1)
    assert "pickle payload" in refused.err
    Path("mine.bin").unlink()
    assert a4d(*bring, "--force").code == 4
    assert a4d("train-prior", "lora", workspace, "--embedding", "mine.bin").code == 3


@pytest.mark.parametrize("method", ["textual-inversion", "lora"])
def test_a_stopped_training_goes_on_and_ends_with_the_same_bytes(
    a4d, workspace: Path, model: Path, tmp_path: Path, method: str
) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "other" / "animal.a4d"))
    arguments = (
        "--iterations", "60", "--set", "batch=2", "--set", "checkpoint_seconds=0.01",
        "--weights", f"{NAME}={model}", "--device", "cpu",
    )  # fmt: skip
    assert a4d("train-prior", method, workspace, *arguments).code == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "a4d", "train-prior", method, str(other), *arguments, "-q"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 200
    while not (other / f"stages/{method}.partial/checkpoint/state.safetensors").exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=100)
    assert child.returncode == 75, errors
    assert not (other / "adapters").exists()
    assert a4d("train-prior", method, other, *arguments).code == 0
    files = [next((path / "adapters" / method).iterdir()) for path in (workspace, other)]
    assert files[0].read_bytes() == files[1].read_bytes()
    logs = [(path / "stages" / method / "metrics.jsonl").read_text().splitlines() for path in (workspace, other)]
    assert len(logs[0]) == len(logs[1]) > 3


def test_rings_of_views_adapt_a_multi_view_model(a4d, workspace: Path, model: Path) -> None:
    shutil.rmtree(model / "unet")
    tiny_models.unet(**multi_view_config(tiny_models.UNET)).save_pretrained(model / "unet")
    named = ("--prior", "mvdream-2.1", "--weights", f"mvdream-2.1={model}", "--iterations", 2)
    result = a4d("train-prior", "lora", workspace, *named, "--json")
    assert result.code == 0, result.err
    assert result.json["metrics"]["images"] == 8
    result = a4d("train-prior", "lora", workspace, *named, "--set", "run=3", "--name", "other")
    assert (result.code, len(result.err.splitlines())) == (3, 1), result.err
    assert "4 views at once, not 3" in result.err
    result = a4d("train-prior", "lora", workspace, *named, "--set", "run=12", "--name", "other")
    assert (result.code, len(result.err.splitlines())) == (3, 1), result.err
    assert "8 images make no sample of 12" in result.err


def test_a_model_that_is_not_for_commercial_use_says_so(a4d, workspace: Path, model: Path) -> None:
    shutil.rmtree(model / "unet", ignore_errors=True)
    tiny_models.unet_3d().save_pretrained(model / "unet")
    named = ("--prior", "modelscope-1.7b", "--weights", f"modelscope-1.7b={model}", "--iterations", 1)
    result = a4d("train-prior", "lora", workspace, *named, "--set", "run=2")
    assert result.code == 0, result.err
    terms = "modelscope-1.7b: CC-BY-NC-4.0, not for commercial use"
    assert f"warning: {terms}" in result.err
    assert terms in json.loads((workspace / "stages/lora/record.json").read_text())["warnings"]


@pytest.mark.parametrize("subject", ["panda-dance", "fox-game"])
def test_tokens_that_others_have_learnt_are_read(
    a4d, workspace: Path, tmp_path: Path, real_data: Path, subject: str
) -> None:
    from a4d.priors.components import read_token

    adapter = real_data / "images_animate124" / "data" / subject
    token, embedding = read_token(adapter / "learned_embeds.bin")
    assert embedding.shape == (768,)
    folder = tiny_models.save_all_but_the_unet(tmp_path / "wide", width=768)
    tiny_models.unet(cross_attention_dim=768).save_pretrained(folder / "unet")
    plain, mine = gradient_norms(a4d, workspace, str(adapter), f"a photo of {token}", f"{NAME}={folder}")
    assert plain != pytest.approx(mine, rel=1e-4)
