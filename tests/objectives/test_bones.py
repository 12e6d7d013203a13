"""Objectives of bones, flow and features: their values where these are known, and their gradients by differences."""

import math
from typing import Any

import pytest
import torch
from articulated_ball import articulated, two_balls

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras, orbit
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.render.mesh import rasterise, render_mesh
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.scenes.gaussians.scene import GaussianScene, GaussianSceneConfig
from a4d.views import Frames, build_views

SIZE, COUNT = 64, 9
MOMENTS = torch.linspace(0, 1, COUNT)


def cameras() -> list[Cameras]:
    every = orbit(8 * torch.arange(COUNT).float(), torch.full((COUNT,), 10.0), 2.6, 40.0, SIZE, SIZE)
    return [every[index] for index in range(COUNT)]


@torch.no_grad()
def film(scene: ArticulatedGaussians, strides: tuple[int, ...] = ()) -> Frames:
    """What the scene itself shows, with the flow of its balls."""
    views, channels = cameras(), {}
    pictures = []
    for index, time in enumerate(MOMENTS):
        render = scene.render(views[index], time[None])
        pictures.append(torch.cat([render.rgb[0] / render.alpha[0].clamp_min(1e-3), render.alpha[0]], -1).clamp(0, 1))
    for stride in strides:
        for name, step in ((f"flow_forward_{stride}", stride), (f"flow_backward_{stride}", -stride)):
            channels[name] = [_flow(scene, views, index, index + step) for index in range(COUNT)]
    names = [f"{index}" for index in range(COUNT)]
    return Frames(pictures, views, MOMENTS, names, ["train"] * COUNT, channels)


def _flow(scene: ArticulatedGaussians, views: list[Cameras], here: int, there: int) -> torch.Tensor:
    """(H, W, 3) of the balls themselves, whose every pixel is followed exactly."""
    if not 0 <= there < COUNT:
        return torch.zeros(SIZE, SIZE, 3)
    balls = two_balls()
    before, after = scene.warped(balls.vertices, MOMENTS[[here, there]].tolist())
    fragments = rasterise(balls.with_vertices(before), views[here])
    start, end = (fragments.interpolate(places, balls.faces)[0] for places in (before, after))
    (pixels, _), (others, _) = views[here].project(start.flatten(0, 1)), views[there].project(end.flatten(0, 1))
    seen = fragments.is_covered[0].float().view(SIZE, SIZE, 1)
    return torch.cat([(others - pixels).view(SIZE, SIZE, 2), seen], dim=-1) * seen


def step_of(scene: ArticulatedGaussians, frames: Frames | None = None, **views: Any) -> Step:
    sets = build_views({"film": {"kind": "observed", "batch": 2, **views}})
    return Step(3, 0, scene, sets, frames or film(scene))


def objective(kind: str, **settings: Any) -> Any:
    return build_objectives([{"kind": kind, "views": "film", **settings}])[0]


def unevenly_moving() -> ArticulatedGaussians:
    scene = articulated(120, moving=True, skinning={"width": 8})
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name in ("bones", "articulation", "root", "skinning"):
            for parameter in scene.groups()[name]:
                parameter += 0.05 * torch.randn(parameter.shape, generator=draws)
    return scene.double()


@pytest.mark.parametrize(
    "kind", ["joint-gap", "skinning-entropy", "bone-centring", "warp-cycle", "weight-correction", "wandering"]
)
def test_gradients_are_those_of_differences(kind: str) -> None:
    scene, asked = unevenly_moving(), objective(kind, points=40)
    frames = film(articulated(120))
    value = asked(step_of(scene, frames))
    value.backward()
    assert float(value.detach()) > 0
    checked = 0
    for name in ("bones", "articulation", "root", "skinning"):
        parameter = scene.groups()[name][0]
        if parameter.grad is None or not bool(parameter.grad.any()):
            continue
        place = int(parameter.grad.abs().flatten().argmax())
        found = []
        for side in (1e-5, -1e-5):
            with torch.no_grad():
                parameter.view(-1)[place] += side
                found.append(float(asked(step_of(scene, frames)).detach()))
                parameter.view(-1)[place] -= side
        expected = (found[0] - found[1]) / 2e-5
        assert float(parameter.grad.flatten()[place]) == pytest.approx(expected, rel=1e-3, abs=1e-9), name
        checked += 1
    assert checked >= (1 if kind == "weight-correction" else 2)


