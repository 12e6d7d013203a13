"""gaussian_avatar.sh: how it is called, and a sequence of a person to an avatar that another motion drives."""

import json

import numpy as np
import people_folders
import pytest
from tracker_files import Filmed

from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.films.video import write_video
from a4d.scenes import load_scene

RECIPE = "gaussian_avatar.sh"
SMALL = {
    "A4D_FIT_DYNAMIC": "--iterations 3 --set scene.texels=32",
    "A4D_REFINE": "--iterations 2",
    "A4D_EXPORT": "--size 32 --frames 2 --set texture=64",
}


@pytest.mark.parametrize("arguments", [[], ["a.mp4", "b.mp4"], ["a.mp4", "--fast", "1"], ["a.mp4", "--drive"]])
def test_what_is_no_call_of_it_prints_how_to_call_it(run_recipe, arguments: list[str]) -> None:
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert "gaussian_avatar.sh FILM" in done.stderr


def test_files_that_are_not_there_and_weights_that_are_not_are_one_line(run_recipe, tmp_path) -> None:
    write_video(tmp_path / "film.mp4", [np.zeros((64, 64, 3), np.float32)] * 3, 10)
    for arguments, code, said in (
        (["absent.mp4"], 4, "no 'absent.mp4'"),
        (["film.mp4", "--drive", "absent.bvh"], 4, "no 'absent.bvh'"),
        (["film.mp4", "--profile", "compact"], 5, "blazepose"),
    ):
        done = run_recipe(RECIPE, *arguments)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1), done.stderr
        assert said in done.stderr


def test_a_sequence_becomes_an_avatar_that_another_motion_drives(run_recipe, tmp_path) -> None:
    people_folders.instant_avatar(tmp_path / "person", Filmed(is_moving=False))
    done = run_recipe(RECIPE, "person", "--profile", "compact", **SMALL)
    assert done.returncode == 0, done.stderr
    workspace = tmp_path / "person.a4d"
    avatar = load_scene(workspace / "scenes" / "avatar-posed")
    assert avatar.kind == "avatar"
    record = json.loads((workspace / "stages" / "estimate-pose" / "record.json").read_text())
    assert record["metrics"]["cameras"] == people_folders.FRAMES
    done = run_recipe(RECIPE, "person", "--profile", "compact", "--drive", "person.a4d/body.npz", **SMALL)
    assert done.returncode == 0, done.stderr
    for name in ("avatar-posed", "avatar-posed-driven"):
        clip = read_gltf(workspace / f"exports/{name}.glb").clips[0]
        assert clip.duration > 0
        assert (workspace / f"exports/{name}.splat").stat().st_size % 32 == 0
