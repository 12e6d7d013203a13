"""gaussian_avatar.sh: how it is called, what its files hold, and a data set's person to an avatar."""

from pathlib import Path

import numpy as np
import people_folders
import pytest
from tracker_files import Filmed

from a4d.commands import table
from a4d.running.sections import settings_of
from a4d.scenes import load_scene

RECIPE = "gaussian_avatar.sh"
FILES = Path(__file__).parents[2] / "recipes" / "gaussian_avatar"
RUN = ("preprocess", "estimate-pose", "fit-dynamic", "refine", "export")


@pytest.mark.parametrize("arguments", [[], ["a.mp4", "b.mp4"], ["a.mp4", "--fast"], ["a.mp4", "--drive"]])
def test_what_is_no_call_of_it_prints_how_to_call_it(run_recipe, arguments: list[str]) -> None:
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert "gaussian_avatar.sh FILM" in done.stderr


@pytest.mark.parametrize("profile", ["compact", "paper"])
@pytest.mark.parametrize("stage", RUN)
def test_each_file_has_a_section_for_each_of_the_stages(profile: str, stage: str) -> None:
    assert isinstance(settings_of(FILES / f"{profile}.yaml", stage, None, table.RUNS), dict)


@pytest.mark.slow
def test_a_person_of_a_data_set_becomes_an_avatar_in_the_user_s_own_body(run_recipe, tmp_path) -> None:
    filmed = Filmed()
    people_folders.gaussian_avatar(tmp_path / "someone", filmed)
    np.savez(tmp_path / "smpl.npz", **filmed.arrays)
    variables = {
        "A4D_OPTIONS": "--iterations 4 --set scene.texels=24 --device cpu",
        "A4D_REFINE": "--set scene.texels=24 --set scene.branch.resolution=32",
        "A4D_EXPORT": "--formats ply",
    }
    command = ("someone", "--profile", "compact", "--body", "smpl.npz", "--accept")
    done = run_recipe(RECIPE, *command, **variables)
    assert done.returncode == 0, done.stderr
    avatar = load_scene(tmp_path / "someone.a4d/scenes/avatar-posed")
    assert (avatar.tracked.model, avatar.branch is not None) == ("smpl", True)
    assert (tmp_path / "someone.a4d/exports/avatar-posed.ply").is_file()
    assert len(done.stderr.strip().splitlines()) == 2
