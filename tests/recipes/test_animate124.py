"""animate124.sh: how it is called, and its paper's file from a picture to a refined field with tiny random models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from a4d.config import overlaid
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.films.video import write_video
from a4d.io.pictures.images import read_image
from a4d.scenes import load_scene

RECIPE = "animate124.sh"
PAPER = Path(__file__).parents[2] / "recipes" / "animate124" / "paper.yaml"
SIZE = 16
PRIORS = ("stable-diffusion-1.5", "zero123-xl", "modelscope-1.7b", "controlnet-tile")
ENCODING = {"levels": 4, "table": 256, "base_resolution": 4, "finest_resolution": 32}
SMALL = {
    "preprocess": {"size": 48},
    "personalise": {"iterations": 2, "batch": 2},
    "fit-static": {
        "scene": {
            "encoding": ENCODING, "network": {"width": 8}, "sampling": {"steps": 24}, "active_levels": 4,
            "occupancy": {"resolution": 8},
        },
        "views": {"reference": {"size": SIZE}, "novel": {"size": SIZE}},
    },
    "distill": {"scene": {"time": {"count": 3}, "occupancy": {"resolution": 8, "bins": 4}}},
    "refine": {"priors": {"controlnet-tile": {"size": 64}}},
    "export": {"formats": "obj-sequence", "moments": 3, "resolution": 24, "texture": None},
}  # fmt: skip
CLIPS = {
    "views": {"reference": {"size": SIZE}, "clip": {"size": SIZE, "frames": 4}, "begin": {"size": SIZE}},
    "priors": {"modelscope-1.7b": {"kind": "modelscope-1.7b", "size": 64}},
}


@pytest.mark.parametrize(
    "arguments", [["a.png"], ["a.png", "it runs", "--fast", "1"], ["a", "b", "--video"], ["a", " "]]
)
def test_what_is_no_call_of_it_prints_how_to_call_it(run_recipe, arguments: list[str]) -> None:
    done = run_recipe(RECIPE, *arguments)
    assert done.returncode == 2
    assert "animate124.sh PICTURE" in done.stderr


def test_a_picture_that_is_not_there_or_empty_is_one_line(run_recipe, tmp_path) -> None:
    Image.new("RGB", (64, 64), (200, 200, 200)).save(tmp_path / "blank.png")
    for picture, code, said in (("absent.png", 4, "no picture or film"), ("blank.png", 3, "no subject")):
        done = run_recipe(RECIPE, picture, "it is jumping", "--profile", "compact")
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1)
        assert said in done.stderr


def test_a_subject_that_the_motion_does_not_name_is_said_before_anything_is_learnt(run_recipe, tmp_path) -> None:
    Image.new("RGB", (64, 64), (200, 200, 200)).save(tmp_path / "dog.png")
    done = run_recipe(RECIPE, "dog.png", "it runs", "--subject", "a dog", "--profile", "paper")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "'a dog' does not stand in 'it runs'" in done.stderr
    assert not (tmp_path / "dog.a4d").exists()


@pytest.mark.slow
def test_the_compact_profile_and_the_driven_one_end_in_an_animated_mesh(run_recipe, tmp_path, creature_picture) -> None:
    few = "--iterations 4 --set scene.count=200"
    variables = {
        "A4D_PREPROCESS": "--size 64",
        "A4D_FIT_STATIC": few,
        "A4D_FIT_DYNAMIC": "--iterations 4 --set scene.motion.nodes=12",
        "A4D_EXPORT": "--formats glb --texture 64 --resolution 24",
        "A4D_OPTIONS": "--accept --device cpu",
    }
    shutil.copy(creature_picture, tmp_path / "horse.png")
    done = run_recipe(RECIPE, "horse.png", "a horse is jumping", "--profile=compact", **variables)
    assert done.returncode == 0, done.stderr
    write_film(tmp_path / "film.mp4", read_image(creature_picture))
    variables["A4D_FIT_DYNAMIC"] = "--set pace.alone=2 --set pace.together=1 --set scene.motion.nodes=12"
    driven = run_recipe(RECIPE, "horse.png", "a horse is jumping", "--video", "film.mp4", **variables)
    assert driven.returncode == 0, driven.stderr
    for name in ("horse.a4d/exports/a-horse-is-jumping", "film.a4d/exports/a-horse-is-jumping-driven"):
        (clip,) = read_gltf(tmp_path / f"{name}.glb").clips
        assert clip.duration > 0


def write_film(path: Path, picture) -> None:
    """A picture that goes to the right over white, in four frames."""
    over = picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]
    frames = [np.roll(np.pad(over, ((16, 16), (24, 24), (0, 0)), constant_values=1), 4 * k, axis=1) for k in range(4)]
    write_video(path, frames, 8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny random models by their names in the catalogue."""
    root = tmp_path_factory.mktemp("models")
    whole = tiny.save_all_but_the_unet(root / "parts")
    folders = {name: shutil.copytree(whole, root / name) for name in PRIORS[:3]}
    tiny.unet().save_pretrained(folders["stable-diffusion-1.5"] / "unet")
    tiny.unet_3d().save_pretrained(folders["modelscope-1.7b"] / "unet")
    zero123 = folders["zero123-xl"]
    tiny.unet(in_channels=8).save_pretrained(zero123 / "unet")
    tiny.image_encoder().save_pretrained(zero123 / "image_encoder")
    (zero123 / "clip_camera_projection").mkdir()
    projection = tiny.random_weights(nn.Linear(tiny.WIDTH + 4, tiny.WIDTH)).state_dict()
    state = {f"proj.{key}": value for key, value in projection.items()}
    save_file(state, zero123 / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    tiny.controlnet().save_pretrained(root / "controlnet-tile")
    depth = tiny.save_dpt(root / "dpt-beit-large-512")
    return {**folders, "controlnet-tile": root / "controlnet-tile", "dpt-beit-large-512": depth}


def rehearsal(folder: Path) -> Path:
    """The paper's file with small numbers: six steps a stage, of which every second looks at the picture."""
    paper = yaml.safe_load(PAPER.read_text())
    small = overlaid(SMALL, {"distill": overlaid(CLIPS, SMALL["distill"]), "refine": overlaid(CLIPS, SMALL["refine"])})
    values = overlaid(paper, small)
    for name in ("fit-static", "distill", "refine"):
        values[name]["iterations"] = 6
        for objective in values[name]["objectives"]:
            turns = objective.get("turns", {})
            objective["turns"] = {**turns, "first": 0, "every": 2} if "every" in turns else {}
            if objective["kind"] == "temporal-variation":
                objective["points"] = 100
            if objective.get("frames"):
                objective["frames"] = [0, 2]
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def numbers(scene, group: str) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in scene.groups()[group]])


