"""A mesh that stays as it is under a material that learns: what is held, what changes, and what it leaves as."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning import adam_of

from a4d.errors import ConfigError
from a4d.geometry.assets.assembly import primitive_from_mesh, static_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, icosphere
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.metrics import psnr
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render.asset import AssetRenderer
from a4d.runtime import Runtime
from a4d.scenes import begin_from, load_scene
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.meshes.tetmesh import TetmeshScene
from a4d.scenes.protocols import AssetOptions
from a4d.scenes.seed import Seed
from a4d.views import build_views

ENCODING = {"levels": 4, "table": 2**12, "base_resolution": 8, "finest_resolution": 64}
MATERIAL = {"encoding": ENCODING, "network": {"width": 16}}
SMALL = {"kind": "fixed_mesh", "material": MATERIAL}
RATES = {"material_encoding": 2e-2, "material_network": 5e-3}
WAVES = torch.tensor([[3.0, 1, 0], [0, 4, 1], [2, 0, 3], [3, 3, 0], [0, 3, 3], [9, 0, 0], [0, 9, 0], [0, 0, 9]])


def cut_in_two(scale: float = 0.45, apart: float = 0.5) -> Asset:
    """A ball whose halves are of two materials, each with texture coordinates over a picture of its own."""
    ball = icosphere(0.5, 3)
    is_right = ball.vertices[ball.faces].mean(1)[:, 0] > 0
    parts = []
    for index, (chosen, side) in enumerate(((is_right, 1), (~is_right, -1))):
        corners, faces = ball.faces[chosen].unique(return_inverse=True)
        half = Mesh(ball.vertices[corners], faces)
        flat = half.vertices[:, [2, 1]]
        # Stereographic: seen from the pole of the other half, no point lies behind another.
        uvs = apart + 2 * scale * flat / (1 + side * half.vertices[:, :1] / 0.5)
        normals = torch.nn.functional.normalize(half.vertices, dim=1)
        parts.append(replace(primitive_from_mesh(half, uvs), normals=normals, material=index))
    return static_asset("ball", parts, (Material("left"), Material("right", is_double_sided=True)))


def begin(seed: Seed | None = None, **changes) -> FixedMeshScene:
    return FixedMeshScene.begin({**SMALL, **changes}, seed or Seed(asset=cut_in_two()), generator(0, "begin"))


def painted(scene: FixedMeshScene) -> FixedMeshScene:
    """The same scene with a smooth material that varies in all its channels."""
    scene.material.network = torch.nn.Identity()
    scene.material.encoding.forward = lambda unit: 2 * torch.sin((unit * 2 - 1) @ WAVES.T)
    return scene.requires_grad_(False)


def around(count=3, size=96):
    return orbit(torch.arange(count) * 120.0 + 20, torch.tensor([15.0, -10, 35])[:count], 2.4, 30, size, size)


def fit(scene, iterations, folder, checkpoint_seconds=1000.0):
    views = build_views({"all": {"kind": "orbit", "batch": 2, "size": 32, "radius": 2.4, "fov": 30}})
    objectives = build_objectives([{"kind": "material-smoothness", "points": 256, "distance": 0.1}])
    config = LoopConfig.model_validate({
        "iterations": iterations, "optimiser": {"rates": RATES}, "preview_seconds": 1000,
        "checkpoint_seconds": checkpoint_seconds,
    })  # fmt: skip
    return optimise(Problem(scene, views, objectives), config, folder, Runtime())


def test_it_shows_the_surface_of_the_scene_that_it_goes_on_from():
    start = TetmeshScene.begin(
        {"kind": "tetmesh", "surface": {"resolution": 16}, "material": MATERIAL}, Seed(), generator(0, "begin")
    ).requires_grad_(False)
    scene = begin_from(start, SMALL, generator(0, "begin")).requires_grad_(False)
    assert scene.kind == "fixed_mesh"
    cameras = around()
    for shading in ("normal", "textureless"):
        shown, before = (each.render_shaded(cameras, None, None, shading).rgb for each in (scene, start))
        torch.testing.assert_close(shown, before, rtol=0, atol=1e-5)
    assert scene.mesh().is_closed
    assert torch.equal(scene.mesh().vertices, start.mesh().vertices)
    grey = scene.material(scene.vertices)[:, :3]
    assert float((grey - 0.5).abs().max()) < 0.1


def test_a_resumed_fit_ends_with_the_same_bits_and_never_moves_the_surface(tmp_path):
    whole, parts = begin(), begin()
    before = [tensor.clone() for tensor in (whole.vertices, whole.faces, whole.normals, whole.lighting.cube)]
    table = whole.material.encoding.table.detach().clone()
    fit(whole, 6, tmp_path / "whole")
    fit(parts, 4, tmp_path / "parts", checkpoint_seconds=1e-6)
    resumed = begin()
    fit(resumed, 6, tmp_path / "parts", checkpoint_seconds=1e-6)
    expected, state = whole.state_dict(), resumed.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    after = (whole.vertices, whole.faces, whole.normals, whole.lighting.cube)
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert not torch.equal(whole.material.encoding.table, table)
    whole.save(tmp_path)
    again = load_scene(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again.render(around()).rgb, whole.render(around()).rgb, rtol=0, atol=1e-5)


def test_the_material_is_the_only_thing_that_learns():
    scene = begin()
    assert {name for name, parameters in scene.groups().items() if parameters} == set(RATES)
    assert [group["name"] for group in adam_of(scene, {**RATES, "light": 1.0}).groups()] == list(RATES)
    scene.render(around()).rgb.sum().backward()
    assert float(scene.material.encoding.table.grad.abs().max()) > 0
    assert float(scene.material.network[-1].weight.grad[:5].abs().amin()) > 0


def test_metalness_begins_where_it_is_told():
    low = begin(material={**MATERIAL, "metallic_start": 0.1, "metallic": (0.2, 0.6)}).requires_grad_(False)
    usual = begin().requires_grad_(False)
    channels, before = (scene.material_channels(scene.vertices) for scene in (low, usual))
    assert float((channels[:, 4] - (0.2 + 0.1 * 0.4)).abs().max()) < 0.03
    torch.testing.assert_close(channels[:, :4], before[:, :4], rtol=0, atol=1e-6)


def test_another_light_changes_the_look_and_not_the_material():
    scene = begin().requires_grad_(False)
    with torch.no_grad():
        scene.material.network[-1].bias.add_(torch.tensor([1.0, -1, 0, 2, -2, 0, 0, 0]))
    other = begin_from(scene, {"light": {"environment": "sky", "strength": 0.7}}, generator(0, "begin"))
    other.requires_grad_(False)
    assert other.config.light.environment == "sky"
    assert torch.equal(other.vertices, scene.vertices)
    cameras = around()
    plain, relit = (each.render_shaded(cameras, None, None, "albedo").rgb for each in (scene, other))
    assert torch.equal(plain, relit)
    assert float((scene.render(cameras).rgb - other.render(cameras).rgb).abs().mean()) > 0.02
    with pytest.raises(ConfigError, match=r"scene\.material"):
        begin_from(scene, {"material": {"bump": 1.0}}, generator(0, "begin"))


@pytest.mark.parametrize("apart", [0.5, pytest.param(-0.8, id="beside the picture, which repeats")])
def test_the_user_s_own_texture_coordinates_and_faces_are_kept(tmp_path: Path, apart: float, caplog):
    given = cut_in_two(apart=apart)
    scene = painted(begin(Seed(asset=given), material={**MATERIAL, "bump": 0.4}))
    write_asset(tmp_path / "ball.glb", scene.asset(AssetOptions("ball", 256)))
    asset = read_gltf(tmp_path / "ball.glb")
    before, after = deform(given), deform(asset)
    assert caplog.text == ""
    for name in ("vertices", "faces", "normals", "uvs", "materials"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=0, atol=1e-6)
    assert [material.name for material in asset.materials[:2]] == ["left", "right"]
    assert [material.is_double_sided for material in asset.materials[:2]] == [False, True]
    for material in asset.materials[:2]:
        assert material.base_colour_map is not None
        assert material.metallic_roughness_map is not None
        assert material.normal_map is not None
    cameras = around()
    renderer = AssetRenderer(asset, "shaded", scene.lighting(), samples=3)
    shown = torch.stack([renderer.render(after, cameras[index]).rgba for index in range(len(cameras))])
    truth = scene.render(cameras)
    inside = (truth.alpha[..., 0] == 1) & (shown[..., 3] == 1)
    assert psnr(shown[inside][:, :3], truth.rgb[inside].clamp(0, 1)) > 35


@pytest.mark.parametrize(
    "mesh",
    [
        pytest.param({"scale": 0.6}, id="over their own repetition"),
        pytest.param({"scale": 4.0}, id="over many"),
        pytest.param({"scale": 0.0}, id="without area"),
    ],
)
def test_coordinates_that_no_picture_can_be_laid_over_are_replaced(mesh, caplog):
    scene = painted(begin(Seed(asset=cut_in_two(**mesh))))
    asset = scene.asset(AssetOptions("ball", 128))
    assert "new ones are made" in caplog.text
    uvs = deform(asset).uvs[0]
    assert float(uvs.min()) >= 0
    assert float(uvs.max()) <= 1
    assert len(deform(asset).faces) == len(scene.faces)
    assert len(asset.materials) == 1


def test_coordinates_that_lie_double_are_replaced(caplog):
    halves = cut_in_two()
    parts = [replace(part, material=0) for part in halves.meshes[0].primitives]
    scene = painted(begin(Seed(asset=static_asset("ball", parts, (Material("both"),)))))
    scene.asset(AssetOptions("ball", 128))
    assert "new ones are made" in caplog.text


@pytest.mark.parametrize("bump", [0.0, 0.5])
def test_a_mesh_without_coordinates_is_unwrapped_and_looks_like_the_scene(tmp_path: Path, bump: float, caplog):
    scene = painted(begin(Seed(mesh=creature(resolution=32)), material={**MATERIAL, "bump": bump}))
    write_asset(tmp_path / "animal.glb", scene.asset(AssetOptions("animal", 512)))
    assert caplog.text == ""
    asset = read_gltf(tmp_path / "animal.glb")
    surface = deform(asset)
    renderer = AssetRenderer(asset, "shaded", scene.lighting(), samples=3)
    cameras = around(2, 128)
    shown = torch.stack([renderer.render(surface, cameras[index]).rgba for index in range(len(cameras))])
    truth = scene.render(cameras)
    inside = (truth.alpha[..., 0] == 1) & (shown[..., 3] == 1)
    assert psnr(shown[inside][:, :3], truth.rgb[inside].clamp(0, 1)) > 33
    if bump:
        assert asset.materials[0].normal_map is not None
        stored = asset.materials[0].normal_map.image * 2 - 1
        # Bent both ways along both axes: nothing wraps around below zero.
        assert float(stored[..., :2].amin()) < -0.2
        assert float(stored[..., :2].amax()) > 0.2
        assert float(stored[..., 2].min()) > 0
        torch.testing.assert_close(stored.norm(dim=-1), torch.ones(512, 512), rtol=0, atol=0.02)


def test_padding_continues_what_lies_beside_it():
    scene = painted(begin(Seed(mesh=icosphere(0.5, 3))))
    unwrapped = unwrap(Mesh(scene.vertices, scene.faces), 128)
    image = scene.asset(AssetOptions("ball", 128)).materials[0].base_colour_map.image
    assert float(image.min()) > 0.05, "no texel beside the charts is left black"
    assert len(unwrapped.uvs) > len(scene.vertices)


def test_what_has_no_surface_is_refused():
    with pytest.raises(ConfigError, match="needs a mesh"):
        begin(Seed(radius=1.0))
