"""The paper profile of animate3d.sh from a mesh to an animated GLB, with the parts of MV-VDM as tiny random models."""

import json
from pathlib import Path

import pytest
import torch
import trimesh
import yaml
from tiny_mv_vdm import as_released, mv_vdm, save_mv_vdm

from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.primitives import box, paint
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.pictures.images import read_image
from a4d.scenes import load_scene

RECIPE = "animate3d.sh"
FRAMES, SIZE = 16, 32
SMALL = {
    "A4D_PREPROCESS": "--size 48",
    "A4D_FIT_STATIC": "--iterations 10 --set scene.count=200",
    "A4D_FIT_DYNAMIC": f"--iterations 30 --set sample.size={SIZE} --set sample.steps=2",
    "A4D_DISTILL": f"--iterations 2 --set priors.mv-vdm.size={SIZE} --set views.ring.size={SIZE}",
    "A4D_OPTIONS": "--seed 3 --device cpu --accept",
}


@pytest.mark.parametrize("arguments", [["model.glb"], ["model.glb", "it runs", "--fast"], ["a", "b", "--weights"]])
def test_what_is_no_call_of_it_prints_how_to_call_it(run_recipe, arguments: list[str]) -> None:
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert "animate3d.sh MODEL" in done.stderr


def test_an_unknown_profile_is_said(run_recipe) -> None:
    done = run_recipe(RECIPE, "model.glb", "it runs", "--profile", "fast")
    assert done.returncode == 2
    assert "compact nodes paper" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "motion"), [("paper", "width=8"), ("nodes", "nodes=12")])
def test_a_profile_that_asks_mv_vdm_ends_in_an_animated_mesh(run_recipe, tmp_path: Path, profile, motion) -> None:
    small = {**SMALL, "A4D_FIT_DYNAMIC": f"{SMALL['A4D_FIT_DYNAMIC']} --set scene.motion.{motion}"}
    weights = save_mv_vdm(tmp_path / "weights", mv_vdm(motion_max_seq_length=32))
    as_released(weights, distributed=False)
    given = paint(box((0.5, 1.0, 0.3)))
    write_asset(tmp_path / "fox.glb", static_asset("fox", primitive_from_mesh(given)))
    names = ",".join(f"{name}={path}" for name, path in weights.items())
    done = run_recipe(RECIPE, "fox.glb", "a fox is running", f"--profile={profile}", f"--weights={names}", **small)
    assert done.returncode == 0, done.stderr
    stages = tmp_path / "fox.a4d" / "stages"
    records = {path.parent.name: json.loads(path.read_text()) for path in stages.glob("*/record.json")}
    drawn, refined = f"a-fox-is-running-{profile}", f"a-fox-is-running-{profile}-distilled"
    assert records.keys() == {"preprocess", "fit-static", drawn, refined, f"export-{drawn}"}
    for name in (drawn, refined):
        assert {entry["id"] for entry in records[name]["weights"]} == {"mv-vdm", "mvdream-1.5", "ip-adapter-1.5"}
        assert records[name]["seed"] == 3
    sample = records[drawn]["config"]["sample"]
    assert (sample["frames"], sample["free_init"], sample["guidance_scale"], sample["size"]) == (16, 3, 7.5, [32, 32])
    pictures = sorted((stages / drawn / "previews" / "sampled").glob("view_*/*.png"))
    assert len(pictures) == 4 * FRAMES
    assert read_image(pictures[-1]).shape == (SIZE, SIZE, 4)
    assert not list(tmp_path.rglob("*.gif"))
    fitted, distilled = (load_scene(tmp_path / "fox.a4d" / "scenes" / name) for name in (drawn, refined))
    with torch.no_grad():
        places = [scene.moved_points("vertices", [0.0, 0.5]) for scene in (fitted, distilled)]
    assert torch.equal(places[0][0], places[1][0])
    assert (places[0][1] - places[1][1]).abs().max() > 1e-4
    exports = tmp_path / "fox.a4d" / "exports"
    assert len(trimesh.load_mesh(exports / f"{drawn}.glb", process=False).faces) == len(given.faces)
    source, result = read_gltf(tmp_path / "fox.glb"), read_gltf(exports / f"{drawn}.glb")
    (clip,) = result.clips
    torch.testing.assert_close(deform(result, clip, 0.0).vertices, deform(source).vertices, atol=1e-4, rtol=0)
    moved = deform(result, clip, clip.duration).vertices - deform(source).vertices
    assert torch.isfinite(moved).all()
    assert moved.abs().max() > 1e-3
    assert (exports / f"{drawn}_grid.mp4").stat().st_size > 0
    assert list(exports.glob(f"{drawn}_ply/*.ply"))
    again = run_recipe(RECIPE, "fox.glb", "a fox is running", f"--profile={profile}", f"--weights={names}", **small)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is up to date") == 5
    assert yaml.safe_load((stages / refined / "config.yaml").read_text())["priors"]["mv-vdm"]["size"] == [SIZE, SIZE]
