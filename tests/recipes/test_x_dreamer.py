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
        (["a robot", "--profile", "large"], "choose from: compact paper"),
        (["a robot", "--profile", "compact", "--subject", "robot"], "has neither --subject"),
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
    options = ("--profile", "paper", "--shape", "cylinder", "--subject", "robot", "--weights", f"{PRIOR}={folder}")
    done = run_recipe(RECIPE, "a red robot", *options, **TINY)
    assert done.returncode == 0, done.stderr
    materials = read_gltf(tmp_path / "a-red-robot.a4d/exports/a-red-robot.glb").materials
    assert any(each.metallic_roughness_map is not None and each.normal_map is not None for each in materials)
    assert (tmp_path / "a-red-robot.a4d/adapters/appearance/text-to-image/cg_lora.safetensors").is_file()


@pytest.mark.slow
def test_a_file_of_texts_becomes_a_table_of_scores(run_recipe, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a red robot\n\na green horse")
    judges = ("clip-vit-b-32", "clip-vit-l-14")
    eyes = tiny.save_clip(tmp_path / "clip")
    few = {
        "A4D_DISTILL": "--iterations 2 --set sample.draws=1 --set sample.steps=2",
        "A4D_EXPORT": "--formats glb --set texture=64",
        "A4D_EVALUATE": " ".join(f"--weights {judge}={eyes}" for judge in judges),
    }
    call = ("x_dreamer_benchmark.sh", "texts.txt", "--judges", ",".join(judges), "--profile", "compact")
    done = run_recipe(*call, **few)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["CLIP", "score", *judges]
    assert [row[:-2] for row in rows[1:]] == [["a", "red", "robot"], ["a", "green", "horse"], ["mean"]]
    scores = [[float(cell) for cell in row[-2:]] for row in rows[1:]]
    assert scores[2][0] == pytest.approx((scores[0][0] + scores[1][0]) / 2, rel=1e-3)
    absent = run_recipe("x_dreamer_benchmark.sh", "none.txt")
    assert (absent.returncode, absent.stderr.strip()) == (4, "there is no file 'none.txt'")
