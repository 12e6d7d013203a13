"""Two silhouettes of one shape cover each other by their hull, whatever the sides, and those of two shapes do not."""

import math

import numpy as np
import pytest
import torch

from a4d.estimation.silhouettes import GRID, Silhouettes, silhouettes
from a4d.geometry.cameras import orbit
from a4d.views import Frames

SIZE, DISTANCE, FOV = 96, 3.0, 40.0


def balls(radii: list[float]) -> Silhouettes:
    """Of balls around the origin, each seen from another side."""
    count = len(radii)
    cameras = orbit(torch.arange(count) * 70.0, torch.full((count,), 10.0), DISTANCE, FOV, SIZE, SIZE)
    across = ((torch.arange(SIZE) + 0.5 - SIZE / 2) / cameras.intrinsics[0, 0]).square()
    slopes = (across[:, None] + across).sqrt()
    pictures = [
        (slopes < math.tan(math.asin(radius / DISTANCE))).float()[..., None].repeat(1, 1, 4) for radius in radii
    ]
    frames = Frames(
        pictures,
        [cameras[index] for index in range(count)],
        torch.linspace(0, 1, count),
        [f"{index}" for index in range(count)],
        ["train"] * count,
    )
    return silhouettes(frames, range(count), radius=2.0)


def test_a_pixel_is_as_wide_as_a_voxel_of_the_part_that_is_filled() -> None:
    widths = 2 * np.sqrt(balls([0.6, 0.6]).masks.sum(axis=1) / math.pi)
    assert widths == pytest.approx(GRID / 1.05, rel=0.05)


def test_what_a_larger_shape_has_beyond_the_hull_is_left_bare() -> None:
    missed = balls([0.6, 0.6, 0.45]).uncovered()
    assert missed == pytest.approx(missed.T)
    assert missed[0, 1] < 0.01
    # The hull is no higher than the smaller ball, and about as wide as the larger one.
    share = 0.45 / 0.6
    segments = 1 - 2 / math.pi * (math.asin(share) + share * math.sqrt(1 - share**2))
    assert missed[0, 2] == pytest.approx(segments / 2, abs=0.02)


def test_the_kernel_agrees_with_sets() -> None:
    draws = np.random.default_rng(0)
    seen = Silhouettes(
        np.linspace(0, 1, 3),
        np.tile([0.0, 0.0, 1.0], (3, 1)),
        draws.random((3, 50)) < 0.5,
        draws.integers(0, 20, (3, 50)).astype(np.int32),
        np.ones((3, 20), bool),
    )
    covered = [
        [len(set(seen.pixel[first, seen.inside[first] & seen.inside[second]])) / 20 for second in range(3)]
        for first in range(3)
    ]
    expected = 1 - (np.array(covered) + np.array(covered).T) / 2
    assert seen.uncovered() == pytest.approx(expected)
