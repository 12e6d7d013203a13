"""How far around a subject a camera has been."""

import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.directions import degrees_around

UP = torch.tensor([0.0, 1.0, 0.0])


def directions(azimuths: list[float], elevation: float) -> torch.Tensor:
    heights = torch.full((len(azimuths),), elevation)
    return torch.nn.functional.normalize(orbit(torch.tensor(azimuths), heights, 3.0, 40.0, 8, 8).positions, dim=-1)


@pytest.mark.parametrize("elevation", [0.0, 15.0, -40.0])
@pytest.mark.parametrize(("azimuths", "degrees"), [([0, 90, 180, 270], 180), ([-45, 0, 45], 90), ([10, 10], 0)])
def test_sides_do_not_depend_on_the_camera_s_height(azimuths, degrees, elevation):
    found = degrees_around(directions(azimuths, elevation), UP)
    assert found == pytest.approx(degrees, abs=0.1)


def test_a_camera_that_looks_down_has_no_sides_and_one_that_passes_over_has():
    assert degrees_around(directions([0, 90, 180, 270], 80.0), UP) == pytest.approx(20, abs=0.1)
    over = torch.cat([directions([0], 10.0), directions([0], 89.0), directions([180], 10.0)])
    assert degrees_around(over, UP) == pytest.approx(180, abs=0.1)


def test_turning_all_of_it_changes_nothing():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    seen = directions([0, 50, 120], 20.0)
    assert degrees_around(seen @ turn.T, turn @ UP) == pytest.approx(degrees_around(seen, UP), abs=0.01)
