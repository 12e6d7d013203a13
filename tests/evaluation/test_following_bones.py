"""Of what bones move, whether anything moves in the frames is told by what their shape misses anyway."""

from dataclasses import replace

import pytest
import torch
from articulated_ball import articulated

from a4d.evaluation.following import figures_of_motion
from a4d.geometry.cameras import turntable
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.views import Frames

COUNT, SIZE = 6, 32


def film(scene: ArticulatedGaussians, paler: float) -> Frames:
    """What a camera that goes around sees of a scene that is so much paler."""
    cameras, times = turntable(COUNT, 10.0, 3.0, 40.0, SIZE), torch.linspace(0, 0.5, COUNT)
    with torch.no_grad():
        renders = [scene.render(cameras[index], times[index : index + 1]) for index in range(COUNT)]
    pale = [replace(each, rgb=each.rgb + paler * each.alpha) for each in renders]
    rgba = [torch.cat([each.rgb / each.alpha.clamp_min(1e-3), each.alpha], -1)[0].clamp(0, 1) for each in pale]
    names = [str(index) for index in range(COUNT)]
    return Frames(rgba, [cameras[index] for index in range(COUNT)], times, names, ["train"] * COUNT)


@pytest.mark.parametrize("paler", [0.0, 0.2])
def test_of_a_subject_that_stands_still_nothing_is_to_be_followed(paler: float) -> None:
    figures = figures_of_motion(articulated(), film(articulated(), paler))
    assert "motion_followed" not in figures
    assert figures["path_mean"] == pytest.approx(0, abs=1e-5)


def test_a_motion_that_was_missed_is_not_taken_for_none() -> None:
    frames = film(articulated(moving=True), 0.05)
    still = articulated()
    with torch.no_grad():
        still.root.network[-1].bias[6:] = torch.tensor([0.05, 0.0, 0.1])
    assert figures_of_motion(still, frames)["motion_followed"] == pytest.approx(0, abs=0.05)
    assert figures_of_motion(articulated(moving=True), frames)["motion_followed"] > 0.8
