"""One mask that is wrong is found by those of other views, and right ones are left alone."""

import pytest
import torch
from torch import Tensor

from a4d.estimation.mask_agreement import FEWEST, contradictions
from a4d.estimation.silhouettes import silhouettes
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, tube_union
from a4d.render.mesh import render_mesh
from a4d.views import Frames

VIEWS, WRONG = 8, 5
CAMERAS = orbit(torch.arange(VIEWS) * 45.0, torch.tensor([-10.0, 30.0] * 4), 3.0, 40.0, 96, 96)


@pytest.fixture(scope="module")
def masks() -> Tensor:
    """(8, 96, 96) of an animal from all sides."""
    return shown(creature(resolution=32))


def shown(mesh: Mesh) -> Tensor:
    """(8, 96, 96) coverage."""
    return render_mesh(mesh, CAMERAS).alpha[..., 0]


def found_in(masks: Tensor, cameras: Cameras = CAMERAS):
    count = len(masks)
    frames = Frames(
        list(masks[..., None].expand(-1, -1, -1, 4)),
        [cameras[index] for index in range(count)],
        None,
        [f"{index}" for index in range(count)],
        ["train"] * count,
    )
    return contradictions(silhouettes(frames, range(count), 1.2, slack=1))


def test_right_masks_cover_each_other(masks: Tensor) -> None:
    found = found_in(masks)
    assert found.wrong == ()
    assert found.bare < 0.005


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda mask: 0 * mask,
        lambda mask: 1 - mask,
        lambda mask: 0 * mask + 1,
        lambda mask: mask.roll(14, 1),
        lambda mask: mask * (torch.arange(96) < 48),
    ],
    ids=["empty", "inverted", "full", "shifted", "half"],
)
def test_a_wrong_mask_is_found(masks: Tensor, spoilt) -> None:
    wrong = masks.clone()
    wrong[WRONG] = spoilt(masks[WRONG])
    found = found_in(wrong)
    assert found.wrong == (WRONG,)
    assert found.bare < 0.01


@pytest.mark.parametrize("radius", [0.008, 0.012])
def test_thin_things_do_not_contradict_themselves_so_far_that_a_fit_is_refused(radius: float) -> None:
    ends = ((0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5), (0.5, 0.0, 0.0))
    wires = [(tuple(-place for place in end), end, radius) for end in ends]
    found = found_in(shown(tube_union(wires, 96)))
    assert found.bare < 0.2


def test_of_two_wrong_ones_both_are_found(masks: Tensor) -> None:
    wrong = masks.clone()
    wrong[WRONG], wrong[2] = 1 - masks[WRONG], masks[2].roll(20, 1)
    assert set(found_in(wrong).wrong) == {WRONG, 2}


def test_of_six_views_half_a_mask_is_missed_by_more_than_the_one_from_behind() -> None:
    """The view from behind misses almost all of it, and is one witness; the others miss less, but there are some."""
    cameras = orbit(torch.arange(6) * 60.0, torch.tensor([15.0, -10.0, 35.0, 5.0, 15.0, -10.0]), 3.2, 40.0, 96, 96)
    few = render_mesh(creature(resolution=32), cameras).alpha[..., 0].clone()
    few[3] *= torch.arange(96) < 48
    assert found_in(few, cameras).wrong == (3,)


def test_of_three_views_the_one_that_carves_most_is_a_suspect() -> None:
    cameras = orbit(torch.arange(3) * 120.0, torch.tensor([15.0, -10.0, 35.0]), 3.2, 40.0, 96, 96)
    few = render_mesh(creature(resolution=32), cameras).alpha[..., 0].clone()
    assert found_in(few, cameras).suspect is None
    few[1, 48:] = 0
    found = found_in(few, cameras)
    assert (found.wrong, found.suspect) == ((), 1)


def test_of_few_views_none_is_told_to_be_wrong_but_all_are_doubted(masks: Tensor) -> None:
    few = masks[: FEWEST - 1].clone()
    few[0] = few[0].roll(20, 1)
    found = found_in(few)
    assert found.wrong == ()
    assert found.bare > 0.05
