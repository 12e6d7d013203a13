"""Articulated fields: density, what they show at rest and posed, empty space that moves along, and their slopes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning import adam_of
from rich.console import Console

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras, orbit, turntable
from a4d.geometry.primitives import icosphere, paint
from a4d.geometry.surfaces.differences import gradients
from a4d.metrics import mask_iou
from a4d.objectives import build_objectives
from a4d.objectives.deferred import render_in_patches
from a4d.objectives.objective import Step
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes import load_scene
from a4d.scenes.articulated.canonical_field import laplace_density
from a4d.scenes.articulated.field import ArticulatedField
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views

RADIUS = 0.4
SMALL = {
    "kind": "articulated_field",
    "bones": 3,
    "canonical": {
        "trunk": {
            "kind": "grids",
            "encoding": {"levels": 3, "table": 512, "base_resolution": 4, "finest_resolution": 16},
            "width": 8,
        },
        "head_width": 8,
        "features": {"channels": 4, "frequencies": 2, "width": 8, "layers": 2},
        "start_resolution": 40,
    },
    "sampling": {"steps": 80, "jitter": False},
    "occupancy": {"resolution": 16},
    "surface_resolution": 32,
}


def ball(**changes) -> ArticulatedField:
    scene = ArticulatedField.begin({**SMALL, **changes}, Seed(mesh=icosphere(RADIUS, 3)), generator(0, "begin"))
    return scene.eval()


def moved(scene: ArticulatedField, shift: tuple[float, float, float], turn: float = 0.0) -> ArticulatedField:
    """The scene whose root shifts and turns about the y axis, alike at all times."""
    with torch.no_grad():
        bias = scene.root.network[-1].bias
        bias[:6] = torch.tensor([math.cos(turn) - 1, 0.0, -math.sin(turn), 0.0, 0.0, 0.0])
        bias[6:] = torch.tensor(shift)
    return scene


def front(size: int = 24, distance: float = 2.4) -> Cameras:
    return orbit(torch.tensor([20.0]), torch.tensor([15.0]), distance, 40.0, size, size)


def test_density_is_that_of_the_paper_at_its_limits() -> None:
    beta = torch.tensor(0.05)
    density = laplace_density(torch.tensor([-10.0, 0.0, 10.0, -0.05, 0.05]), 1 / beta)
    share = torch.tensor([1.0, 0.5, 0.0, 1 - math.exp(-1) / 2, math.exp(-1) / 2])
    torch.testing.assert_close(density * beta, share)


def test_a_ball_has_its_outline_and_depth_also_where_pixels_are_not_square() -> None:
    camera = front()
    camera = replace(camera, intrinsics=camera.intrinsics * torch.tensor([1.0, 1.4, 1.0, 1.0]))
    with torch.no_grad():
        found = ball(canonical={**SMALL["canonical"], "beta": 0.002}, sampling={"steps": 400}).render(camera)
    origins, directions = (each.reshape(-1, 3) for each in camera.rays())
    unit = torch.nn.functional.normalize(directions, dim=-1)
    nearest = -(origins * unit).sum(-1)
    inside = RADIUS**2 - (origins + nearest[:, None] * unit).square().sum(-1)
    area = float((inside > 0).float().mean())
    assert float(found.alpha.mean()) == pytest.approx(area, rel=0.04)
    deep = inside > 0.02
    depth = (nearest - inside.clamp_min(0).sqrt()) / directions.norm(dim=-1)
    assert float((found.depth.flatten() - depth)[deep].abs().max()) < 0.015


def test_what_moves_out_of_its_cube_is_seen_where_it_is_from_any_side() -> None:
    scene = moved(ball(), (2.0, 0.3, 0.0), turn=1.0)
    for azimuth in (0.0, 130.0):
        target = torch.tensor([2.0, 0.3, 0.0])
        camera = orbit(torch.tensor([azimuth]), torch.tensor([10.0]), 2.4, 40.0, 24, 24, target)
        with torch.no_grad():
            shown = scene.render(camera, torch.tensor([0.5]))
        truth = render_mesh(scene.mesh(0.5), camera)
        assert mask_iou(shown.alpha, truth.alpha) > 0.85
        assert float(((shown.depth - truth.depth).abs() * (truth.alpha > 0.99)).max()) < 0.1
    centres = scene.joints([0.5])[0].detach()
    assert float(centres.abs().max()) < scene.posed_space([0.5]).bound
    place = scene.placement([0.5])
    assert torch.allclose(place.world_from_subject[0, :3, 3], torch.tensor([2.0, 0.3, 0.0]), atol=0.02)
    assert float(place.size) == pytest.approx(2 * RADIUS, rel=0.35)
    assert float((scene.placement(None).world_from_subject[0, :3, 3]).norm()) < 0.02


def test_rays_are_bent_back_by_the_bones_and_rest_is_no_moment() -> None:
    scene = ball()
    with torch.no_grad():
        scene.articulation.network[-1].bias.copy_(
            0.4 * torch.randn(27, generator=torch.Generator().manual_seed(3))
        )  # fmt: skip
        camera = front(32)
        posed, rest = scene.render(camera, torch.tensor([0.2])), scene.render(camera)
    bent = render_mesh(scene.mesh(0.2), camera)
    still = render_mesh(scene.rest_mesh(), camera)
    assert mask_iou(posed.alpha, bent.alpha) > mask_iou(posed.alpha, still.alpha) + 0.1
    assert mask_iou(rest.alpha, still.alpha) > 0.85
    assert scene.mesh(0.2).is_closed


def test_places_at_other_times_and_features_are_channels() -> None:
    scene = ball()
    with torch.no_grad():
        scene.root.network[-1].weight[6:].normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    camera = front(16)
    both = Cameras(camera.world_from_camera.repeat(2, 1, 1), camera.intrinsics.repeat(2, 1), 16, 16)
    times, others = torch.tensor([0.2, 0.2]), torch.tensor([0.9, 0.2])
    with torch.no_grad():
        places = scene.render_places(both, times, others)
        where = scene.render(both, times, wants={"position"}).channels["position"]
        shift = (scene.root_transforms([0.9]) - scene.root_transforms([0.2]))[0, :3, 3]
        features = scene.render_features(both, times).channels["features"] / places.alpha.clamp_min(1e-3)
    seen = places.alpha[..., 0] > 0.9
    found = (places.channels["place"] - where) / places.alpha.clamp_min(1e-3)
    assert float((found[0][seen[0]] - shift).abs().max()) < 0.02
    assert float(found[1][seen[1]].abs().max()) < 0.02
    torch.testing.assert_close(features[seen].norm(dim=-1), torch.ones(int(seen.sum())), rtol=0, atol=0.1)
    with pytest.raises(ConfigError, match="no features"):
        ball(canonical={**SMALL["canonical"], "features": None}).render_features(both, times)


def step_of(scene: ArticulatedField, index: int = 0) -> Step:
    return Step(index, 0, scene, {})


def test_distances_have_slope_one_and_are_brought_back_to_it() -> None:
    scene = ball()
    (eikonal,) = build_objectives([{"kind": "eikonal", "points": 200}])
    assert float(eikonal(step_of(scene))) < 0.01
    with torch.no_grad():
        scene.canonical.distance_head.weight.normal_(0, 3.0, generator=torch.Generator().manual_seed(0))
        scene.canonical.geometry.encoding.table.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    first = float(eikonal(step_of(scene)))
    optimisers = adam_of(scene, {"geometry_encoding": 1e-2, "geometry_network": 1e-2})
    for index in range(15):
        optimisers.zero()
        eikonal(step_of(scene, index)).backward()
        optimisers.step()
    assert float(eikonal(step_of(scene, 99))) < 0.5 * first
    assert scene.canonical.colour.encoding.table.grad is None


def test_differences_are_the_gradient() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gradients(lambda each: (each**2).sum(-1), points, 1e-3)
    torch.testing.assert_close(found, 2 * points)


def test_gradients_by_patches_are_those_of_the_whole() -> None:
    scene, camera, times = ball(), front(16), torch.tensor([0.3])
    scene.train()
    found = []
    for patch in (None, 8):
        scene.zero_grad()
        with torch.no_grad():
            scene.articulation.network[-1].bias.fill_(0.05)
        if patch is None:
            image = scene.render(camera, times).rgb
        else:
            image = render_in_patches(lambda part: scene.render(part, times).rgb, camera, patch)
        (image.square()).sum().backward()
        grads = [each.grad for each in (scene.canonical.geometry.encoding.table, scene.articulation.network[-1].bias)]
        found.append(torch.cat([each.flatten() for each in grads if each is not None]))
    assert float(found[0].norm()) > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-6)


def test_a_stored_field_is_the_same_and_cannot_become_another(tmp_path: Path) -> None:
    scene = ball(detail={"from": 0.5, "to": 1.0, "steps": 4})
    scene.after_step(1, adam_of(scene, {"bones": 1e-3}), generator(0, "after"))
    scene.save(tmp_path)
    again = load_scene(tmp_path).eval()
    assert again.config.detail == pytest.approx(0.75)
    with torch.no_grad():
        assert torch.equal(
            again.render(front(), torch.tensor([0.4])).rgb, scene.render(front(), torch.tensor([0.4])).rgb
        )
    quieter = ArticulatedField.begin_from(again, {"sampling": {"steps": 20}}, generator(0, "from"))
    assert quieter.config.sampling.steps == 20
    with pytest.raises(ConfigError, match=r"scene\.bones"):
        ArticulatedField.begin_from(again, {"bones": 5}, generator(0, "from"))


def test_cameras_stand_about_the_subject_and_turn_with_it() -> None:
    scene = moved(ball(), (2.0, 0.0, 0.0), turn=math.pi / 2)
    ring = {
        "kind": "orbit", "batch": 4, "ring": 4, "centre": "subject", "moment": "random", "size": 16,
        "elevation": [-10, 40], "evenly": 1, "fov": [40, 70], "relative": True, "radius": [0.42, 0.7],
    }  # fmt: skip
    (views,) = build_views({"ring": ring}).values()
    drawn = views.sample(3, 0, None)
    batch = views.placed(drawn, scene)
    place = scene.placement([0.5])
    distances = (batch.cameras.positions - place.world_from_subject[0, :3, 3]).norm(dim=-1)
    tangent = drawn.cameras.height / 2 / float(drawn.cameras.intrinsics[0, 1])
    shares = distances * tangent / place.size
    assert torch.allclose(shares, shares[0].expand(4), atol=1e-4)
    assert 0.42 <= float(shares[0]) <= 0.7
    around = batch.cameras_around_subject
    torch.testing.assert_close(around.world_from_camera[:, :3, :3], drawn.cameras.world_from_camera[:, :3, :3])
    torch.testing.assert_close(place.world_from_subject @ around.world_from_camera, batch.cameras.world_from_camera)
    # All of the posed bones lie in the picture of every view.
    pixels, depth = batch.cameras.project(scene.joints([0.5])[0].detach())
    assert float(depth.min()) > 0
    assert 0 < float(pixels.min()) <= float(pixels.max()) < 16
    with pytest.raises(ConfigError, match=r"views\.ring\.centre"):
        views.require_scene(object(), "views.ring")


@pytest.mark.slow
def test_a_shape_and_its_motion_are_found_from_pictures(tmp_path: Path) -> None:
    moments, views, size = 3, 4, 24
    body = paint(icosphere(1.0, 3))
    truth = [
        body.with_vertices(body.vertices * torch.tensor([0.3, 0.5, 0.3]) + torch.tensor([0.3 * (moment - 1), 0.0, 0.0]))
        for moment in range(moments)
    ]
    cameras = turntable(views, 15.0, 2.6, 40.0, size)
    rgba, single = [], []
    for view in range(views):
        for mesh in truth:
            render = render_mesh(mesh, cameras[view])
            straight = render.rgb / render.alpha.clamp_min(1e-3)
            rgba.append(torch.cat([straight, render.alpha], dim=-1)[0].clamp(0, 1))
            single.append(cameras[view])
    times = (torch.arange(len(rgba)) % moments) / (moments - 1)
    frames = Frames(rgba, single, times, [str(index) for index in range(len(rgba))], ["train"] * len(rgba))
    scene = ball(motion={"layers": 0, "harmonics": 2}).train()
    objectives = [
        {"kind": "photometric", "views": "film", "ssim": 0},
        {"kind": "mask", "views": "film"},
        {"kind": "eikonal", "points": 128, "weight": 0.05},
    ]
    networks = {"geometry_network": 5e-3, "colour_network": 5e-3, "root": 1e-2}
    rates = {"geometry_encoding": 1e-2, "colour_encoding": 2e-2, "sharpness": 1e-2, **networks}
    loop = LoopConfig.model_validate({"iterations": 150, "optimiser": {"rates": rates}, "preview_seconds": 1e6})
    film = build_views({"film": {"kind": "observed", "batch": 2, "background": "random"}})
    problem = Problem(scene, film, build_objectives(objectives), frames)
    metrics = optimise(problem, loop, tmp_path, Runtime(console=Console(quiet=True)))
    assert metrics["psnr"] > 18
    scene.eval()
    with torch.no_grad():
        centres = torch.stack([scene.mesh(time).vertices.mean(0) for time in (0.0, 0.5, 1.0)])
        shown = scene.render(cameras, torch.full((views,), 1.0))
    assert mask_iou(shown.alpha, render_mesh(truth[-1], cameras).alpha) > 0.8
    assert float((centres - torch.tensor([[-0.3, 0, 0], [0.0, 0, 0], [0.3, 0, 0]])).norm(dim=-1).max()) < 0.12
    low, high = scene.mesh(0.5).vertices.aminmax(dim=0)
    assert float((high - low)[1] / (high - low)[0]) > 1.3
