"""Radiance fields: what they show at first, in every shading, after a fit, and after being stored."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from learning import adam_of
from small_field import RATES, SMALL, TIMES, ball, begin, clip, fit, front, observed, perturbed

from a4d.errors import ConfigError, SurfaceVanishedError
from a4d.geometry.cameras import turntable
from a4d.geometry.primitives import icosphere
from a4d.objectives.deferred import render_in_patches
from a4d.optimise import Problem
from a4d.randomness import generator
from a4d.scenes import load_scene
from a4d.scenes.field.radiance import GridStack
from a4d.scenes.field.scene import FieldScene
from a4d.scenes.seed import Seed


def test_a_field_begins_as_a_blob():
    scene = begin()
    radii = torch.tensor([0.0, 0.35, 0.9])
    points = torch.stack([radii, torch.zeros(3), torch.zeros(3)], dim=-1)
    expected = torch.exp(4 * torch.exp(-(radii**2) / (2 * 0.35**2)) - 1)
    torch.testing.assert_close(scene.density(points, torch.zeros(3)), expected, rtol=0.02, atol=0)
    alpha = scene.render(front()).alpha[0, ..., 0].detach()
    assert float(alpha[10:14, 10:14].min()) > 0.95
    assert float(alpha[[0, 0, -1, -1], [0, -1, 0, -1]].max()) < 0.4


@pytest.mark.parametrize("activation", ["exp", "softplus"])
def test_activations_and_their_inverse(activation):
    scene = begin(density={"activation": activation})
    for density in (0.01, 1.0, 30.0):
        raw = torch.tensor([scene.field.raw_density(density)])
        torch.testing.assert_close(scene.field.activate(raw), torch.tensor([density]), rtol=1e-4, atol=0)


def test_the_exponential_keeps_its_gradient_finite():
    raw = torch.tensor([1.0, 40.0], requires_grad=True)
    begin().field.activate(raw).sum().backward()
    torch.testing.assert_close(raw.grad, torch.tensor([1.0, 15.0]).exp())


def test_a_hard_ball_is_seen_where_it_is():
    scene = ball()
    cameras = front(48)
    render = scene.render(cameras)
    rays, directions = (part[0] for part in cameras.rays())
    unit = directions / directions.norm(dim=-1, keepdim=True)
    # The same integral by 1000 steps through the density that is known.
    stretch = directions.norm(dim=-1, keepdim=True)
    along = torch.linspace(1.8, 3.8, 1000)
    radii = (rays[..., None, :] + along[:, None] * unit[..., None, :]).norm(dim=-1)
    optical = (torch.exp(60 - 120 * radii) * 0.002).cumsum(-1)
    weights = torch.exp(-optical).diff(dim=-1, prepend=torch.ones_like(optical[..., :1])).neg()
    alpha = weights.sum(-1, keepdim=True)
    torch.testing.assert_close(render.alpha[0], alpha, atol=0.02, rtol=0)
    depth = (weights * along).sum(-1, keepdim=True) / alpha / stretch
    torch.testing.assert_close(render.depth[0][alpha > 0.5], depth[alpha > 0.5], atol=0.02, rtol=0)
    red = torch.tensor([1.0, 0.0, -1.0]).sigmoid()
    torch.testing.assert_close(render.rgb[0, 24, 24], red, atol=1e-4, rtol=0)
    white = scene.render(cameras, None, torch.ones(3)).rgb
    torch.testing.assert_close(white, render.rgb + 1 - render.alpha)


def test_shadings_follow_the_normal():
    scene = ball()
    cameras = front(48)
    directions = cameras.rays()[1][0]
    directions = directions / directions.norm(dim=-1, keepdim=True)
    renders = {
        shading: scene.render_shaded(cameras, None, None, shading, () if shading == "albedo" else ("normal",))
        for shading in ("albedo", "lambertian", "textureless", "normal")
    }
    normal = renders["normal"].normal
    assert renders["albedo"].normal is None
    assert normal is not None
    solid = renders["albedo"].alpha[0, ..., 0] > 0.999
    points = cameras.rays()[0][0] + renders["albedo"].depth[0] * cameras.rays()[1][0]
    outward = torch.nn.functional.normalize(points, dim=-1)
    assert float((normal[0] * outward).sum(-1)[solid].min()) > 0.98
    torch.testing.assert_close(renders["normal"].rgb[0][solid], (normal[0][solid] + 1) / 2, atol=2e-3, rtol=0)
    light = 0.1 + 0.9 * -(normal[0] * directions).sum(-1, keepdim=True)
    torch.testing.assert_close(renders["textureless"].rgb[0][solid], light[solid].expand(-1, 3), atol=5e-3, rtol=0)
    expected = renders["albedo"].rgb * renders["textureless"].rgb
    torch.testing.assert_close(renders["lambertian"].rgb[0][solid], expected[0][solid], atol=5e-3, rtol=0)


def test_samples_are_shifted_anew_by_every_step_that_optimises_and_by_nothing_else():
    scene = perturbed(begin())
    moved, still = [], []
    for step in (0, 1):
        scene.steps_done.fill_(step)
        moved.append(scene.render(front(8)).rgb.detach())
        with torch.no_grad():
            still.append(scene.render(front(8)).rgb)
    assert 1e-5 < float((moved[0] - moved[1]).abs().max()) < 0.1
    assert torch.equal(still[0], still[1])


def test_gradients_are_those_of_finite_differences():
    scene = perturbed(begin(sampling={"steps": 24, "jitter": False, "least_light": 0.0})).double()
    for shading in ("albedo", "normal"):
        render = scene.render_shaded(front(3), None, None, shading)
        loss = (render.rgb * torch.tensor([1.0, 2.0, 3.0])).sum() + render.depth.sum()
        layer = scene.field.network[-1].bias
        (gradient,) = torch.autograd.grad(loss, layer)
        for index in range(4):
            values = []
            for offset in (1e-5, -1e-5):
                with torch.no_grad():
                    layer[index] += offset
                    render = scene.render_shaded(front(3), None, None, shading)
                    values.append((render.rgb * torch.tensor([1.0, 2.0, 3.0])).sum() + render.depth.sum())
                    layer[index] -= offset
            assert float(gradient[index]) == pytest.approx(float(values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_skipping_empty_space_does_not_change_the_image():
    scene = ball()
    skipped = scene.render(front(32))
    assert scene.occupancy.share < 0.2
    scene.occupancy.occupied.fill_(True)
    whole = scene.render(front(32))
    torch.testing.assert_close(skipped.rgb, whole.rgb, atol=2e-3, rtol=0)
    torch.testing.assert_close(skipped.alpha, whole.alpha, atol=2e-3, rtol=0)


def test_importance_sampling_shows_the_same_with_fewer_steps():
    scene = ball()
    config = scene.config
    depths = {}
    for steps, importance in ((2048, 0), (64, 0), (64, 48)):
        sampling = config.sampling.model_copy(update={"steps": steps, "importance": importance})
        scene.config = config.model_copy(update={"sampling": sampling})
        render = scene.render(front(32))
        depths[steps, importance] = render.depth[render.alpha > 0.99]
    errors = [float((depths[64, extra] - depths[2048, 0]).abs().mean()) for extra in (48, 0)]
    assert errors[0] < 0.5 * errors[1]


def test_patches_make_the_image_and_its_gradient():
    scene = perturbed(begin())
    cameras = front(16)
    table = scene.field.features.space.table
    weight = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(1))
    whole = scene.render(cameras).rgb
    patched = render_in_patches(lambda part: scene.render(part).rgb, cameras, 6)
    torch.testing.assert_close(patched, whole, atol=1e-5, rtol=0)
    gradients = [torch.autograd.grad((image * weight).sum(), table)[0] for image in (whole, patched)]
    assert float(gradients[0].abs().max()) > 1e-3
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-3)


def test_fine_levels_wait_for_their_turn():
    scene = perturbed(begin(active_levels={"from": 1, "to": 4, "steps": 30}))
    optimiser = adam_of(scene, RATES)
    sizes = scene.field.features.space.layout.offsets
    for done, active in ((0, 1), (10, 2), (30, 4)):
        if done:
            scene.after_step(done - 1, optimiser, generator(0, done))
        assert scene.facts()["levels"] == active
        optimiser.zero()
        scene.render(front()).rgb.sum().backward()
        gradient = scene.field.features.space.table.grad.view(-1, 2)
        learning = [bool(gradient[a:b].any()) for a, b in pairwise(sizes)]
        assert learning == [level < active for level in range(4)]


@pytest.mark.parametrize("time", [None, *TIMES])
def test_what_is_stored_is_what_is_read(time, tmp_path: Path):
    scene = perturbed(begin(active_levels={"from": 1, "to": 4, "steps": 10}, time=time and TIMES[time].model_dump()))
    optimiser = adam_of(scene, RATES)
    scene.after_step(4, optimiser, generator(0, "step"))
    scene.save(tmp_path)
    again = load_scene(tmp_path)
    assert isinstance(again, FieldScene)
    assert again.level_weights == scene.level_weights == (1.0, 1.0, 0.5, 0.0)
    with torch.no_grad():
        images = [s.render(front(), torch.tensor([0.3])).rgb for s in (scene, again)]
    assert torch.equal(*images)
    # Whoever goes on with it counts from 0 again, and the levels stay.
    assert again.config == scene.config.model_copy(update={"active_levels": 2.5})
    again.after_step(0, optimiser, generator(0, "step"))
    assert again.level_weights == scene.level_weights


def test_a_fit_predicts_views_that_were_held_out_and_its_surface_is_that_of_the_ball(tmp_path: Path):
    from a4d.metrics import psnr

    scene, frames = begin(), observed()
    assert fit(scene, frames, 220, tmp_path)["psnr"] > 27
    scores = []
    for index in frames.select("test"):
        with torch.no_grad():
            image = scene.render(frames.cameras[index]).rgb.clamp(0, 1)
        rgba = frames.rgba[index][None]
        scores.append(psnr(image, rgba[..., :3] * rgba[..., 3:]))
    assert sum(scores) / 2 > 24
    mesh = scene.mesh()
    assert mesh.is_closed
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.15)
    assert mesh.colours is not None
    assert mesh.colours.shape == mesh.vertices.shape


@pytest.mark.parametrize("time", [None, "grid-stack"])
def test_a_run_that_was_resumed_ends_with_the_same_bits(time, tmp_path: Path):
    frames = observed(32, 4) if time is None else clip(3, 3)
    changes = {} if time is None else {"time": TIMES[time].model_dump()}
    whole, first = begin(**changes), begin(**changes)
    fit(whole, frames, 24, tmp_path / "whole")
    fit(first, frames, 13, tmp_path / "parts", checkpoint_seconds=1e-9)
    resumed = begin(seed=1, **changes)
    fit(resumed, frames, 24, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_ball_has_a_closed_surface_and_nothing_has_none():
    mesh = ball().mesh()
    assert mesh.is_closed
    radius = 0.5 * (1 - math.log(10) / 60)
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)
    empty = begin(density={"blob": 0.0, "bias": -9.0})
    with pytest.raises(SurfaceVanishedError, match="denser than 10"):
        empty.mesh()
    full = begin(density={"blob": 0.0, "bias": 9.0}).mesh()
    assert full.is_closed
    assert full.volume == pytest.approx(8, rel=0.1)


def test_a_hollow_ball_has_one_surface():
    scene = ball()
    radius = 0.5 - math.log(10) / 60
    scene.field._prior = lambda points: 60 * (0.1 - (points.norm(dim=-1) - 0.4).abs())
    assert scene.mesh().volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)


def test_unknown_rates_and_keys_are_refused():
    with pytest.raises(ConfigError, match=r"optimiser.rates.encodings"):
        Problem(begin(), {}, []).hold_all_but(["encodings"])
    with pytest.raises(ConfigError, match=r"scene.network.depth"):
        begin(network={"depth": 2})


def test_a_field_can_begin_as_a_known_shape(tmp_path):
    shape = icosphere(0.5, 3)
    moved = shape.with_vertices(shape.vertices * torch.tensor([1.0, 0.6, 1.0]) + torch.tensor([0.0, 0.2, 0.0]))
    spec = {**SMALL, "density": {"blob": 4.0, "blob_radius": 0.1, "blob_shape": "seed", "bias": -1.0}}
    scene = FieldScene.begin(spec, Seed(mesh=moved), generator(0, "begin"))
    points = torch.tensor([[0.0, 0.2, 0.0], [0.4, 0.2, 0.0], [0.0, 0.65, 0.0], [0.0, -0.3, 0.0], [0.7, 0.2, 0.0]])
    raw = scene.field(points, torch.zeros(5), scene.level_weights)[0]
    torch.testing.assert_close(raw, torch.tensor([3.0, 3.0, -5.0, -5.0, -5.0]), rtol=0, atol=0.1)
    assert scene.occupancy.share < 0.2
    scene.save(tmp_path)
    again = load_scene(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.render(front()).rgb, scene.render(front()).rgb)
        assert torch.equal(scene.moving(GridStack(count=2)).render(front()).alpha, scene.render(front()).alpha)
    ball = FieldScene.begin(spec, Seed(), generator(0, "begin")).density(torch.zeros(1, 3), torch.zeros(1))
    assert float(ball.detach()) > 10


def test_a_graph_that_is_computed_again_on_the_way_back_gives_the_same_bits(monkeypatch) -> None:
    monkeypatch.setattr("a4d.render.field.RAYS", 100)
    encoding = {"levels": 3, "table": 512, "base_resolution": 4, "finest_resolution": 16}
    found = []
    for recompute in (False, True):
        sampling = {"steps": 24, "recompute": recompute}
        spec = {"kind": "field", "encoding": encoding, "occupancy": {"resolution": 8}, "sampling": sampling}
        scene = FieldScene.begin(spec, Seed(radius=1.0), generator(0))
        render = scene.render(turntable(2, 10.0, 2.6, 40.0, 16), None, torch.ones(3), {"normal", "entropy"})
        (render.rgb.square().sum() + render.channels["normal"].sum() + render.channels["entropy"].sum()).backward()
        found.append([render.rgb, *(parameter.grad for parameter in scene.field.parameters())])
    assert float(found[0][1].abs().max()) > 0
    assert all(torch.equal(kept, again) for kept, again in zip(*found, strict=True))
