"""A material that was learnt, out of its exported files: the same normals and shading, by whoever reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gltf_validator import errors, installed_validator
from test_fixed_mesh import MATERIAL, around, begin, cut_in_two, painted

from a4d.export.subject import Subject, SurfaceOptions
from a4d.export.surfaces import write_glb, write_obj_file
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature
from a4d.io.assets.asset_reader import read_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.pictures.images import read_image
from a4d.metrics import psnr
from a4d.render.mesh_gradients import view_mesh
from a4d.render.render import Shading
from a4d.render.shaded_mesh import CornerNormals, TextureCoordinates, render_material
from a4d.render.textured_material import TexturedMaterial
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.protocols import AssetOptions
from a4d.scenes.seed import Seed

BUMPED = {**MATERIAL, "bump": 0.5}


@pytest.fixture(scope="module")
def animal() -> FixedMeshScene:
    return painted(begin(Seed(mesh=creature(resolution=32)), material=BUMPED))


def likeness(scene: FixedMeshScene, asset: Asset, shading: Shading) -> float:
    """DB between renders of the scene and of an asset of one material, over the pixels inside both outlines."""
    surface, cameras = deform(asset), around(2, 128)
    coordinates, normals = (kind(rows, surface.faces) for kind, rows in (
        (TextureCoordinates, surface.uvs[0]), (CornerNormals, surface.normals)
    ))  # fmt: skip
    mesh = Mesh(surface.vertices, surface.faces)
    view, material = view_mesh(mesh.vertices, mesh.faces, cameras), TexturedMaterial(asset.materials[0])
    light = scene.lighting()
    shown = render_material(view, mesh, material, light, shading, coordinates, given_normals=normals)
    truth = scene.render_shaded(cameras, None, None, shading)
    inside = (truth.alpha[..., 0] == 1) & (shown.alpha[..., 0] == 1)
    return psnr(shown.rgb[inside].clamp(0, 1), truth.rgb[inside].clamp(0, 1))


def test_files_have_the_scene_s_normals_and_shading(animal: FixedMeshScene, tmp_path: Path) -> None:
    write_glb(tmp_path / "animal.glb", Subject("animal", animal, surface_options=SurfaceOptions(texture=1024)))
    asset = read_gltf(tmp_path / "animal.glb")
    assert likeness(animal, asset, "shaded") > 35
    assert likeness(animal, asset, "normal") > 35
    smooth = replace(asset, materials=tuple(replace(material, normal_map=None) for material in asset.materials))
    assert likeness(animal, smooth, "normal") < 25


def test_another_program_finds_the_pictures_of_an_obj_file(animal: FixedMeshScene, tmp_path: Path) -> None:
    asset = animal.asset(AssetOptions("animal", 128))
    write_obj_file(tmp_path / "animal.obj", Subject("animal", animal, surface_options=SurfaceOptions(texture=128)))
    loaded = trimesh.load(tmp_path / "animal.obj", process=False, force="mesh")
    assert len(loaded.faces) == len(animal.faces)
    picture = np.asarray(loaded.visual.material.image, np.float32)[..., :3] / 255
    stored = asset.materials[0].base_colour_map.image.numpy()
    assert np.abs(picture - stored).max() <= 0.5 / 255 + 1e-6
    # Theirs counts v from below.
    here = loaded.visual.uv[loaded.faces].mean(1)
    colours = picture[((1 - here[:, 1]) * 128).astype(int), (here[:, 0] * 128).astype(int)]
    centres = torch.from_numpy(np.array(loaded.triangles_center)).float()
    own = animal.material(centres)[:, :3].numpy()
    assert np.abs(colours - own).mean() < 0.05
    again = read_asset(tmp_path / "animal.obj").materials[0]
    for name in ("metallic_roughness_map", "normal_map"):
        found, expected = (getattr(material, name).image for material in (again, asset.materials[0]))
        channels = slice(1, 3) if name == "metallic_roughness_map" else slice(0, 3)
        torch.testing.assert_close(found[..., channels], expected[..., channels], rtol=0, atol=0.5 / 255 + 1e-6)
    normals = read_image(next(tmp_path.glob("*_normal.png")))[..., :3] * 2 - 1
    assert np.abs(np.linalg.norm(normals, axis=-1) - 1).max() < 0.02


@pytest.mark.slow
def test_the_official_validator_finds_nothing_wrong(animal: FixedMeshScene, tmp_path: Path) -> None:
    script = installed_validator(tmp_path / "npm")
    scenes = {
        "bumped": animal,
        "own coordinates": painted(begin(Seed(asset=cut_in_two(apart=-0.8)), material=BUMPED)),
        "colours alone": painted(begin(shading="albedo")),
    }
    paths = [tmp_path / f"{name}.glb" for name in scenes]
    for path, scene in zip(paths, scenes.values(), strict=True):
        write_glb(path, Subject("subject", scene, surface_options=SurfaceOptions(texture=128)))
    assert errors(script, paths) == {}
