"""Radiance fields over time: at rest when they begin, interpolated between instants, held to change little, fitted."""

import math
from pathlib import Path

import pytest
import torch
from learning import adam_of
from small_field import RATES, TIMES, begin, clip, fit, perturbed

from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.objectives import build_objectives
from a4d.objectives.objective import Step
from a4d.randomness import generator
from a4d.scenes.field.radiance import GridStack
from a4d.scenes.seed import Seed


@pytest.mark.parametrize("kind", list(TIMES))
def test_what_may_move_begins_at_rest_and_then_moves(kind):
    static = perturbed(begin())
    moving = static.moving(TIMES[kind])
    cameras, times = turntable(1, 15.0, 2.8, 40.0, 24), torch.tensor([0.4])
    with torch.no_grad():
        rest = static.render(cameras).rgb
        torch.testing.assert_close(moving.render(cameras, times).rgb, rest, atol=1e-6, rtol=0)
        torch.testing.assert_close(moving.render(cameras).rgb, rest, atol=1e-6, rtol=0)
        wants = sorted(static.offers)
        expected, found = static.render(cameras, wants=wants), moving.render(cameras, times, wants=wants)
        assert set(found.channels) == set(wants)
        for name in wants:
            torch.testing.assert_close(found.channels[name], expected.channels[name], atol=1e-4, rtol=1e-4)
    unit = torch.rand(50, 3)
    assert float(moving.temporal_variation(unit).detach()) < 1e-12
    assert float(static.temporal_variation(unit)) == 0
    draws = torch.Generator().manual_seed(2)
    for parameter in moving.field.features.moving:
        parameter.data += 4 * (torch.rand(parameter.shape, generator=draws) - 0.5)
    with torch.no_grad():
        early, late = (moving.render(cameras, torch.tensor([time])).rgb for time in (0.1, 0.9))
        assert float((early - late).abs().max()) > 0.01
        pair = turntable(1, 15.0, 2.8, 40.0, 24)[torch.tensor([0, 0])]
        both = moving.render(pair, torch.tensor([0.1, 0.9])).rgb
    torch.testing.assert_close(both, torch.cat([early, late]), atol=1e-5, rtol=0)
    assert float(moving.temporal_variation(unit).detach()) > 1e-4


def test_a_field_that_comes_to_move_keeps_its_levels():
    static = begin(active_levels={"from": 1, "to": 4, "steps": 10})
    static.after_step(6, adam_of(static, RATES), generator(0))
    moving = static.moving(TIMES["grid-stack"])
    moving.after_step(0, adam_of(moving, RATES), generator(0))
    assert moving.level_weights == pytest.approx(static.level_weights)
    assert static.level_weights == pytest.approx((1, 1, 1, 0.1))


def test_a_stack_is_interpolated_between_its_instants():
    moving = begin().moving(GridStack(count=3))
    features, unit = moving.field.features, torch.rand(20, 3)
    draws = torch.Generator().manual_seed(3)
    for grid in (features.space, *features.later):
        grid.initialise(draws, bound=1.0)
    weights = moving.level_weights
    first, second, third = (grid(unit, weights) for grid in (features.space, *features.later))

    def at(time):
        return features(unit, torch.full((20,), time), weights)

    torch.testing.assert_close(at(0.0), first)
    torch.testing.assert_close(at(0.125), 0.75 * first + 0.25 * second)
    torch.testing.assert_close(at(0.5), second)
    torch.testing.assert_close(at(1.0), third)
    expected = ((second - first).square().sum(-1) + (third - second).square().sum(-1)).mean() / 2 / 4
    torch.testing.assert_close(moving.temporal_variation(unit), expected)


@pytest.mark.parametrize("kind", list(TIMES))
def test_temporal_variation_brings_a_field_to_rest(kind):
    moving = begin().moving(TIMES[kind])
    for parameter in moving.field.features.moving:
        parameter.data += torch.rand(parameter.shape) - 0.5
    (objective,) = build_objectives([{"kind": "temporal-variation", "points": 500}])
    optimiser = adam_of(moving, {"time": 2e-2})
    values = []
    for index in range(30):
        optimiser.zero()
        value = objective(Step(index, 0, moving, {}))
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.3 * values[0]


def test_temporal_variation_is_for_fields():
    from a4d.scenes.gaussians.scene import GaussianScene

    scene = GaussianScene.begin({"kind": "gaussians", "count": 4}, Seed(), generator(0))
    (objective,) = build_objectives([{"kind": "temporal-variation"}])
    with pytest.raises(ConfigError, match="gaussians"):
        objective(Step(0, 0, scene, {}))


@pytest.mark.parametrize("kind", list(TIMES))
def test_a_moving_field_follows_a_ball(kind, tmp_path: Path):
    scene = begin(time=TIMES[kind].model_dump())
    assert fit(scene, clip(), 250, tmp_path)["psnr"] > 22
    for time, x in ((0.0, -0.4), (1 / 3, -0.133), (1.0, 0.4)):
        mesh = scene.mesh(time)
        assert mesh.is_closed
        torch.testing.assert_close(mesh.vertices.mean(0), torch.tensor([x, 0.0, 0.0]), atol=0.03, rtol=0)
        assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.35**3, rel=0.3)
