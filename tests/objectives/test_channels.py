"""What objectives want of renders, made once and nothing that nobody wants; and their closed forms."""

import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from a4d.errors import ConfigError, ExitCode, MissingInputError
from a4d.geometry.cameras import Cameras, orbit, turntable
from a4d.objectives import build_objectives
from a4d.objectives.depth import correlation
from a4d.objectives.objective import Step
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render import gaussians as splatting
from a4d.render.field import Marching, SamplingConfig, render_field
from a4d.render.render import Render
from a4d.render.volume import Samples, binary_entropy, distortion
from a4d.runtime import Runtime
from a4d.scenes.field.radiance import RadianceField
from a4d.scenes.field.scene import FieldScene
from a4d.scenes.gaussians.scene import GaussianScene
from a4d.scenes.seed import Seed
from a4d.views import ViewBatch, build_views
from a4d.views.observed import ObservedViews

VIEWS = {"novel": {"kind": "orbit", "size": 8, "radius": 2.5}}
FIELD = {
    "kind": "field",
    "encoding": {"levels": 2, "table": 2**8, "base_resolution": 4, "finest_resolution": 8},
    "network": {"width": 8},
    "sampling": {"steps": 32},
    "occupancy": {"resolution": 8},
}


class Ball:
    """A hard ball of radius 0.5 whose normals point outward, or inward."""

    bound = 1.0

    def __init__(self, outward=1.0):
        self.outward = outward

    def density(self, points, times):
        return 200.0 * (points.norm(dim=-1) < 0.5)

    def signals(self, points, times, directions, wants):
        normal = torch.nn.functional.normalize(points, dim=-1) * self.outward
        colours = torch.full_like(points, 0.5)
        return {"density": self.density(points, times), "rgb": colours, "normal": normal, "twice": 2 * points}


def seen(field, wants, size=9):
    marching = Marching(SamplingConfig(steps=1000, least_light=0.0))
    return render_field(field, turntable(1, 0.0, 3.0, 40.0, size), None, None, marching, wants)


def optimised(scene, objectives, folder):
    problem = Problem(scene, build_views(VIEWS), build_objectives(objectives))
    config = LoopConfig.model_validate({"iterations": 1, "optimiser": {"rates": dict.fromkeys(scene.groups(), 1e-3)}})
    return optimise(problem, config, folder, Runtime(console=Console(quiet=True)))


def counted(monkeypatch, owner, name):
    """How often a function has been called."""
    calls, function = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given, **named: calls.append(name) or function(*given, **named))
    return calls


def gaussian_scene():
    return GaussianScene.begin({"kind": "gaussians", "count": 50}, Seed(), generator(0, "begin"))


def field_scene():
    return FieldScene.begin(FIELD, Seed(), generator(0, "begin"))


@pytest.mark.parametrize(
    ("begin", "owner", "name"),
    [(field_scene, RadianceField, "normals"), (gaussian_scene, splatting, "facing_normals")],
)
def test_what_nobody_wants_is_not_computed(begin, owner, name, monkeypatch, tmp_path):
    calls = counted(monkeypatch, owner, name)
    optimised(begin(), [{"kind": "opacity-entropy", "views": "novel"}], tmp_path / "without")
    assert not calls
    wanting = [{"kind": "opacity-entropy", "views": "novel"}, {"kind": "normal-variation", "views": "novel"}]
    losses = optimised(begin(), wanting, tmp_path / "with")
    assert calls == [name]  # and one render serves both objectives
    assert losses["normal-variation/novel"] > 0


def test_channels_that_a_scene_does_not_offer_are_refused_before_the_first_step():
    for kind in ("distortion", "orientation"):
        with pytest.raises(ConfigError, match=rf"objectives.0 \({kind}/novel\).*'gaussians'.*'{kind}'") as caught:
            Problem(gaussian_scene(), build_views(VIEWS), build_objectives([{"kind": kind, "views": "novel"}]))
        assert caught.value.exit_code == ExitCode.INVALID
        assert "rgb, alpha, depth, normal, position" in str(caught.value.remedy)
    Problem(field_scene(), build_views(VIEWS), build_objectives([{"kind": "distortion", "views": "novel"}]))


def test_the_orientation_of_a_ball_is_zero_from_outside_and_one_from_inside():
    outside, inside = seen(Ball(), {"orientation"}), seen(Ball(-1.0), {"orientation"})
    assert float(outside.channels["orientation"].max()) < 1e-6
    assert float(inside.channels["orientation"][0, 4, 4]) == pytest.approx(1, abs=1e-3)
    assert set(outside.channels) == {"orientation"}


def test_any_signal_of_a_field_and_the_place_that_a_ray_meets_are_composited():
    render = seen(Ball(), ("twice", "position"))
    torch.testing.assert_close(render.channels["twice"], 2 * render.channels["position"])
    # Light comes from 1 / 200 metres below the surface.
    expected = torch.tensor([0.0, 0.0, 0.495])
    torch.testing.assert_close(render.channels["position"][0, 4, 4], expected, atol=1e-3, rtol=0)