@torch.no_grad()
def test_bones_that_move_as_one_open_no_joint_and_close_the_cycle() -> None:
    scene = articulated()
    scene.root.network[-1].weight[0] = 0.3
    for kind in ("joint-gap", "warp-cycle"):
        assert float(objective(kind)(step_of(scene))) == pytest.approx(0, abs=1e-9)
        assert float(objective(kind)(step_of(articulated(moving=True)))) > 1e-6


@torch.no_grad()
def test_a_shape_wanders_as_far_as_its_middle_goes() -> None:
    scene, asked = articulated(), objective("wandering", moments=64)
    assert float(asked(step_of(scene))) == pytest.approx(0, abs=1e-12)
    scene.root.network[-1].bias[6:] = torch.tensor([0.3, -0.2, 0.1])
    assert float(asked(step_of(scene))) == pytest.approx(0, abs=1e-9)
    # The height of the first wave of its shift along x: the mean square of a sine is a half.
    scene.root.network[-1].weight[6, 0] = 0.2
    assert float(asked(step_of(scene))) == pytest.approx(0.2**2 / 2, rel=0.05)


def circling(weight: float) -> float:
    """Metres that a ball's middle wanders, learnt from outlines by a camera that it is begun to go around with."""
    count, distance, away = 8, 2.6, 0.2
    views = orbit(360 * torch.arange(count) / count, torch.zeros(count), distance, 40.0, 32, 32)
    outlines = render_mesh(two_balls(), views).alpha
    scene = articulated(150, cycles=1)
    with torch.no_grad():
        # As much larger as it is farther, it looks the same: away from azimuth 0 is -Z, from 90 degrees -X.
        scene.means *= (distance + away) / distance
        scene.log_scales += math.log((distance + away) / distance)
        scene.root.network[-1].weight[6, 0] = -away
        scene.root.network[-1].weight[8, scene.config.motion.harmonics] = -away
    asked, step = objective("wandering"), step_of(scene, film(articulated(20)))
    learnt = [scene.means, scene.log_scales, scene.root.network[-1].weight]
    optimiser = torch.optim.Adam(learnt, lr=1e-2)
    times = torch.arange(count) / count
    for _ in range(30):
        optimiser.zero_grad()
        loss = 4 * (scene.render(views, times).alpha - outlines).square().mean()
        (loss + weight * asked(step)).backward()
        optimiser.step()
    return float(asked(step).detach().sqrt())


def test_of_the_ways_that_outlines_leave_open_the_shortest_is_taken() -> None:
    free, held = circling(0.0), circling(2.0)
    assert free > 0.12
    assert held < 0.3 * free


def test_a_bone_outside_of_what_it_holds_is_drawn_inside() -> None:
    scene = articulated()
    before = float(objective("bone-centring")(step_of(scene)).detach())
    with torch.no_grad():
        scene.bag.centres[0] += torch.tensor([0.0, 0.3, 0.0])
    value = objective("bone-centring")(step_of(scene))
    value.backward()
    assert float(value.detach()) > before + 0.02
    assert float(scene.bag.centres.grad[0, 1]) > 0


@torch.no_grad()
def test_weights_that_are_shared_cost_more_than_a_single_bone() -> None:
    scene = articulated()
    sharp = float(objective("skinning-entropy")(step_of(scene)))
    scene.bag.log_radii += 3.0
    assert float(objective("skinning-entropy")(step_of(scene))) > 0.6 > 0.2 > sharp


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_flow_of_the_scene_itself_is_met_and_that_of_a_still_one_is_not(stride: int) -> None:
    scene = articulated(1200, moving=True, cycles=1)
    frames, asked = film(scene, (stride,)), objective("flow")
    pairs = {"pairs": {"strides": [stride]}, "channels": ["flow"]}
    with torch.no_grad():
        met = SIZE * float(asked(step_of(scene, frames, **pairs)))
        missed = SIZE * float(asked(step_of(articulated(1200), frames, **pairs)))
    assert met < 0.25 + 0.25 * stride
    assert missed > 2 * met


