"""Surfaces with materials: what they start as, what they show, how they change, and what they leave as."""

from pathlib import Path

import pytest
import torch
from learning import adam_of
from torch.nn.functional import normalize

from a4d.errors import ConfigError, SurfaceVanishedError
from a4d.geometry.cameras import concatenate, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, icosphere, torus
from a4d.geometry.reconstruction.visual_hull import visual_hull
from a4d.io.assets.glb_asset import write_asset
from a4d.io.assets.gltf.reader import read_gltf
from a4d.metrics import psnr, surface_distances
from a4d.objectives import build_objectives
from a4d.objectives.deferred import render_in_patches
from a4d.objectives.objective import Step
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render.environment import EnvironmentLight
from a4d.render.mesh import UNPAINTED, render_mesh
from a4d.render.mesh_gradients import view_mesh
from a4d.render.shaded_mesh import TextureCoordinates, render_material
from a4d.render.textured_material import TexturedMaterial
from a4d.runtime import Runtime
from a4d.scenes import load_scene
from a4d.scenes.field.scene import FieldScene
from a4d.scenes.meshes.tetmesh import TetmeshScene
from a4d.scenes.protocols import AssetOptions
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views

ENCODING = {"levels": 4, "table": 2**12, "base_resolution": 8, "finest_resolution": 64}
SMALL = {
    "kind": "tetmesh",
    "surface": {"resolution": 16},
    "material": {"encoding": ENCODING, "network": {"width": 16}},
    "shading": "albedo",
}
NETWORK = {"kind": "network", "encoding": ENCODING, "network": {"width": 16}, "start_resolution": 32}
RATES = {"sdf": 2e-3, "displacement": 2e-2, "material_encoding": 2e-2, "material_network": 5e-3}
VARIANTS = {
    "table": {"resolution": 16},
    "network": {"resolution": 16, "geometry": NETWORK},
    "flexicubes": {"resolution": 16, "extraction": "flexicubes"},
}


def begin(seed: Seed | None = None, **changes) -> TetmeshScene:
    return TetmeshScene.begin({**SMALL, **changes}, seed or Seed(), generator(0, "begin"))


def colourful(scene: TetmeshScene) -> TetmeshScene:
    """The same scene with a material that varies."""
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        table = scene.material.encoding.table
        table.add_(2 * (torch.rand(table.shape, generator=draws) - 0.5))
        for layer in scene.material.network:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(1.5)
    return scene


def around(count=2, size=48):
    return orbit(
        torch.arange(count) * 110.0 + 20, torch.tensor([15.0, -10.0])[torch.arange(count) % 2], 2.8, 40, size, size
    )


def observed(mesh: Mesh, size=64, views=8) -> Frames:
    index = torch.arange(views + 2)
    azimuth = torch.where(index < views, index * 360.0 / views, (index - views) * 180.0 + 20)
    cameras = orbit(azimuth, torch.tensor([-15.0, 30.0])[index % 2], 2.8, 40.0, size, size)
    render = render_mesh(mesh, cameras)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)
    splits = ["train"] * views + ["test"] * 2
    return Frames(list(rgba), [cameras[i] for i in range(len(index))], None, [str(i) for i in index.tolist()], splits)


def carved(frames: Frames) -> Seed:
    train = frames.select("train")
    cameras = concatenate([frames.cameras[i] for i in train])
    masks = torch.stack([frames.rgba[i][..., 3] for i in train])
    hull = visual_hull(masks, cameras, torch.tensor([[-1.0] * 3, [1.0] * 3]), 64)
    return Seed(points=hull.surface()[0], solid=hull)


def fit(scene, frames, iterations, folder, checkpoint_seconds=1000.0, rates=RATES):
    views = build_views({"seen": {"kind": "observed", "background": "random", "batch": 4}})
    objectives = build_objectives([
        {"kind": "photometric", "views": "seen", "ssim": 0},
        {"kind": "mask", "views": "seen"},
        {"kind": "normal-smoothness", "weight": 0.1},
        {"kind": "sign-change", "weight": 0.002},
    ])  # fmt: skip
    config = LoopConfig.model_validate({
        "iterations": iterations, "optimiser": {"rates": rates, "betas": (0.9, 0.99)}, "preview_seconds": 1000,
        "checkpoint_seconds": checkpoint_seconds,
    })  # fmt: skip
    return optimise(Problem(scene, views, objectives, frames), config, folder, Runtime())


