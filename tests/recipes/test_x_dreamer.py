"""x_dreamer.sh: how it is called, and a text to a mesh with the package's own prior in few steps."""

from pathlib import Path

import pytest

from a4d.io.assets.gltf.reader import read_gltf

RECIPE = "x_dreamer.sh"
FEW = {
    "A4D_DISTILL": "--iterations 2 --set scene.surface.resolution=12",
    "A4D_REFINE": "--iterations 2",
    "A4D_EXPORT": "--formats glb --set texture=64",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "x_dreamer.sh"),
        (["a", "b"], "x_dreamer.sh"),
        (["a cone", "--shape", "ball", "--texture-only", "cup.glb"], "--texture-only keeps one"),
        (["a robot", "--subject", "robot", "--profile", "compact"], "holds none"),
    ],
)
def test_what_is_no_call_of_it_says_so(run_recipe, arguments: list[str], said: str) -> None:
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_mesh_that_is_not_there_is_one_line(run_recipe) -> None:
    for option in ("--shape", "--texture-only"):
        done = run_recipe(RECIPE, "a tower", option, "absent.obj")
        assert (done.returncode, done.stderr.strip()) == (4, "there is no mesh 'absent.obj'")


def test_a_text_becomes_a_mesh_with_a_picture(run_recipe, tmp_path: Path) -> None:
    done = run_recipe(RECIPE, "a red robot", "--profile", "compact", "--shape", "cylinder", "--accept", **FEW)
    assert done.returncode == 0, done.stderr
    materials = read_gltf(tmp_path / "a-red-robot.a4d/exports/a-red-robot.glb").materials
    (material,) = (each for each in materials if each.is_unlit)
    assert material.base_colour_map is not None
