"""What a film is fitted with that says less than it might: without repetition, from one side, or without cameras."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from a4d.config import Spec
from a4d.errors import ConfigError, MissingInputError
from a4d.estimation.repetition import Repetition
from a4d.fitting import films
from a4d.fitting.film_settings import FilmFitting
from a4d.fitting.films import Begun, begin_film, of_its_cycles
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
LACKING = {
    "unrepeated": {"scene": {"motion": {"harmonics": 2}}, "seed": {"tolerated": 0.5}},
    "unrepeated_strayed": {"scene": {"motion": {"harmonics": 1}}},
    "uncounted": {"rates": {"pace": 0.3}},
    "one_sided": {"weights": {"arap": 3.0, "surface-laplacian/colours": 2.0}},
    "strayed": {"rates": {"course": 0.1}},
}
CONSOLE = Console(quiet=True)


def film(turns: float) -> Frames:
    """A ball, by a camera that goes around so often."""
    times = torch.arange(COUNT) / COUNT
    cameras = orbit(360 * turns * times, torch.zeros(COUNT), 3.0, 40.0, 16, 16)
    alpha = render_mesh(icosphere(0.5), cameras).alpha
    pictures = list(torch.cat([alpha.expand(-1, -1, -1, 3), alpha], dim=-1))
    singles = [cameras[index] for index in range(COUNT)]
    return Frames(pictures, singles, times, [f"{index}" for index in range(COUNT)], ["train"] * COUNT)


def settings(cycles: float | None, lacking: Mapping[str, Any] = LACKING, **others: Any) -> FilmFitting:
    """Of a motion that repeats so often."""
    values = {"views": {}, "objectives": OBJECTIVES, "optimiser": {"rates": {"root": 0.2}}, **others}
    seed = {"kind": "film", "resolution": 16}
    scene = {"kind": "articulated", "cycles": cycles}
    return FilmFitting.model_validate({"scene": scene, "seed": seed, "lacking": lacking, **values})


def begun(config: FilmFitting, turns: float, monkeypatch: pytest.MonkeyPatch, are_found: bool = False) -> Begun:
    """With what the ball's film is begun."""
    monkeypatch.setattr(films, "has_approximate_cameras", lambda workspace: are_found)
    return begin_film(SimpleNamespace(path=Path("nowhere")), config, film(turns), None, CONSOLE)


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
def test_one_side_makes_it_stiffer_and_no_repetition_slower(monkeypatch, cycles, turns, is_slower, is_stiffer):
    found = begun(settings(cycles), turns, monkeypatch)
    weights = [spec["weight"] for spec in found.config.objectives]
    assert weights == ([3.0, 5.0, 2.0] if is_stiffer else [1.0, 5.0, 0.0])
    assert ("motion" in found.config.scene) == is_slower
    assert found.config.scene["cycles"] == cycles
    assert (found.seed.solid is None) == (turns < 1)
    assert found.facts["seen_degrees"] == pytest.approx(min(360 * turns * (1 - 1 / COUNT), 180), abs=5)
    begins = of_its_cycles(settings(cycles), film(turns), CONSOLE)
    assert begins.seed.tolerated == (0.5 if is_slower else 0.0)
    assert len(begins.frames) == (COUNT if is_slower else 12)


@pytest.mark.parametrize("without", ["arap", "surface-laplacian"])
def test_what_is_left_out_needs_no_weight(monkeypatch, without: str):
    kept = [spec for spec in OBJECTIVES if spec["kind"] != without]
    found = begun(settings(3.0, objectives=kept, without=[without]), 0.0, monkeypatch)
    assert {spec["kind"] for spec in found.config.objectives} == {"arap", "surface-laplacian"} - {without}


def test_a_weight_of_what_is_not_there_is_refused():
    config = settings(0.0, {"unrepeated": {"weights": {"flow": 1.0}}})
    with pytest.raises(ConfigError, match=r"lacking.unrepeated.weights.flow"):
        of_its_cycles(config, film(1.0), CONSOLE)


def rates(config: FilmFitting, are_found: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    found: dict[str, float] = begun(config, 1.0, monkeypatch, are_found).config.optimiser["rates"]
    return found


def test_cameras_that_were_found_stray_at_the_rate_that_the_user_gives_or_else_the_profile(monkeypatch):
    own = settings(3.0, optimiser={"rates": {"root": 0.2, "course": 0.0}})
    assert rates(settings(3.0), True, monkeypatch) == {"root": 0.2, "course": 0.1}
    assert rates(own, True, monkeypatch) == {"root": 0.2, "course": 0.0}
    assert rates(settings(3.0), False, monkeypatch) == {"root": 0.2}


def test_a_number_of_cycles_that_was_found_is_learnt_on_and_one_that_is_said_stands(monkeypatch):
    monkeypatch.setattr(films, "find_cycles", lambda *args, **options: Repetition(3.0, 1.0, (), ()))
    found, said = (of_its_cycles(settings(cycles), film(1.0), CONSOLE) for cycles in (None, 3.0))
    assert found.config.optimiser["rates"] == {"root": 0.2, "pace": 0.3}
    assert said.config.optimiser["rates"] == {"root": 0.2}
    monkeypatch.setattr(films, "find_cycles", lambda *args, **options: Repetition(0.0, 0.0, (), ()))
    assert "pace" not in of_its_cycles(settings(None), film(1.0), CONSOLE).config.optimiser["rates"]


@pytest.mark.parametrize(("are_found", "harmonics"), [(False, 2), (True, 1)])
def test_a_motion_that_does_not_repeat_is_held_otherwise_by_cameras_that_were_found(monkeypatch, are_found, harmonics):
    assert begun(settings(0.0), 1.0, monkeypatch, are_found).config.scene["motion"] == {"harmonics": harmonics}
    assert "motion" not in begun(settings(3.0), 1.0, monkeypatch, are_found).config.scene


def test_a_film_that_shows_nothing_is_refused():
    empty = film(1.0)
    pictures: Sequence[torch.Tensor] = [rgba * 0 for rgba in empty.rgba]
    with pytest.raises(MissingInputError, match="no frame shows"):
        begin_film(
            SimpleNamespace(path=Path("nowhere")),
            settings(3.0),
            Frames(pictures, empty.cameras, empty.times, empty.names, empty.splits),
            None,
            CONSOLE,
        )