@pytest.mark.parametrize("surface", VARIANTS.values(), ids=VARIANTS)
def test_without_a_seed_it_begins_as_an_ellipsoid(surface):
    scene = begin(surface=surface, ellipsoid=(0.4, 0.6, 0.5))
    mesh = scene.mesh()
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(4 / 3 * torch.pi * 0.4 * 0.6 * 0.5, rel=0.04)
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor([0.4, 0.6, 0.5]), rtol=0, atol=0.02)
    assert scene.bound == pytest.approx(1.15 * 0.6)


def test_it_begins_as_what_is_known_of_the_shape():
    truth = torus(sections=32)
    solid = carved(observed(truth, views=12)).solid
    points = icosphere(0.5, 3).vertices
    exact = surface_distances(begin(Seed(mesh=truth), surface={"resolution": 24}).mesh(), truth, 0.02)
    assert exact.chamfer < 0.01
    assert exact.normal_consistency > 0.95
    hull = surface_distances(begin(Seed(points=points, solid=solid), surface={"resolution": 24}).mesh(), truth, 0.05)
    assert hull.recall > 0.9
    ball = begin(Seed(points=torch.cat([points, torch.tensor([[9.0, 0, 0]])]))).mesh()
    assert float((ball.vertices.norm(dim=-1) - 0.5).abs().max()) < 0.03


@pytest.mark.parametrize("surface", VARIANTS.values(), ids=VARIANTS)
def test_outlines_pull_at_the_shape(surface):
    scene = begin(surface=surface)
    camera = around(1, 64)

    def coverage(offset):
        """The area seen when all distances are `offset` larger."""
        scene._forget()
        parameter = scene.surface.geometry.network[-1].bias if "geometry" in surface else scene.surface.geometry.sdf
        with torch.no_grad():
            (parameter[:1] if "geometry" in surface else parameter).add_(offset)
        return scene.render(camera).alpha.sum(), parameter

    area, parameter = coverage(0.0)
    area.backward()
    slope = float(parameter.grad[0] if "geometry" in surface else parameter.grad.sum())
    with torch.no_grad():
        difference = float(coverage(1e-3)[0] - coverage(-2e-3)[0]) / 2e-3
    assert slope == pytest.approx(difference, rel=0.03)
    assert slope < -100


def test_a_surface_extracted_in_its_band_is_that_of_the_whole_grid():
    scene = begin(Seed(mesh=creature(resolution=40)), surface={"resolution": 20})
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        table = scene.surface.geometry
        table.sdf.add_(0.02 * torch.randn(table.sdf.shape, generator=draws) * (table.sdf.abs() < 0.06))
        table.displacement.add_(torch.randn(table.displacement.shape, generator=draws))
    band = scene.surface().mesh
    assert len(scene.surface._band) < 0.6 * len(table.sdf)
    scene.surface.look()
    whole = scene.surface().mesh
    assert band.is_closed
    torch.testing.assert_close(band.vertices, whole.vertices)
    assert {tuple(face) for face in band.faces.tolist()} == {tuple(face) for face in whole.faces.tolist()}


@pytest.mark.parametrize("surface", VARIANTS.values(), ids=VARIANTS)
def test_a_finer_grid_shows_the_same_surface(surface):
    scene = begin(Seed(mesh=torus(sections=32)), surface=surface)
    before = scene.surface().mesh
    scene.surface.refine(before, 24)
    after = scene.surface().mesh
    assert len(after.faces) > 1.5 * len(before.faces)
    assert after.is_closed
    distances = surface_distances(after, before, 0.02)
    assert distances.chamfer < 0.01
    assert distances.f_score > 0.95


def test_a_fit_finds_the_shape_and_the_colours(tmp_path):
    truth = creature(resolution=48)
    frames = observed(truth)
    scene = begin(carved(frames), surface={"resolution": {0: 16, 40: 24}})
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    start = surface_distances(scene.mesh(), truth, 0.01 * diagonal)
    metrics = fit(scene, frames, 80, tmp_path)
    found = surface_distances(scene.mesh(), truth, 0.01 * diagonal)
    assert found.chamfer < 0.008 * diagonal < start.chamfer
    assert found.normal_consistency > max(0.94, start.normal_consistency)
    assert metrics["psnr"] > 27
    assert scene.facts()["resolution"] == 24
    assert scene.mesh().is_closed