def test_the_distortion_of_two_points_is_that_of_their_distance():
    samples = Samples(torch.tensor([0, 0, 1]), torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0.1, 0.2, 0.3]))
    weights = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64, requires_grad=True)
    found = distortion(samples, weights).detach()
    first = 2 * 0.3 * 0.6 * (3.1 - 1.05) + (0.3**2 * 0.1 + 0.6**2 * 0.2) / 3
    assert float(found[:2].sum()) == pytest.approx(first, rel=1e-6)
    assert float(found[2]) == pytest.approx(0.9**2 * 0.3 / 3, rel=1e-6)
    assert torch.autograd.gradcheck(lambda w: distortion(samples, w), weights)


def test_entropy_is_a_bit_where_all_is_open_and_nothing_where_it_is_decided():
    shares = torch.tensor([0.0, 0.5, 1.0, 0.25], requires_grad=True)
    found = binary_entropy(shares)
    expected = torch.tensor([0.0, 1.0, 0.0, -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75)])
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert bool(shares.grad.isfinite().all())


class Watching(ObservedViews):
    """Two views whose depth is known."""

    def sample(self, step, seed, frames):
        cameras = orbit(torch.tensor([0.0, 90.0]), torch.zeros(2), 3.0, 40.0, 6, 6)
        depth = torch.rand(2, 6, 6, 1, generator=torch.Generator().manual_seed(1)) + 2
        rgba = torch.cat([torch.zeros(2, 6, 6, 3), (depth > 2.2).float()], dim=-1)
        return ViewBatch(cameras, None, torch.zeros(2, 3), rgba, channels={"depth": depth})


class Deep(GaussianScene):
    """Shows a depth that is asked for."""

    def render(self, cameras: Cameras, times=None, background=None, wants=()) -> Render:
        depth = self.shown
        return Render(depth.expand(-1, -1, -1, 3), torch.ones_like(depth), depth)


def correlated(change):
    scene = gaussian_scene()
    scene.__class__ = Deep
    views = Watching()
    batch = views.sample(0, 0, None)
    scene.shown = torch.where(batch.rgba[..., 3:] > 0, change(batch.channels["depth"]), 99.0)
    return build_objectives([{"kind": "depth-correlation", "views": "seen"}])[0](Step(0, 0, scene, {"seen": views}))


def test_depth_agrees_up_to_scale_and_origin_on_the_subject_alone():
    assert float(correlated(lambda depth: 3 * depth + 7)) == pytest.approx(0, abs=1e-5)
    assert float(correlated(lambda depth: 1 / depth)) > 0.9
    assert float(correlated(lambda depth: 5 - depth)) == pytest.approx(1, abs=1e-5)
    assert float(correlated(torch.ones_like)) == pytest.approx(0.5)


def test_correlation_has_the_gradient_of_finite_differences_and_none_where_all_is_flat():
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.rand(9, generator=draws, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(correlation, (first, second))
    flat = torch.full((9,), 2.0, requires_grad=True)
    correlation(flat, second).backward()
    assert torch.equal(flat.grad, torch.zeros(9))


def test_depth_that_was_not_observed_is_missing():
    objective = build_objectives([{"kind": "depth-correlation", "views": "novel"}])[0]
    with pytest.raises(MissingInputError, match="no depth was observed"):
        objective(Step(0, 0, gaussian_scene(), build_views(VIEWS)))


def test_the_variation_of_normals_is_that_of_neighbouring_pixels():
    scene = gaussian_scene()
    step = Step(0, 0, scene, build_views(VIEWS))
    render = step.render("novel", {"normal"})
    ramp = torch.arange(8.0).expand(1, 8, 8)[..., None].expand(-1, -1, -1, 3)
    step._renders = {key: replace(render, channels={"normal": ramp}) for key in step._renders}
    objective = build_objectives([{"kind": "normal-variation", "views": "novel"}])[0]
    assert float(objective(step)) == pytest.approx(0.25)


def test_the_detail_of_normals_is_what_a_blur_takes_away():
    scene = gaussian_scene()
    step = Step(0, 0, scene, build_views(VIEWS))
    render = step.render("novel", {"normal"})
    objective = build_objectives([{"kind": "normal-detail", "views": "novel", "deviation": 1.0}])[0]

    def shown(normals: torch.Tensor) -> float:
        step._renders = {key: replace(render, channels={"normal": normals}) for key in step._renders}
        return float(objective(step))

    speck = torch.zeros(1, 33, 33, 3)
    speck[0, 16, 16] = 2.0
    weights = torch.exp(-0.5 * torch.arange(-16, 17.0) ** 2)
    weights /= weights.sum()
    kernel = torch.outer(weights, weights)
    kernel[16, 16] -= 1
    assert shown(speck) == pytest.approx(float(kernel.square().mean()), rel=1e-4)
    smooth = torch.sin(torch.arange(33.0) / 33 * torch.pi)[None, :, None, None] * torch.ones(1, 33, 33, 3)
    assert shown(smooth) < 0.2 * shown(smooth.flip(1) * (-1.0) ** torch.arange(33.0)[None, :, None, None])
