"""Flicker against hand-made films: what is steady has none, what jumps has the height of its jumps."""

import pytest
import torch

from a4d.evaluation.films import Flicker, fixed_views
from a4d.geometry.cameras import turntable
from a4d.views import Frames


def film(levels: list[float]) -> list[torch.Tensor]:
    return [torch.full((8, 8, 3), level) for level in levels]


def found(images: list[torch.Tensor], truths: list[torch.Tensor] | None = None) -> dict[str, float]:
    flicker = Flicker()
    flicker.begin()
    for index, image in enumerate(images):
        flicker.add(image, truths[index] if truths else None)
    return flicker.means()


def test_a_film_that_changes_as_the_truth_does_not_flicker() -> None:
    steady = film([0.1, 0.2, 0.3, 0.4])
    assert found(film([0.4, 0.5, 0.6, 0.7]), steady) == {"flicker": pytest.approx(0, abs=1e-6)}
    assert found(film([0.1] * 4), steady)["flicker"] == pytest.approx(-0.1)


def test_jumps_are_their_height_beyond_the_truth() -> None:
    still = film([0.5] * 5)
    assert found(film([0.5, 0.52, 0.5, 0.52, 0.5]), still)["flicker"] == pytest.approx(0.02, abs=1e-6)


def test_without_a_truth_steady_changes_are_none_and_jumps_are_counted_twice() -> None:
    assert found(film([0.1, 0.2, 0.3, 0.4])) == {"second_difference": pytest.approx(0, abs=1e-6)}
    assert found(film([0.5, 0.52, 0.5, 0.52, 0.5]))["second_difference"] == pytest.approx(0.04, abs=1e-6)


def test_films_have_no_neighbours_in_each_other() -> None:
    flicker = Flicker()
    for level in (0.1, 0.9):
        flicker.begin()
        for _ in range(3):
            flicker.add(torch.full((8, 8, 3), level))
    assert flicker.means() == {"second_difference": 0.0}
    assert found(film([0.1, 0.9])) == {}


def test_frames_are_films_by_camera_in_the_order_of_time() -> None:
    cameras = turntable(2, 10.0, 3.0, 40.0, 8)
    seen = [cameras[0], cameras[1], cameras[0], cameras[1]]
    images = [torch.zeros(8, 8, 4)] * 4
    frames = Frames(images, seen, torch.tensor([1.0, 0.0, 0.0, 1.0]), list("abcd"), ["train"] * 4)
    assert sorted(fixed_views(frames, [0, 1, 2, 3])) == [[1, 3], [2, 0]]
    assert fixed_views(Frames(images, seen, None, list("abcd"), ["train"] * 4), [0, 2]) == [[0], [2]]