@pytest.mark.parametrize("surface", [{"resolution": {0: 10, 7: 14}}, {**VARIANTS["network"], "look_every": 3}])
def test_a_resumed_fit_ends_with_the_same_bits(tmp_path, surface):
    rates = {**RATES, "geometry_encoding": 1e-3, "geometry_network": 1e-3}
    frames = observed(icosphere(0.5, 3), size=32)
    whole, parts = (begin(surface=surface, ellipsoid=(0.4, 0.4, 0.4)) for _ in range(2))
    fit(whole, frames, 12, tmp_path / "whole", rates=rates)
    fit(parts, frames, 9, tmp_path / "parts", checkpoint_seconds=1e-6, rates=rates)
    resumed = begin(surface=surface, ellipsoid=(0.4, 0.4, 0.4))
    fit(resumed, frames, 12, tmp_path / "parts", checkpoint_seconds=1e-6, rates=rates)
    expected, state = whole.state_dict(), resumed.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert torch.equal(resumed.mesh().vertices, whole.mesh().vertices)


def test_a_surface_that_vanishes_is_an_error():
    scene = begin()
    with torch.no_grad():
        scene.surface.geometry.sdf.fill_(1.0)
    scene.surface.look()
    with pytest.raises(SurfaceVanishedError, match="vanished"):
        scene.render(around())
    with pytest.raises(SurfaceVanishedError, match="vanished"):
        scene.mesh()


def test_every_shading_shows_the_surface_its_own_way():
    scene = colourful(begin()).requires_grad_(False)
    camera = around()
    renders = {
        mode: scene.render_shaded(camera, None, None, mode, ("normal",))
        for mode in ("albedo", "lambertian", "textureless", "normal", "shaded")
    }
    inside = renders["albedo"].alpha[..., 0] == 1
    image = {mode: render.rgb[inside] for mode, render in renders.items()}
    torch.testing.assert_close(image["lambertian"], image["albedo"] * image["textureless"] / UNPAINTED)
    torch.testing.assert_close(image["normal"] * 2 - 1, renders["normal"].normal[inside], atol=1e-5, rtol=0)
    _, directions = camera.rays()
    depth = renders["albedo"].depth
    points = camera.positions[:, None, None] + depth * directions
    torch.testing.assert_close(normalize(points[inside], dim=-1), renders["normal"].normal[inside], atol=0.06, rtol=0)
    assert float(image["albedo"].std()) > 0.02
    assert float((image["shaded"] - image["albedo"]).abs().mean()) > 0.02


def test_bumps_bend_the_normals_but_not_the_shape():
    flat, bumpy = (colourful(begin(material={**SMALL["material"], "bump": bump})) for bump in (0.0, 0.5))
    renders = [
        scene.requires_grad_(False).render_shaded(around(), None, None, "normal", ("normal",))
        for scene in (flat, bumpy)
    ]
    assert torch.equal(renders[0].alpha, renders[1].alpha)
    assert torch.equal(renders[0].depth, renders[1].depth)
    assert float((renders[0].normal - renders[1].normal).abs().max()) > 0.05


def test_an_optimised_light_is_found(tmp_path):
    scene = begin(shading="shaded", light={"is_optimised": True})
    target = EnvironmentLight.of(torch.full((6, 32, 32, 3), 0.5))
    assert [group["name"] for group in adam_of(scene, {"light": 1e-2, "weights": 1.0}).groups()] == ["light"]

    def difference():
        return (scene.lighting().irradiance - target.irradiance).square().mean()

    loss = difference()
    loss.backward()
    gradient = scene.lighting.logarithm.grad
    assert float(gradient.abs().max()) > 0
    with torch.no_grad():
        scene.lighting.logarithm -= 5.0 * gradient / gradient.norm()
    scene._forget()
    assert float(difference().detach()) < float(loss.detach())


@pytest.mark.parametrize("surface", VARIANTS.values(), ids=VARIANTS)
def test_what_is_saved_is_loaded(tmp_path, surface):
    scene = colourful(begin(surface={**surface, "resolution": {0: 12, 1: 16}}))
    scene.after_step(0, adam_of(scene, RATES), torch.Generator())
    scene.save(tmp_path)
    loaded = load_scene(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded.render(around()).rgb, scene.render(around()).rgb)
    assert loaded.facts() == scene.facts()
    assert loaded.facts()["resolution"] == 16
    # Going on with it, steps are counted from 0 again, and the grid does not become coarse again.
    loaded.after_step(0, adam_of(loaded, RATES), torch.Generator())
    assert loaded.facts()["resolution"] == 16


def rendered_asset(asset, cameras, light, mode):
    part = asset.meshes[0].primitives[0]
    mesh = Mesh(part.positions, part.faces)
    view = view_mesh(mesh.vertices, mesh.faces, cameras)
    coordinates = TextureCoordinates(part.uvs[0], part.faces)
    return render_material(view, mesh, TexturedMaterial(asset.materials[part.material]), light, mode, coordinates)


