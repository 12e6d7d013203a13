"""How often a motion repeats is told by silhouettes, though the camera turns, and that it does not."""

import math

import pytest
import torch

from a4d.estimation import repetition
from a4d.estimation.repetition import find_cycles, frames_of_one_pose
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.render.mesh import render_mesh
from a4d.views import Frames

COUNT = 72


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "GRID", 32)
    monkeypatch.setattr(repetition, "PIXELS", 32)


def waving(phase: float) -> Mesh:
    """A ball with an arm that goes up and down and to and fro."""
    ball, arm = icosphere(0.4, 2), icosphere(0.25, 2)
    angle = 2 * math.pi * phase
    places = arm.vertices * torch.tensor([2.0, 0.5, 0.5]) + torch.tensor(
        [0.6, 0.5 * math.sin(angle), 0.35 * math.cos(angle)]
    )
    return Mesh(torch.cat([ball.vertices, places]), torch.cat([ball.faces, arm.faces + len(ball.vertices)]))


def film(cycles: float, turns: float, empty: int = 0) -> Frames:
    times = torch.arange(COUNT) / COUNT
    cameras = orbit(360 * turns * times, torch.full((COUNT,), 15.0), 3.2, 40.0, 48, 48)
    pictures = []
    for index, time in enumerate(times.tolist()):
        alpha = render_mesh(waving(cycles * time), cameras[index], supersampling=1).alpha[0]
        pictures.append(torch.cat([0.5 * alpha.expand(-1, -1, 3), alpha], dim=-1) * (index >= empty))
    singles = [cameras[index] for index in range(COUNT)]
    return Frames(pictures, singles, times, [f"{index}" for index in range(COUNT)], ["train"] * COUNT)


@pytest.mark.parametrize(("cycles", "turns"), [(5.0, 2.0), (5.0, 0.0)])
def test_cycles_are_counted(cycles: float, turns: float) -> None:
    found = find_cycles(film(cycles, turns), radius=1.3)
    assert found.cycles == pytest.approx(cycles, abs=0.15)
    assert found.tried[found.errors.index(min(found.errors))] == pytest.approx(cycles, abs=0.25)


@pytest.mark.parametrize(("cycles", "turns"), [(1.0, 1.0), (0.0, 2.0)])
def test_what_does_not_repeat_is_not_said_to(cycles: float, turns: float) -> None:
    assert find_cycles(film(cycles, turns), radius=1.3).cycles == 0


def test_a_few_frames_tell_nothing() -> None:
    whole = film(3.0, 1.0)
    assert find_cycles(whole.subset(range(6)), radius=1.3).tried == ()


def test_the_frames_of_a_pose_show_it_from_several_sides() -> None:
    time, chosen = frames_of_one_pose(film(4.5, 2.0, empty=3), 4.5, radius=1.3)
    assert time > 3 / COUNT
    phases = 4.5 * torch.tensor(chosen) / COUNT % 1
    apart = (phases - 4.5 * time + 0.5) % 1 - 0.5
    assert len(chosen) == 12
    assert float(apart.abs().max()) < 0.15
    assert len({int(4.5 * index / COUNT) for index in chosen}) >= 4
