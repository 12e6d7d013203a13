"""Schedules that count in moments: every moment has its turn from coarse to fine, however long the clip."""

import pytest
import torch

from a4d.config import Schedule
from a4d.fitting.pace import Pace, paced
from a4d.geometry.cameras import turntable
from a4d.views import Frames, build_views

PROFILE = {
    "scene": {"kind": "gaussian_motion", "motion": {"kind": "nodes", "nodes": 20}},
    "views": {"clip": {"kind": "moments", "chosen": 1}, "ring": {"kind": "orbit"}},
    "objectives": [{"kind": "mask", "views": "clip", "blur": {"from": 8, "to": 1, "steps": "alone"}, "weight": 2}],
    "optimiser": {"rates": {"shifts": {"from": 1, "to": 0.5, "steps": "alone",
                                       "then": {"from": 0.4, "to": 0.1, "steps": "together"}}}},
}  # fmt: skip


def clip(moments: int) -> Frames:
    cameras = turntable(2, 15.0, 3.0, 40.0, 8)
    times = torch.linspace(0, 1, moments).repeat(2)
    count = len(times)
    return Frames(
        [torch.zeros(8, 8, 4)] * count, [cameras[i // moments] for i in range(count)], times, ["x"] * count,
        ["train"] * count,
    )  # fmt: skip


@pytest.mark.parametrize("moments", [2, 4, 9, 16, 24, 48])
def test_every_moment_is_alone_for_its_turn_and_then_all_take_part(moments: int) -> None:
    pace = Pace(alone=7, together=5)
    values = paced(PROFILE, pace, moments)
    turns = moments - 1
    assert values["iterations"] == 12 * turns
    assert values["scene"]["motion"]["keys"] == moments
    views = build_views({"clip": values["views"]["clip"]})["clip"]
    blur = Schedule.model_validate(values["objectives"][0]["blur"])
    rate = Schedule.model_validate(values["optimiser"]["rates"]["shifts"])
    frames = clip(moments)
    known = frames.times.unique()
    seen = []
    for step in range(values["iterations"]):
        (time,) = views.sample(step, 0, frames).times.unique()
        if step < 7 * turns:
            assert time == known[1 + step // 7], step
            assert blur.at(step) == pytest.approx(8 - (step % 7))
            assert rate.at(step) == pytest.approx(1 - 0.5 * (step % 7) / 7)
        else:
            seen.append(float(time))
            assert blur.at(step) == 1
    assert rate.at(7 * turns) == pytest.approx(0.4)
    assert rate.at(values["iterations"]) == pytest.approx(0.1)
    assert len(set(seen)) > 0.8 * turns


def test_what_is_given_stays_and_the_profile_is_not_changed() -> None:
    given = {**PROFILE, "iterations": 3, "views": {"clip": {"kind": "moments", "unlocked": 2}}}
    values = paced(given, Pace(alone=7), 5)
    assert values["iterations"] == 3
    assert values["views"]["clip"] == {"kind": "moments", "unlocked": 2}
    assert "keys" not in PROFILE["scene"]["motion"]
    assert PROFILE["objectives"][0]["blur"]["steps"] == "alone"