@pytest.mark.parametrize(("shading", "bump"), [("albedo", 0.0), ("shaded", 0.0), ("shaded", 0.4)])
def test_the_asset_looks_like_the_scene(tmp_path, shading, bump):
    scene = begin(shading=shading, material={**SMALL["material"], "bump": bump}).requires_grad_(False)
    waves = torch.tensor([[3.0, 1, 0], [0, 4, 1], [2, 0, 3], [3, 3, 0], [0, 3, 3], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    scene.material.network = torch.nn.Identity()
    scene.material.encoding.forward = lambda unit: 2 * torch.sin((unit * 2 - 1) @ waves.T)
    write_asset(tmp_path / "thing.glb", scene.asset(AssetOptions("thing", 512)))
    asset = read_gltf(tmp_path / "thing.glb")
    material = asset.materials[0]
    assert material.is_unlit == (shading == "albedo")
    assert (material.normal_map is not None) == (bump > 0)
    cameras = around(2, 96)
    back = rendered_asset(asset, cameras, scene.lighting(), shading)
    assert psnr(back.rgb.clamp(0, 1), scene.render(cameras).rgb.clamp(0, 1)) > 35


def test_patches_give_the_gradients_of_the_whole_image():
    scene = colourful(begin())
    camera = around(1, 32)
    cotangent = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    gradients = []
    for patch in (32, 16):
        scene.zero_grad()
        scene._forget()
        image = render_in_patches(lambda part: scene.render(part).rgb, camera, patch)
        (image * cotangent).sum().backward()
        gradients.append(scene.material.encoding.table.grad.clone())
    # Outlines that lie between two patches are not blended.
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.05


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ConfigError, match="displacement"):
        Problem(begin(), {}, []).hold_all_but(["displacment"])
    with pytest.raises(ConfigError, match="from step 0 on"):
        begin(surface={"resolution": {5: 16}})
    with pytest.raises(ConfigError, match="shading"):
        begin(shading="shiny")
    assert not list(Path(tmp_path).iterdir())


def shown(view, steps=200, scene=None):
    """The images of a view set over some steps, told apart by the shading that they were drawn in."""
    scene = scene or colourful(begin(shading="shaded")).requires_grad_(False)
    views = build_views({"novel": {"kind": "orbit", "size": 16, "azimuth": [20, 20], "elevation": [15, 15], **view}})
    names = []
    for index in range(steps):
        step = Step(index, 7, scene, views)
        names.append(views["novel"].drawn_shading(index, 7))
        if index < 5:
            expected = scene.render_shaded(step.batch("novel").cameras, None, step.batch("novel").background, names[-1])
            assert torch.equal(step.render("novel").rgb, expected.rgb)
    return names


def test_views_choose_the_shading_by_chance_and_by_schedule():
    names = shown({"shading": {"albedo": 3, "normal": 1}}, 400)
    assert names.count("albedo") + names.count("normal") == 400
    assert 260 < names.count("albedo") < 340
    rising = {"textureless": {"from": 0, "to": 1, "steps": 200}, "albedo": {"from": 1, "to": 0, "steps": 200}}
    names = shown({"shading": rising})
    assert names[:100].count("textureless") < 40 < 60 < names[100:].count("textureless")
    assert names == shown({"shading": rising})
    assert set(shown({"shading": "normal"}, 3)) == {"normal"}
    assert set(shown({}, 3)) == {None}


def test_a_shading_that_a_scene_does_not_have_is_refused_before_the_first_step():
    field = FieldScene.begin(
        {"encoding": {"levels": 2, "finest_resolution": 32}, "occupancy": {"resolution": 8}},
        Seed(),
        generator(0, "begin"),
    )
    late = {"albedo": 1, "shaded": {"from": 0, "to": 1, "steps": 1000}}
    views = build_views({"novel": {"kind": "orbit", "shading": late}})
    with pytest.raises(ConfigError, match=r"views.novel.shading: a scene of kind 'field' has no shading 'shaded'"):
        Problem(field, views, [])
    assert set(shown({"shading": {"textureless": 1}}, 2, field.requires_grad_(False))) == {"textureless"}
    with pytest.raises(ConfigError, match="no shading has a chance"):
        shown({"shading": {"albedo": 0}}, 1)
    with pytest.raises(ConfigError, match="shading"):
        build_views({"novel": {"kind": "orbit", "shading": "shiny"}})