def test_the_paper_s_file_leads_from_a_picture_to_a_refined_field(a4d, tmp_path, creature_picture, models) -> None:
    shutil.copy(creature_picture, "panda.png")
    weights = ",".join(f"{name}={path}" for name, path in models.items())
    settings = ("--config", rehearsal(tmp_path), "--weights", weights)
    chain = [
        ("preprocess", "panda.png", *settings),
        ("estimate-pose", "panda.a4d", *settings[:2]),
        ("fit-static", "panda.a4d", "--prompt", "a panda", *settings),
        ("distill", "panda.a4d", "--from", "fit-static", "--prompt", "a panda is dancing", *settings),
        ("train-prior", "textual-inversion", "panda.a4d", "--name", "personalise", "--initial", "panda", *settings),
        ("refine", "panda.a4d", "--from", "distill", "--prompt", "a <token:panda> is dancing", *settings),
        ("export", "panda.a4d", *settings[:2]),
    ]
    for arguments in chain:
        done = a4d(*arguments, "--json")
        assert done.code == 0, (arguments[0], done.err)
    assert all(a4d(*arguments, "--json").json["status"] == "up to date" for arguments in chain)

    records = {
        path.parent.name: json.loads(path.read_text()) for path in Path("panda.a4d/stages").glob("*/record.json")
    }
    asked = {name: {entry["id"] for entry in record["weights"]} for name, record in records.items()}
    assert asked == {
        "preprocess": {"dpt-beit-large-512"},
        "estimate-pose": set(),
        "fit-static": {"stable-diffusion-1.5", "zero123-xl"},
        "personalise": {"stable-diffusion-1.5"},
        "distill": {"modelscope-1.7b", "zero123-xl"},
        "refine": set(PRIORS),
        "export": set(),
    }
    assert any("not for commercial use" in warning for warning in records["distill"]["warnings"])
    still, moving, refined = (
        load_scene(Path("panda.a4d/scenes") / name) for name in ("fit-static", "distill", "refine")
    )
    for before, after in ((still, moving), (moving, refined)):
        for group in ("encoding", "network"):
            assert torch.isfinite(numbers(after, group)).all()
            assert not torch.equal(numbers(before, group), numbers(after, group))
    assert not torch.equal(numbers(moving, "time"), numbers(refined, "time"))
    assert len(list(Path("panda.a4d/exports").glob("*_obj/*.obj"))) == 3


def test_ablations_are_one_setting(a4d, tmp_path, creature_picture, models) -> None:
    shutil.copy(creature_picture, "panda.png")
    settings = (
        "--config",
        rehearsal(tmp_path),
        "--weights",
        ",".join(f"{name}={path}" for name, path in models.items()),
    )
    assert a4d("preprocess", "panda.png", *settings).code == 0
    assert a4d("estimate-pose", "panda.a4d").code == 0
    ask = ("fit-static", "panda.a4d", "--prompt", "a panda", *settings, "--print-config")
    kinds = [each.get("prior", each["kind"]) for each in yaml.safe_load(a4d(*ask).out)["objectives"]]
    ablated = a4d(*ask, "--set", "without=[zero123-xl]")
    assert ablated.code == 0, ablated.err
    left = [each.get("prior", each["kind"]) for each in yaml.safe_load(ablated.out)["objectives"]]
    assert left == [kind for kind in kinds if kind != "zero123-xl"] != kinds
    unknown = a4d(*ask, "--set", "without=[zero123]")
    assert (unknown.code, len(unknown.err.splitlines())) == (3, 1)
    assert "'zero123-xl'" in unknown.err
