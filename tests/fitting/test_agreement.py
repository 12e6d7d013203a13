"""Photographs whose masks the others contradict take no part in a fit, and are named."""

import pytest
import torch

from a4d.fitting.agreement import agreeing
from a4d.geometry.cameras import turntable
from a4d.geometry.primitives import creature
from a4d.render.mesh import render_mesh
from a4d.views import Frames

COUNT = 6
CAMERAS = turntable(COUNT, 15.0, 3.0, 40.0, 64)


class Work:
    """What is told of a run."""

    def __init__(self, files: list[str] | None = None) -> None:
        self.warnings: list[str] = []
        self.files = files

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def note(self, key: str) -> list[str] | None:
        return self.files


@pytest.fixture(scope="module")
def alpha() -> torch.Tensor:
    return render_mesh(creature(resolution=24), CAMERAS).alpha[..., 0]


def frames(alpha: torch.Tensor, splits: list[str] | None = None) -> Frames:
    return Frames(
        list(alpha[..., None].expand(-1, -1, -1, 4)),
        [CAMERAS[index] for index in range(COUNT)],
        None,
        [f"{index:05d}" for index in range(COUNT)],
        splits or ["train"] * COUNT,
    )


def test_one_that_is_empty_is_left_out_and_named(alpha: torch.Tensor) -> None:
    spoilt, work = alpha.clone(), Work([f"photo_{index}.jpg" for index in range(COUNT)])
    spoilt[3] = 0
    left, figures = agreeing(work, frames(spoilt), 1.2)
    assert left.names == ["00000", "00001", "00002", "00004", "00005"]
    assert figures["outlines_bare"] < 0.01
    assert len(work.warnings) == 1
    assert "images/00003.png (photo_3.jpg)" in work.warnings[0]


def test_right_ones_stay_and_those_held_out_are_not_judged(alpha: torch.Tensor) -> None:
    spoilt, work = alpha.clone(), Work()
    spoilt[5] = 0
    given = frames(spoilt, ["train"] * 5 + ["test"])
    left, figures = agreeing(work, given, 1.2)
    assert left is given
    assert figures["outlines_bare"] < 0.01
    assert work.warnings == []


def test_a_suspect_is_named_though_it_stays(alpha: torch.Tensor) -> None:
    spoilt, work = alpha.clone(), Work()
    spoilt[2, 32:] = 0
    given = frames(spoilt, ["train", "test"] * 3)
    left, figures = agreeing(work, given, 1.2)
    assert left is given
    assert figures["outlines_bare"] > 0.05
    assert "images/00002.png" in work.warnings[0]


def test_pictures_without_masks_tell_nothing(alpha: torch.Tensor) -> None:
    given = frames(torch.ones_like(alpha))
    assert agreeing(Work(), given, 1.2) == (given, {})