def test_flow_turns_bones_toward_where_they_go() -> None:
    scene = articulated(1200, moving=True, cycles=1)
    frames, pairs = film(scene, (2,)), {"pairs": {"strides": [2]}, "channels": ["flow"]}
    with torch.no_grad():
        scene.articulation.network[-1].weight[13, 0] = 0.1
    asked = objective("flow")
    value = asked(step_of(scene, frames, **pairs))
    value.backward()
    gradient = scene.articulation.network[-1].weight.grad[13, 0]
    with torch.no_grad():
        scene.articulation.network[-1].weight[13, 0] = 0.15
        better = asked(step_of(scene, frames, **pairs))
    assert float(gradient) < 0
    assert float(better) < float(value.detach())
    assert asked.observes == ("flow",)


def test_features_are_learnt_where_they_are_seen() -> None:
    scene = articulated(features=3)
    whole = film(scene)
    wanted = [torch.tensor([0.0, 3.0, 4.0]).expand(SIZE, SIZE, 3)] * COUNT
    frames = Frames(whole.rgba, whole.cameras, whole.times, whole.names, whole.splits, {"features_x": wanted})
    asked = objective("feature-match", channel="features_x")
    rates = torch.optim.Adam(scene.groups()["features"], 0.1)
    values = []
    for _ in range(20):
        rates.zero_grad()
        value = asked(step_of(scene, frames, channels=["features_x"]))
        value.backward()
        values.append(float(value.detach()))
        rates.step()
    assert values[0] == pytest.approx(1.0, abs=0.05)
    assert values[-1] < 0.1
    with pytest.raises(ConfigError, match=r"scene\.features to 3|3 features"):
        asked(step_of(articulated(features=2), frames, channels=["features_x"]))


def landmarks(scene: ArticulatedGaussians) -> Frames:
    """A film whose every pixel says by its features which place at rest it shows."""
    with torch.no_grad():
        (table,) = scene.feature_table
        table.copy_(torch.nn.functional.normalize(torch.cat([scene.means, torch.ones(len(table), 1)], dim=1), dim=1))
        shown = [scene.render_features(view, time[None]) for view, time in zip(cameras(), MOMENTS, strict=True)]
    whole, features = film(scene), [each.channels["features"][0] for each in shown]
    return Frames(whole.rgba, whole.cameras, whole.times, whole.names, whole.splits, {"features_x": features})


def test_what_looks_like_a_point_is_looked_for_where_the_point_is() -> None:
    scene = articulated(1500, moving=True, features=4)
    frames = landmarks(scene)
    asked = objective("feature-reprojection", channel="features_x", sharpness=4000.0)
    step = step_of(scene, frames, channels=["features_x"])
    right = asked(step)
    assert float(right.detach()) < 0.03, "less than the points are apart"
    bias = scene.root.network[-1].bias
    with torch.no_grad():
        bias[7] += 0.1
    wrong = asked(step_of(scene, frames, channels=["features_x"]))
    lens = float(frames.cameras[0].intrinsics[0, 0])
    assert float(wrong.detach()) == pytest.approx(0.1 * lens / 2.6 / SIZE, rel=0.2)
    wrong.backward()
    # Downward, back to where it is seen; and features are told apart by it.
    assert bias.grad[7] > 0
    assert scene.feature_table[0].grad.any()
    with pytest.raises(ConfigError, match=r"scene\.features to 4|4"):
        asked(step_of(articulated(features=2), frames, channels=["features_x"]))


def test_reprojection_counts_nothing_where_no_frame_shows_the_subject() -> None:
    scene = articulated(50, features=4)
    frames = landmarks(scene)
    empty = Frames(
        [0 * each for each in frames.rgba], frames.cameras, MOMENTS, frames.names, frames.splits, frames.channels
    )
    asked = objective("feature-reprojection", channel="features_x")
    assert float(asked(step_of(scene, empty, channels=["features_x"]))) == 0


def test_the_objectives_ask_for_a_scene_of_bones() -> None:
    still = GaussianScene(GaussianSceneConfig(), articulated().rest.detach())
    for kind in ("joint-gap", "flow", "feature-match", "feature-reprojection", "warp-cycle"):
        asked = objective(kind, **({"channel": "features_x"} if kind.startswith("feature") else {}))
        with pytest.raises(ConfigError, match="does not apply"):
            asked.require(still)
