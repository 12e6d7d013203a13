"""x_dreamer.sh: how it is called, and what it makes of a text with tiny random models."""

from pathlib import Path

import pytest
import tiny_models as tiny

from a4d.io.assets.gltf.reader import read_gltf

RECIPE = "x_dreamer.sh"
PRIOR = "stable-diffusion-2.1-base"
TINY = {
    "A4D_DISTILL": "--iterations 2 --set scene.surface.resolution=12 --set scene.surface.geometry.start_resolution=16 "
    "--set scene.surface.geometry.encoding.table=512 --set views.quadrants.size=32 "
    "--set objectives.2.geometry_latents=8",
    "A4D_REFINE": "--iterations 2 --set scene.material.encoding.table=512 --set views.quadrants.size=32",
    "A4D_EXPORT": "--formats glb --set texture=64",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "x_dreamer.sh"),
        (["a", "b"], "x_dreamer.sh"),
        (["a cone", "--shape", "ball", "--texture-only", "cup.glb"], "--texture-only keeps one"),
        (["a robot", "--profile", "compact"], "choose from: paper"),
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


def test_a_text_becomes_a_mesh_with_pictures(run_recipe, tmp_path: Path) -> None:
    folder = tiny.save_all_but_the_unet(tmp_path / PRIOR)
    tiny.unet().save_pretrained(folder / "unet")
    done = run_recipe(
        RECIPE, "a red robot", "--shape", "cylinder", "--subject", "robot", "--weights", f"{PRIOR}={folder}", **TINY
    )
    assert done.returncode == 0, done.stderr
    materials = read_gltf(tmp_path / "a-red-robot.a4d/exports/a-red-robot.glb").materials
    assert any(each.metallic_roughness_map is not None and each.normal_map is not None for each in materials)
    assert (tmp_path / "a-red-robot.a4d/adapters/appearance/text-to-image/cg_lora.safetensors").is_file()
