"""Clips that a prior draws: how it is asked by default, what the user may say, and the files that are left."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tiny_mv_vdm import as_released, mv_vdm, save_mv_vdm

from a4d.errors import ConfigError
from a4d.fitting.sample_settings import SampleConfig
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.primitives import box, paint
from a4d.io.assets.glb_asset import write_asset
from a4d.io.pictures.images import read_image
from a4d.objectives import build_objectives
from a4d.objectives.priors import prior_settings
from a4d.priors.sampling import sampling_timesteps
from a4d.priors.schedule import noise_schedule

MV_VDM = {"views": 4, "frames": 16, "size": [256, 256], "elevation": 15.0, "radius": 3.0, "fov": 40.0,
          "background": "grey", "steps": 25, "guidance_scale": 7.5, "spacing": "leading", "free_init": 3}  # fmt: skip
COMPACT = {"views": 4, "frames": 8, "periodic": True, "size": [128, 128], "elevation": 10.0, "fill": 0.53, "fov": 35.0,
           "background": "white", "steps": 4, "guidance_scale": 1.5, "spacing": "trailing", "free_init": 1}  # fmt: skip


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> dict[str, Path]:
    folders = save_mv_vdm(tmp_path_factory.mktemp("released"), mv_vdm())
    as_released(folders, distributed=True)
    return folders


@pytest.fixture
def box_workspace(a4d, tmp_path: Path) -> Path:
    write_asset(tmp_path / "box.glb", static_asset("box", primitive_from_mesh(paint(box((0.6, 1.0, 0.4))))))
    done = a4d("preprocess", "box.glb", "--views", 2, "--test-views", 0, "--size", 32)
    assert done.code == 0, done.err
    return tmp_path / "box.a4d"


@pytest.mark.parametrize(("prior", "own"), [("mv-vdm", MV_VDM), ("compact-video", COMPACT)])
def test_a_prior_is_sampled_as_it_draws_best_unless_told_otherwise(a4d, box_workspace, prior, own) -> None:
    def resolved(*more: object) -> dict:
        done = a4d("fit-dynamic", box_workspace, "--prompt", "a box jumps", *more, "--print-config")
        assert done.code == 0, done.err
        return yaml.safe_load(done.out)["sample"]

    plain = resolved("--set", f"sample={{prior: {prior}, prompt: a box hops}}")
    assert {key: plain[key] for key in own} == own
    assert plain["prompt"] == "a box hops"
    root = Path(__file__).parents[2] / "recipes" / "animate3d"
    recipe = root / ("paper.yaml" if prior == "mv-vdm" else "compact.yaml")
    by_recipe = resolved("--config", recipe, "--set", "sample.steps=7")
    assert {key: by_recipe[key] for key in own} == {**own, "steps": 7}


def test_the_released_sampler_s_timesteps() -> None:
    """As measured: 961, 921 ... 41, 1 of linear betas; the last step ends in clean latents."""
    schedule = noise_schedule("linear")
    assert sampling_timesteps(schedule, 25, "leading") == list(range(961, 0, -40))
    expected = torch.tensor([0.99915, 0.979999, 0.673262, 0.002478, 0.001579])
    torch.testing.assert_close(schedule.alphas_cumprod[[0, 20, 200, 961, 999]].float(), expected, atol=1e-6, rtol=0)


def test_what_a_prior_cannot_be_told_is_said_before_anything_runs() -> None:
    assert SampleConfig(prior="mv-vdm", size=320).options["size"] == (320, 320)
    several = SampleConfig(prior="mv-vdm", views=6, size=[256, 320], condition_frame_time_zero=True)
    assert several.options == {"views": 6, "size": (256, 320), "condition_frame_time_zero": True}
    assert SampleConfig(prior="compact-video", size=96).options == {}
    with pytest.raises(ConfigError, match="compact-video cannot be told its 'views'"):
        SampleConfig(prior="compact-video", views=6)
    with pytest.raises(ConfigError, match=r"draws no multi-view videos. Choose mv-vdm, compact-video"):
        SampleConfig(prior="mvdream-2.1")


def test_priors_of_objectives_take_views_and_size_by_name_alone() -> None:
    asking = [{"kind": "score-distillation", "views": "ring", "prior": "mv-vdm", "prompt": "x", "guidance_scale": 5}]
    configs = prior_settings({"mv-vdm": {"views": 6, "size": [320, 256]}}, build_objectives(asking))
    assert configs["mv-vdm"].options == {"views": 6, "size": (320, 256)}
    with pytest.raises(ConfigError, match="cannot be told its 'views'"):
        prior_settings({"stable-diffusion-1.5": {"views": 2}}, [])


def test_sampled_clips_are_kept_as_pictures_of_any_size_and_number(a4d, box_workspace, released) -> None:
    """Two oblong views of three moments by a tiny MV-VDM in the released files; PNG frames and nothing else."""
    weights = ",".join(f"{name}={path}" for name, path in released.items())
    done = a4d(
        "fit-dynamic", box_workspace, "--prompt", "a box jumps", "--weights", weights, "--accept", "--set",
        "iterations=2", "--set",
        "sample={prior: mv-vdm, views: 2, frames: 3, size: [48, 64], steps: 2, free_init: 2}", "--set",
        "scene.count=50", "--set", "scene.motion.nodes=8", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    folder = box_workspace / "stages" / "fit-dynamic" / "previews" / "sampled"
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert pictures == [f"view_{view}/{frame:05d}.png" for view in range(2) for frame in range(3)]
    for path in folder.rglob("*.png"):
        assert read_image(path).shape == (48, 64, 4)
    record = yaml.safe_load((box_workspace / "stages" / "fit-dynamic" / "record.json").read_text())
    assert {entry["id"] for entry in record["weights"]} == {"mv-vdm", "mvdream-1.5", "ip-adapter-1.5"}
    assert all(entry["sha256"] for entry in record["weights"])
    missing = {**released, "ip-adapter-1.5": box_workspace.parent / "nothing"}
    shutil.copytree(released["mv-vdm"], missing["ip-adapter-1.5"])
    weights = ",".join(f"{name}={path}" for name, path in missing.items())
    refused = a4d("fit-dynamic", box_workspace, "--prompt", "a box jumps", "--weights", weights, "--name", "other",
                  "--set", "sample.prior=mv-vdm")  # fmt: skip
    assert refused.code == 5
    assert len(refused.err.strip().splitlines()) == 1
