"""`a4d weights` as a user calls it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from local_hub import NEWEST, LocalHub
from pickled_attack import Attack

from a4d.errors import ExitCode
from a4d.priors.catalogue import catalogue


@pytest.fixture
def a4d(tmp_path):
    """The command in a process of its own, with an empty cache, and no network allowed unless a hub is named."""

    def run(*arguments, endpoint=None):
        network = {"HF_HUB_OFFLINE": "1"} if endpoint is None else {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
        environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "NO_COLOR": "1", **network}
        command = [sys.executable, "-m", "a4d", "weights", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    return run


def errors(result):
    """The lines by which a user is told what went wrong, of which there must be one."""
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("a4d: ")]
    return line


def test_the_list_names_size_licence_and_recipe(a4d):
    result = a4d("list")
    assert result.returncode == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("mv-vdm")]
    assert "2.58 GB" in line
    assert "Apache-2.0 as tagged" in line
    assert "animate3d" in line
    assert "not here" in line


def test_a_recipe_lists_what_it_uses_as_json(a4d):
    rows = json.loads(a4d("list", "animate3d", "--json").stdout)["weights"]
    assert [row["name"] for row in rows] == ["mv-vdm", "mvdream-1.5", "ip-adapter-1.5"]


def test_failures_are_one_line_with_their_exit_codes(a4d, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        (("check", "zero123-xl"), ExitCode.UNAVAILABLE, "a4d weights fetch zero123-xl"),
        (("check", "zero123-xl", "--weights", f"zero123-xl={empty}"), ExitCode.UNAVAILABLE, "has no unet/config.json"),
        (("fetch", "zero123-xl"), ExitCode.UNAVAILABLE, "HF_HUB_OFFLINE"),
        (("fetch",), ExitCode.USAGE, "a4d weights list"),
        (("list", "zero123-xxl"), ExitCode.INVALID, "Did you mean 'zero123-xl'"),
    ]
    for arguments, code, words in cases:
        result = a4d(*arguments)
        assert result.returncode == code, result.stderr
        assert words in errors(result)
    assert not (tmp_path / "cache" / "hub").exists()


@pytest.fixture
def hub(tmp_path):
    """A hub with one model under two names, and with much that nobody needs."""
    folder = tiny.save_all_but_the_unet(tmp_path / "served" / "model")
    tiny.unet().save_pretrained(folder / "unet")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")
    for name in ("v1-5-pruned.ckpt", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.non_ema.bin"):
        (folder / name).write_bytes(b"not needed")
    (folder / "code.py").write_text("raise SystemExit")
    names = [catalogue()[name].repositories[-1] for name in ("stable-diffusion-1.5", "stable-diffusion-2.1-base")]
    hub = LocalHub({**dict.fromkeys(names, folder), catalogue()["mvdream-2.1"].repositories[0]: folder})
    yield hub
    hub.close()


def test_a_model_is_fetched_checked_and_found_again_without_a_network(a4d, hub):
    name = "stable-diffusion-1.5"
    fetched = a4d("fetch", name, "--json", endpoint=hub.endpoint)
    assert fetched.returncode == 0, fetched.stderr
    assert f"{name}: 9" in fetched.stderr
    assert "CreativeML Open RAIL-M, from stable-diffusion-v1-5/stable-diffusion-v1-5 at 451f4fe16113" in fetched.stderr
    assert "warning" not in fetched.stderr
    (row,) = json.loads(fetched.stdout)["weights"]
    folder = Path(row["folder"])
    assert folder.name == catalogue()[name].revision
    stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"} < stored
    assert not [path for path in stored if path.endswith((".bin", ".ckpt", ".py")) or "safety" in path]
    checked = json.loads(a4d("check", "--json").stdout)["weights"]
    fetched_ones = [row for row in checked if row["repositories"]]
    assert [(row["name"], row["found_revision"]) for row in fetched_ones] == [(name, folder.name)]
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    result = a4d("check", name)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert f"`a4d weights fetch {name}`" in errors(result)


def test_a_mirror_serves_and_an_unpinned_commit_is_warned_of(a4d, hub):
    result = a4d("fetch", "stable-diffusion-2.1-base", endpoint=hub.endpoint)
    assert result.returncode == 0, result.stderr
    assert f"Manojb/stable-diffusion-2-1-base at {NEWEST[:12]}" in result.stderr
    assert "warning: no commit of Manojb/stable-diffusion-2-1-base is pinned" in result.stderr


def test_half_a_download_is_no_model_and_goes_on(a4d, hub, tmp_path):
    hub.cut_short = {"diffusion_pytorch_model.safetensors"}
    result = a4d("fetch", "mvdream-2.1", endpoint=hub.endpoint)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "ashawkey/mvdream-sd2.1-diffusers: " in errors(result)
    result = a4d("check", "mvdream-2.1")
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "are not on this machine" in errors(result)
    hub.cut_short, hub.served = set(), []
    assert a4d("fetch", "mvdream-2.1", endpoint=hub.endpoint).returncode == 0
    assert "diffusion_pytorch_model.safetensors" in hub.served
    assert "model.safetensors" not in hub.served
    assert a4d("check", "mvdream-2.1").returncode == 0


def test_an_unreachable_hub_and_an_incomplete_repository_are_one_line(a4d, hub, tmp_path):
    result = a4d("fetch", "zero123-xl", endpoint="http://127.0.0.1:9")
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "Check the network and HF_TOKEN" in errors(result)
    shutil.rmtree(tmp_path / "served" / "model" / "vae")
    result = a4d("fetch", "stable-diffusion-1.5", endpoint=hub.endpoint)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "holds no weights of vae" in errors(result)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_folder_is_checked_without_running_what_it_holds(a4d, hub, tmp_path):
    folder = tmp_path / "served" / "model"
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.non_ema.bin").unlink()
    attack = Attack(print, "this must never run")
    torch.save({"weight": torch.zeros(2), "more": attack}, folder / "unet" / "diffusion_pytorch_model.bin")
    result = a4d("check", "mvdream-2.1", "--weights", f"mvdream-2.1={folder}")
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "pickle payload" in errors(result)
    assert "never run" not in result.stdout
