"""refine: what has a rate gets better, and everything else of the scene stays bit for bit."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from blender_capture import preprocess_capture, write_blender_capture
from safetensors.torch import load_file

from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import creature, paint

SCENES = {
    "gaussians": (
        ("--iterations", 25, "--set", "scene.count=800", "--set", "scene.density=null", "--set", "scene.sh_degree=1"),
        {"means", "quaternions", "log_scales", "opacity_logits"},
        {"sh_base", "sh_detail"},
    ),
    "tetmesh": (
        ("--profile", "fit-static-tetmesh", "--iterations", 4, "--set", "scene.surface.resolution={0: 16}"),
        {"surface.geometry.sdf", "surface.geometry.displacement", "surface.known"},
        {"material.encoding.table"},
    ),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Path:
    azimuth = torch.arange(6) * 60.0
    cameras = orbit(azimuth, torch.full((6,), 15.0), 2.8, 40.0, 48, 48)
    folder = write_blender_capture(
        tmp_path_factory.mktemp("refine") / "animal", paint(creature()), {"train": cameras, "test": cameras[:1]}
    )
    return preprocess_capture(folder)


@pytest.fixture
def workspace(seen: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(seen, tmp_path / "animal.a4d"))


@pytest.mark.parametrize("kind", SCENES)
def test_the_appearance_fits_better_and_the_shape_stays_bit_for_bit(a4d, workspace: Path, kind: str) -> None:
    options, held, changed = SCENES[kind]
    rough = a4d("fit-static", workspace, *options, "--json")
    assert rough.code == 0, rough.err
    done = a4d("refine", workspace, "--from", "fit-static", "--iterations", 40, "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["psnr"] > rough.json["metrics"]["psnr"] + 0.2
    before, after = (
        load_file(workspace / "scenes" / name / "tensors.safetensors") for name in ("fit-static", "refine")
    )
    assert held | changed <= before.keys()
    for name in held:
        assert torch.equal(before[name], after[name]), name
    for name in changed:
        assert not torch.equal(before[name], after[name]), name
    again = a4d("refine", workspace, "--from", "fit-static", "--iterations", 40, "--json")
    assert again.json["status"] == "up to date"


def test_a_static_fit_goes_on_from_a_scene(a4d, workspace: Path) -> None:
    small = ("--set", "scene.count=300", "--set", "scene.density=null")
    assert a4d("fit-static", workspace, "--iterations", 5, *small).code == 0
    done = a4d("fit-static", workspace, "--from", "fit-static", "--name", "longer", "--iterations", 0, "--json")
    assert done.code == 0, done.err
    first, second = (
        (workspace / "scenes" / name / "tensors.safetensors").read_bytes() for name in ("fit-static", "longer")
    )
    assert first == second


def test_what_cannot_be_refined_is_said_before_anything_is_written(a4d, workspace: Path) -> None:
    nothing = a4d("refine", workspace)
    assert nothing.code == 2
    assert "--from SCENE" in nothing.err
    assert a4d("fit-static", workspace, "--iterations", 1, "--set", "scene.count=100").code == 0
    itself = a4d("refine", workspace, "--from", "fit-static", "--name", "fit-static")
    assert itself.code != 0
    misread = a4d("refine", workspace, "--from", "fit-static", "--set", "objectives.0.views=photos")
    assert misread.code == 3
    assert "objectives.0.views: photos" in misread.err
    alien = a4d("refine", workspace, "--from", "fit-static", "--set", "objectives=[{kind: sign-change}]")
    assert alien.code == 3
    assert "does not apply to a scene of kind 'gaussians'" in alien.err
    assert "tetmesh" in alien.err
    assert not (workspace / "scenes" / "refine").exists()


def test_distillation_reads_frames_whatever_kind_of_views_shows_them(a4d, workspace: Path) -> None:
    """Of any view set that is made of images they are loaded, and part of what decides the result."""
    settings = {
        "views": {"clip": {"kind": "moments", "size": 16}},
        "objectives": [{"kind": "photometric", "views": "clip"}],
        "scene": {"kind": "gaussians", "count": 10},
        "iterations": 1,
        "optimiser": {"rates": {"means": 1e-3}},
    }
    Path("moments.yaml").write_text(yaml.safe_dump(settings))
    plan = a4d("distill", workspace, "--config", "moments.yaml", "--dry-run", "--json").json
    assert {"transforms.json", "images"} <= set(plan["inputs"])
    done = a4d("distill", workspace, "--config", "moments.yaml")
    assert "the frames have no times" in done.err
