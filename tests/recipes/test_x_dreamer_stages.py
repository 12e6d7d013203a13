"""The stages of x_dreamer's files, from a text or a mesh to an asset with pictures, with tiny random models."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_models as tiny
import torch
import yaml
from safetensors.torch import load_file

from a4d.config import overlaid
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, creature
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.assets.ply import write_ply_mesh
from a4d.scenes import load_scene

FILES = Path(__file__).parents[2] / "recipes" / "x_dreamer"
PRIOR = "stable-diffusion-2.1-base"
ENCODING = {"levels": 3, "table": 512, "base_resolution": 4, "finest_resolution": 32}
SMALL = {
    "geometry": {
        "scene": {
            "surface": {"resolution": 12, "geometry": {"encoding": ENCODING, "start_resolution": 16}},
            "material": {"encoding": ENCODING},
        },
        "iterations": 4,
    },
    "appearance": {
        "scene": {"material": {"encoding": ENCODING}},
        "iterations": 4,
    },
    "export": {"formats": "glb,obj", "texture": 64},
}

UNTAUGHT = ("--set", "priors.text-to-image.adapters=[]")
"""Where no geometry has taught the prior anything."""


def rehearsal() -> Path:
    """The paper's file with small numbers, of which half the geometry's steps are coarse."""
    values = overlaid(yaml.safe_load((FILES / "paper.yaml").read_text()), SMALL)
    for section in ("geometry", "appearance"):
        for views in values[section]["views"].values():
            views["size"] = 32
        for objective in values[section]["objectives"]:
            objective["turns"] = dict.fromkeys(objective.get("turns", {}), 2)
            if "geometry_latents" in objective:
                objective["geometry_latents"] = 8
    file = Path("small.yaml")
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    folder = tiny.save_all_but_the_unet(tmp_path_factory.mktemp("tiny") / PRIOR)
    tiny.unet().save_pretrained(folder / "unet")
    return f"{PRIOR}={folder}"


def figures(workspace: Path, run: str) -> list[dict]:
    return [json.loads(line) for line in (workspace / "stages" / run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("extraction", ["tetrahedra", "flexicubes"])
def test_the_paper_s_file_leads_from_a_text_to_a_mesh_with_pictures(a4d, weights: str, extraction: str) -> None:
    settings = ("--config", rehearsal(), "--json")
    workspace = Path("a-chocolate-cupcake.a4d")
    surface = ("--set", f"scene.surface.extraction={extraction}")
    chain = [
        ("distill", "a chocolate cupcake", "--name", "geometry", "--weights", weights, *surface, *settings),
        ("refine", workspace, "--name", "appearance", "--from", "geometry", "--weights", weights, *settings),
        ("export", workspace, "--from", "appearance", *settings),
    ]
    for arguments in chain:
        done = a4d(*arguments)
        assert done.code == 0, (arguments[0], done.err)
    # The adapter of geometry is what appearance begins with, and goes on learning.
    adapters = [
        load_file(workspace / f"adapters/{run}/text-to-image/cg_lora.safetensors") for run in ("geometry", "appearance")
    ]
    grown = [sum(float(value.norm()) for name, value in each.items() if "up" in name) for each in adapters]
    assert 0 < grown[0] != grown[1]
    geometry, appearance = (load_scene(workspace / "scenes" / name) for name in ("geometry", "appearance"))
    assert geometry.surface.config.extraction == extraction
    assert torch.equal(geometry.mesh().vertices, appearance.mesh().vertices)
    assert appearance.mesh().is_closed
    record = json.loads((workspace / "stages" / "geometry" / "record.json").read_text())
    assert {entry["id"] for entry in record["weights"]} == {PRIOR}
    _check_export(workspace / "exports" / "a-chocolate-cupcake")


def _check_export(stem: Path) -> None:
    asset = read_gltf(stem.with_suffix(".glb"))
    material = asset.materials[0]
    for picture in (material.base_colour_map, material.metallic_roughness_map, material.normal_map):
        assert picture is not None
        assert picture.image.shape[:2] == (64, 64)
    roughness, metallic = material.metallic_roughness_map.image[..., 1:3].unbind(-1)
    assert 0.05 < float(roughness.min()) <= float(roughness.max()) < 0.92
    assert float(metallic.max()) == 0.0
    again = read_asset(stem.with_suffix(".obj"))
    assert again.materials[0].base_colour_map is not None
    torch.testing.assert_close(deform(again).vertices, deform(asset).vertices, rtol=0, atol=1e-4)


def test_the_compact_file_fits_a_closed_mesh_to_what_the_package_s_own_prior_draws(a4d) -> None:
    settings = ("--config", FILES / "compact.yaml", "--json")
    few = ("--iterations", 4, "--set", "sample.draws=2", "--set", "sample.steps=2", "--accept")
    done = a4d("distill", "a red robot with glittering legs", "--name", "geometry", *settings, *few)
    assert done.code == 0, done.err
    assert "does not know the words glittering" in done.err
    workspace = next(Path().glob("*.a4d"))
    assert a4d("export", workspace, "--from", "geometry", "--formats", "glb", "--set", "texture=64").code == 0
    mesh = load_scene(workspace / "scenes" / "geometry").mesh()
    assert mesh.is_closed
    assert done.json["metrics"]["sampled_iou"] > 0.6
    assert -1 <= done.json["metrics"]["colour_lead"] <= 1
    record = json.loads((workspace / "stages" / "geometry" / "record.json").read_text())
    assert [entry["id"] for entry in record["weights"]] == ["compact"]
    (material,) = (each for each in read_gltf(next((workspace / "exports").glob("*.glb"))).materials if each.is_unlit)
    assert material.base_colour_map is not None


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a red robot with blue legs", "a green horse"])
def test_a_text_of_the_package_s_vocabulary_becomes_a_closed_mesh_of_its_colour(a4d, text: str) -> None:
    done = a4d("distill", text, "--name", "geometry", "--config", FILES / "compact.yaml", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["sampled_iou"] > 0.8
    assert done.json["metrics"]["colour_lead"] > 0
    assert load_scene(next(Path().glob("*.a4d")) / "scenes" / "geometry").mesh().is_closed


def test_a_shape_that_is_not_what_was_drawn_ends_with_7(a4d) -> None:
    settings = ("--config", FILES / "compact.yaml", "--name", "geometry", "--iterations", 0)
    drawn = ("--set", "sample.draws=1", "--set", "sample.steps=2")
    ball = a4d("distill", "a dog", *settings, *drawn, "--set", "seed={kind: ball, radius: 0.78}")
    assert ball.code == 7
    assert "outlines of the shape and of the prior's views overlap by" in ball.err
    nothing = a4d("distill", "a dog", *settings, "--set", "sample=null")
    assert nothing.code == 3
    assert "visual-hull fills outlines of sampled views" in nothing.err


def test_the_two_phases_ask_in_turn(a4d, weights: str) -> None:
    done = a4d("distill", "a cupcake", "--name", "geometry", "--weights", weights, "--config", rehearsal())
    assert done.code == 0, done.err
    asked = json.loads(Path("a-cupcake.a4d/stages/geometry/record.json").read_text())["config"]["objectives"]
    attention, denoising, coarse, fine = asked
    assert (attention["kind"], denoising["kind"]) == ("attention-mask", "denoising")
    assert (coarse["turns"]["stop"], fine["turns"]["start"]) == (2, 2)
    assert (coarse["weighting"], fine["weighting"]) == ("variance", "signal-variance")
    assert (coarse["normal_turn"], coarse["geometry_latents"], fine["geometry_latents"]) == ("yaw-pitch", 8, None)


def test_the_geometry_begins_as_a_coarse_mesh_that_counts_as_an_input(a4d, weights: str) -> None:
    write_ply_mesh(Path("coarse.ply"), box((0.6, 1.4, 0.6)))
    seed = ("--set", "seed={kind: mesh, file: coarse.ply, radius: 0.9, up: +y, front: +z}")
    call = ("distill", "a tower", "--name", "geometry", "--config", rehearsal(), "--weights", weights, *seed)
    done = a4d(*call, "--iterations", 0, "--json")
    assert done.code == 0, done.err
    mesh = load_scene(Path("a-tower.a4d/scenes/geometry")).mesh()
    extents = torch.tensor([0.6, 1.4, 0.6])
    cell = 2 * 1.2 / 12
    torch.testing.assert_close(mesh.vertices.amax(0), 0.9 * extents / extents.norm(), rtol=0, atol=cell / 2)
    assert a4d(*call, "--iterations", 0, "--json").json["status"] == "up to date"
    write_ply_mesh(Path("coarse.ply"), box((0.7, 1.2, 0.7)))
    assert a4d(*call, "--iterations", 0, "--json").json["status"] != "up to date"
    nowhere = ("--set", "seed={kind: mesh, file: nowhere.obj}", "--weights", weights)
    absent = a4d("distill", "a tower of glass", "--name", "geometry", "--config", rehearsal(), *nowhere)
    assert absent.code == 4
    assert "nowhere.obj does not exist" in absent.err


@pytest.fixture
def painted_animal(tmp_path: Path) -> Path:
    shape = creature(resolution=24)
    charts = unwrap(Mesh(shape.vertices, shape.faces), 256)
    own = primitive_from_mesh(Mesh(5 * charts.vertices + 3, charts.faces), charts.uvs)
    write_asset(tmp_path / "animal.glb", static_asset("animal", own, Material("skin")))
    return tmp_path / "animal.glb"


@pytest.fixture
def cow(real_data: Path) -> Path:
    """Its texture coordinates leave the picture, from -.05 to 1.0007."""
    return real_data / "meshes_misc/pytorch3d/docs/tutorials/data/cow_mesh/cow.obj"


@pytest.fixture
def bob(real_data: Path) -> Path:
    return real_data / "meshes_misc/nvdiffrec/bob/bob_tri.obj"


@pytest.mark.parametrize(
    "mesh", ["painted_animal", pytest.param("cow", marks=pytest.mark.slow), pytest.param("bob", marks=pytest.mark.slow)]
)
def test_the_user_s_own_mesh_gets_pictures_over_its_own_coordinates(a4d, weights: str, mesh: str, request) -> None:
    file = request.getfixturevalue(mesh)
    settings = ("--config", rehearsal(), "--json")
    workspace = Path(f"{file.stem}.a4d")
    none = a4d("refine", workspace, *settings, *UNTAUGHT)
    assert none.code != 0
    words = ("--prompt", "an animal", "--weights", weights)
    chain = [
        ("preprocess", file, "--views", 1, "--test-views", 0, "--size", 32, "--json"),
        ("refine", workspace, "--name", "appearance", *words, *settings, *UNTAUGHT),
        ("export", workspace, "--from", "appearance", "--frame", "source", *settings),
    ]
    for arguments in chain:
        done = a4d(*arguments)
        assert done.code == 0, (arguments[0], done.err)
        assert "new ones are made" not in done.err
    exported = read_gltf(workspace / "exports" / f"{file.stem}.glb")
    before, after = deform(read_asset(file)), deform(exported)
    assert torch.equal(after.faces, before.faces)
    torch.testing.assert_close(after.uvs, before.uvs[:1], rtol=0, atol=1e-6)
    torch.testing.assert_close(after.vertices, before.vertices, rtol=0, atol=1e-4)
    assert exported.materials[0].normal_map is not None
    assert a4d(*chain[1]).json["status"] == "up to date"


def test_what_is_held_in_appearance_stays_bit_for_bit(a4d, weights: str) -> None:
    write_ply_mesh(Path("box.ply"), box())
    section = yaml.safe_load(rehearsal().read_text())["appearance"]
    section["priors"]["text-to-image"]["adapters"] = []
    Path("plain.yaml").write_text(yaml.safe_dump({key: value for key, value in section.items() if key != "stage"}))
    settings = ("--config", "plain.yaml", "--weights", weights, "--prompt", "a box")
    assert a4d("preprocess", "box.ply", "--views", 1, "--test-views", 0, "--size", 32).code == 0
    for name, iterations in (("before", 0), ("after", 2)):
        done = a4d("refine", "box.a4d", "--name", name, "--iterations", iterations, *settings)
        assert done.code == 0, done.err
    before, after = (load_file(f"box.a4d/scenes/{name}/tensors.safetensors") for name in ("before", "after"))
    assert torch.equal(before["lighting.cube"], after["lighting.cube"])
    assert not torch.equal(before["material.encoding.table"], after["material.encoding.table"])
    surfaces = [Path(f"box.a4d/scenes/{name}/surface.glb").read_bytes() for name in ("before", "after")]
    assert surfaces[0] == surfaces[1]
    relit = ("refine", "box.a4d", "--from", "before", "--name", "relit", *settings, "--dry-run", "--json")
    light = ("--set", "scene.light.environment=room.hdr")
    absent = a4d(*relit, *light)
    assert absent.code == 4
    assert "room.hdr does not exist" in absent.err
    cv2.imwrite("room.hdr", np.full((8, 16, 3), 0.5, np.float32))
    assert str(Path("room.hdr").absolute()) in a4d(*relit, *light).json["inputs"]


def test_a_text_without_a_word_that_the_prior_knows_ends_with_7(a4d) -> None:
    settings = ("--config", FILES / "compact.yaml", "--name", "geometry", "--iterations", 0)
    foreign = a4d("distill", "a zyzzyva", *settings, "--set", "sample.draws=1", "--set", "sample.steps=2")
    assert foreign.code == 7
    assert "knows no word of the prompt" in foreign.err
