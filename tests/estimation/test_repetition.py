"""How often a motion repeats is told by silhouettes, though the camera turns and is off its place."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from a4d.estimation import repetition, silhouettes
from a4d.estimation.repetition import ENOUGH, Lags, find_cycles, frames_of_one_pose
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.render.mesh import render_mesh
from a4d.views import Frames

COUNT = 72


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silhouettes, "GRID", 32)


def waving(phase: float) -> Mesh:
    """A ball with an arm that goes up and down and to and fro."""
    ball, arm = icosphere(0.4, 2), icosphere(0.25, 2)
    angle = 2 * math.pi * phase
    places = arm.vertices * torch.tensor([2.0, 0.5, 0.5]) + torch.tensor(
        [0.6, 0.5 * math.sin(angle), 0.35 * math.cos(angle)]
    )
    return Mesh(torch.cat([ball.vertices, places]), torch.cat([ball.faces, arm.faces + len(ball.vertices)]))


def film(cycles: float, turns: float, empty: int = 0, astray: float = 0.0) -> Frames:
    """What a camera sees, beside cameras that slowly go astray by so many degrees."""
    times = torch.arange(COUNT) / COUNT
    elevations = torch.full((COUNT,), 15.0)
    true = orbit(360 * turns * times, elevations, 3.2, 40.0, 48, 48)
    wrong = astray * (3 * math.pi * times).sin()
    said = orbit(360 * turns * times + wrong, elevations + 0.3 * wrong, 3.2, 40.0, 48, 48)
    pictures = []
    for index, time in enumerate(times.tolist()):
        alpha = render_mesh(waving(cycles * time), true[index], supersampling=1).alpha[0]
        pictures.append(torch.cat([0.5 * alpha.expand(-1, -1, 3), alpha], dim=-1) * (index >= empty))
    singles = [said[index] for index in range(COUNT)]
    return Frames(pictures, singles, times, [f"{index}" for index in range(COUNT)], ["train"] * COUNT)


@pytest.mark.parametrize(("cycles", "turns", "astray"), [(5, 2, 0), (5, 0, 0), (4.6, 1, 0), (4, 3, 0), (5, 2, 12)])
def test_cycles_are_counted(cycles: float, turns: float, astray: float) -> None:
    found = find_cycles(film(cycles, turns, astray=astray), radius=1.3)
    assert found.cycles == pytest.approx(cycles, abs=0.1 if astray else 0.07)
    assert found.evidence >= ENOUGH
    assert found.tried[found.depths.index(max(found.depths))] == pytest.approx(cycles, abs=0.25)


@pytest.mark.parametrize(("cycles", "turns", "astray"), [(1, 1, 0), (0, 2, 0), (1, 2, 12), (0, 2, 12)])
def test_what_does_not_repeat_is_not_said_to(cycles: float, turns: float, astray: float) -> None:
    found = find_cycles(film(cycles, turns, astray=astray), radius=1.3)
    assert found.cycles == 0
    assert found.evidence < ENOUGH / 2


def test_frames_that_show_nothing_tell_nothing_and_a_few_neither() -> None:
    whole = film(5.0, 2.0, empty=9)
    assert find_cycles(whole, radius=1.3).cycles == pytest.approx(5, abs=0.15)
    assert find_cycles(whole.subset(range(16)), radius=1.3).tried == ()


@pytest.mark.parametrize("cycles", [0, 1])
@pytest.mark.parametrize("apart", [18, 24])
def test_gaps_between_frames_are_no_dips(cycles: float, apart: int) -> None:
    bursts = film(cycles, 2).subset([index for index in range(COUNT) if index % apart < 8])
    assert find_cycles(bursts, radius=1.3).cycles == 0


def test_cycles_of_a_part_are_those_of_the_whole_clip_and_the_order_of_frames_does_not_count() -> None:
    order = torch.randperm(44, generator=torch.Generator().manual_seed(0)).tolist()
    found = find_cycles(film(5.0, 2.0).subset([28 + index for index in order]), radius=1.3)
    assert found.cycles == pytest.approx(5, abs=0.15)
    assert found.tried[0] == pytest.approx(2.71 / (43 / COUNT), abs=0.01)


def test_cameras_that_look_past_the_subject_tell_nothing() -> None:
    seen = film(5.0, 2.0)
    behind = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0])).to(seen.cameras[0].world_from_camera)
    away = [replace(camera, world_from_camera=camera.world_from_camera @ behind) for camera in seen.cameras]
    assert find_cycles(replace(seen, cameras=away), radius=1.3).cycles == 0


def test_without_anything_shown_nothing_is_tried() -> None:
    assert find_cycles(film(5.0, 2.0, empty=COUNT), radius=1.3).tried == ()


def test_a_pose_of_a_long_film_is_told_by_some_of_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(repetition, "MOST_POSES", 24)
    monkeypatch.setattr(
        repetition, "silhouettes", lambda *given: looked.append(given[1]) or silhouettes.silhouettes(*given)
    )
    time, chosen = frames_of_one_pose(film(4.5, 2.0), 4.5, radius=1.3)
    assert len(looked[0]) == 24
    phases = 4.5 * (torch.tensor(chosen) / COUNT - time)
    assert float((phases - phases.round()).abs().max()) < 0.12
    assert len(chosen) == 12


def test_dips_are_as_deep_as_the_wave_and_of_half_or_twice_the_number_there_are_none() -> None:
    lags = np.arange(200) / 199
    counts = np.arange(200, 0, -1.0)
    wave = Lags(*(np.concatenate([[0], np.cumsum(each)]) for each in (-np.cos(10 * np.pi * lags) * counts, counts)))
    assert wave.dips(5.0) == pytest.approx([1.82] * 4, abs=0.03)
    assert wave.dips(2.75).min() < 0.2
    assert wave.dips(10.0).min() < -0.9


def test_the_frames_of_a_pose_show_it_from_several_sides() -> None:
    time, chosen = frames_of_one_pose(film(4.5, 2.0, empty=3), 4.5, radius=1.3)
    assert time > 3 / COUNT
    phases = 4.5 * torch.tensor(chosen) / COUNT % 1
    apart = (phases - 4.5 * time + 0.5) % 1 - 0.5
    assert len(chosen) == 12
    assert float(apart.abs().max()) < 0.15
    assert len({int(4.5 * index / COUNT) for index in chosen}) >= 4
