"""What a film is fitted with that says less than it might: without repetition, or with poses from one side alone."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from a4d.config import Spec
from a4d.fitting import repetition
from a4d.fitting.repetition import Otherwise, Repeating, of_its_cycles
from a4d.fitting.seed_settings import SeedConfig
from a4d.geometry.cameras import orbit
from a4d.geometry.primitives import icosphere
from a4d.render.mesh import render_mesh
from a4d.views import Frames

COUNT = 24
OBJECTIVES: list[Spec] = [
    {"kind": "arap", "weight": 1.0},
    {"kind": "surface-laplacian", "of": "offsets", "weight": 5.0},
    {"kind": "surface-laplacian", "of": "colours", "weight": 0.0},
]


def fitted(cycles: float, turns: float, without: Sequence[str] = ()) -> Repeating:
    """The settings for a ball's film that repeats so often while the camera goes around so often."""
    times = torch.arange(COUNT) / COUNT
    cameras = orbit(360 * turns * times, torch.zeros(COUNT), 3.0, 40.0, 16, 16)
    alpha = render_mesh(icosphere(0.5), cameras).alpha
    pictures = list(torch.cat([alpha.expand(-1, -1, -1, 3), alpha], dim=-1))
    singles = [cameras[index] for index in range(COUNT)]
    names = [f"{index}" for index in range(COUNT)]
    frames = Frames(pictures, singles, times, names, ["train"] * COUNT)
    kept = [spec for spec in OBJECTIVES if spec["kind"] not in without]
    scene = {"kind": "articulated", "cycles": cycles}
    config = SimpleNamespace(scene=scene, views={}, objectives=kept, without=without)
    slower = Otherwise(scene={"motion": {"harmonics": 2}}, seed={"tolerated": 0.5})
    return of_its_cycles(
        config,
        SeedConfig(kind="film"),
        slower,
        Otherwise(weights={"surface-laplacian/colours": 1.0}),
        Otherwise(weights={"arap": 3.0, "surface-laplacian/colours": 2.0}),
        frames,
        Console(quiet=True),
    )


@pytest.mark.parametrize(("turns", "weight"), [(0.42, 0.0), (0.36, 1.0), (0.2, 2.0)])
def test_colours_follow_their_neighbours_where_a_film_never_goes_to_some_sides(monkeypatch, turns, weight):
    """Also of a film whose hull is bounded, which is no film of one side."""
    monkeypatch.setattr(repetition, "is_bounded", lambda train, config: True)
    assert fitted(0.0, turns).objectives[-1]["weight"] == weight


@pytest.mark.parametrize(
    ("cycles", "turns", "is_slower", "is_stiffer"),
    [
        (3.0, 1.0, False, False),
        (3.0, 0.0, False, True),
        (3.0, 0.1, False, True),
        (0.0, 1.0, True, False),
        (0.0, 0.1, True, True),
    ],
)
def test_one_side_makes_it_stiffer_and_no_repetition_slower(cycles, turns, is_slower, is_stiffer):
    found = fitted(cycles, turns)
    assert [spec["weight"] for spec in found.objectives] == ([3.0, 5.0, 2.0] if is_stiffer else [1.0, 5.0, 0.0])
    assert found.seed.tolerated == (0.5 if is_slower else 0.0)
    assert ("motion" in found.scene) == is_slower
    assert found.scene["cycles"] == cycles
    assert len(found.frames) == (COUNT if is_slower else 12)


@pytest.mark.parametrize("without", ["arap", "surface-laplacian"])
def test_what_is_left_out_needs_no_weight(without):
    found = fitted(3.0, 0.0, [without])
    assert {spec["kind"] for spec in found.objectives} == {"arap", "surface-laplacian"} - {without}
