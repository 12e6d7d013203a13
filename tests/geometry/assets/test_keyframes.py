import itertools
import math

import pytest
import torch

from a4d.geometry.assets.animation import Curve
from a4d.geometry.assets.keyframes import few_keys, reduce_curve, trajectory_keys


def test_a_piecewise_linear_curve_keeps_its_corners_alone():
    times = torch.arange(31).double() / 30
    values = torch.where(times < 1 / 3, times * 3, 1 - (times - 1 / 3))[:, None] * torch.tensor([1.0, 2.0]).double()
    reduced = reduce_curve(Curve(times, values), 1e-9)
    torch.testing.assert_close(reduced.times, torch.tensor([0, 1 / 3, 1]).double())
    still = reduce_curve(Curve(times, values * 0 + 3), 1e-9)
    assert still.times.tolist() == [0]
    assert still.at(0.7).tolist() == [3, 3]


@pytest.mark.parametrize("tolerance", [0.3, 0.01, 0.0])
def test_no_key_is_off_by_more_than_the_tolerance(tolerance):
    random = torch.Generator().manual_seed(3)
    times = torch.arange(80).double() / 24
    values = torch.randn(80, 3, generator=random).double().cumsum(0) * 0.05
    reduced = reduce_curve(Curve(times, values), tolerance)
    worst = max(float((reduced.at(float(t)) - v).norm()) for t, v in zip(times, values, strict=True))
    assert worst <= tolerance + 1e-12
    assert (len(reduced.times) < 20) if tolerance == 0.3 else (len(reduced.times) > 20)


def test_a_steady_turn_needs_the_keys_that_the_shorter_arc_demands():
    angle = torch.linspace(0, 3 * math.pi, 91).double()
    flip = torch.where(torch.arange(91) % 2 == 0, 1.0, -1.0).double()
    quaternions = torch.stack([(angle / 2).cos(), 0 * angle, (angle / 2).sin(), 0 * angle], dim=1) * flip[:, None]
    curve = Curve(torch.linspace(0, 1, 91).double(), quaternions, is_rotation=True)
    reduced = reduce_curve(curve, 1e-6)
    assert 4 <= len(reduced.times) <= 6
    for time, expected in zip(curve.times, quaternions, strict=True):
        assert float((reduced.at(float(time)) * expected).sum().abs()) > 1 - 1e-10


@pytest.mark.parametrize("interpolation", ["linear", "step"])
def test_trajectories_stay_within_the_tolerance_at_every_frame(interpolation):
    time = torch.arange(40)[:, None, None] / 24
    phase = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)) * 6
    frames = torch.sin(time + phase)
    counts = []
    for tolerance in (0.1, 0.4):
        keys = trajectory_keys(frames, tolerance, interpolation)
        for first, last in itertools.pairwise(keys):
            for frame in range(first, last):
                fraction = 0.0 if interpolation == "step" else (frame - first) / (last - first)
                shown = torch.lerp(frames[first], frames[last], fraction)
                assert float((shown - frames[frame]).norm(dim=-1).max()) <= tolerance + 1e-6
        counts.append(len(keys))
        assert (keys[0], keys[-1]) == (0, 39)
    assert counts[1] < counts[0] <= 40
    assert counts[1] < 20
    assert trajectory_keys(frames[:1].repeat(9, 1, 1), 0.0) == [0]


def test_keys_are_as_far_apart_as_allowed():
    asked = []

    def deviation(first, last):
        asked.append((first, last))
        return float(last - first)

    assert few_keys(30, deviation, 7.0) == [0, 7, 14, 21, 28, 29]
    assert len(asked) < 40
    assert few_keys(1, deviation, 0.0) == [0]
