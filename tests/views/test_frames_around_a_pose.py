"""Frames of a motion that repeats: those near to a pose come first, and more and more of them."""

import pytest
import torch

from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.views import Frames, build_views

COUNT, CYCLES = 40, 4


def frames() -> Frames:
    camera = turntable(1, 0.0, 3.0, 40.0, 8)
    names = [f"{index}" for index in range(COUNT)]
    return Frames(
        [torch.ones(8, 8, 4)] * COUNT, [camera] * COUNT, torch.arange(COUNT) / COUNT, names, ["train"] * COUNT
    )


def seen(step: int, **around: object) -> set[int]:
    views = build_views({"film": {"kind": "observed", "batch": 10, "around": around}})["film"]
    return {int(index) for part in range(step, step + 20) for index in views.sample(part, 0, frames()).frames}


def test_the_pose_is_shown_from_all_cycles_before_the_others() -> None:
    share = {"from": 0.0, "to": 1.0, "steps": 100}
    assert seen(0, share=0.0, time=0.1, cycles=CYCLES) == {4, 14, 24, 34}
    assert seen(0, share=0.45, time=0.1, cycles=CYCLES) == {c + d for c in (4, 14, 24, 34) for d in (-2, -1, 0, 1, 2)}
    assert len(seen(100, share=share, time=0.1, cycles=CYCLES)) == COUNT


def test_without_a_pose_all_frames_are_shown_and_pairs_have_none() -> None:
    assert len(seen(0, share=0.0)) == COUNT
    with pytest.raises(ConfigError, match="neither pairs nor runs"):
        build_views({"film": {"kind": "observed", "batch": 2, "pairs": {"strides": [1]}, "around": {}}})
