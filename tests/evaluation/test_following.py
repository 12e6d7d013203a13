"""What is said of a motion: how much of it the frames show, and whether the shape survives."""

import pytest
import torch

from a4d.evaluation.following import figures_of_motion
from a4d.geometry.cameras import turntable
from a4d.geometry.primitives import box, paint
from a4d.randomness import generator
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.seed import Seed
from a4d.views import Frames

TIMES = (0.0, 0.5, 1.0)


def moving(shift: float = 0.3, stretch: float = 1.0, with_mesh: bool = True) -> GaussianMotionScene:
    """A box that moves to the right in two steps, and grows by a factor along the way if its nodes are told to."""
    mesh = paint(box((0.5, 0.8, 0.3)))
    spec = {"kind": "gaussian_motion", "count": 600, "motion": {"kind": "nodes", "nodes": 12, "keys": 3}}
    scene = GaussianMotionScene.begin(spec, Seed(mesh=mesh), generator(0, "begin"))
    if not with_mesh:
        still = {"kind": "gaussian_motion", "motion": spec["motion"]}
        scene = GaussianMotionScene.begin(still, Seed(gaussians=scene.rest), generator(0, "begin"))
    with torch.no_grad():
        for key, shifts in enumerate(scene.motion.shifts, start=1):
            shifts.copy_((stretch - 1) * key / 2 * scene.motion.nodes)
            shifts[:, 0] += shift * key / 2
    return scene


def films(scene: GaussianMotionScene) -> Frames:
    cameras = turntable(2, 10.0, 3.0, 40.0, 48)
    rgba, seen, times = [], [], []
    for view in range(2):
        for time in TIMES:
            with torch.no_grad():
                render = scene.render(cameras[view], torch.tensor([time]))
            rgba.append(torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0].clamp(0, 1))
            seen.append(cameras[view])
            times.append(time)
    return Frames(rgba, seen, torch.tensor(times), [str(time) for time in times], ["train"] * len(rgba))


def test_what_is_followed_exactly_is_followed_whole() -> None:
    scene = moving()
    figures = figures_of_motion(scene, films(scene))
    assert figures["motion_followed"] > 0.99
    assert figures["iou_worst"] > 0.99
    assert figures["psnr_worst"] > 35
    assert abs(figures["volume_change"]) < 1e-4
    assert figures["strain_rms"] < 1e-3
    assert figures["path_mean"] == pytest.approx(0.3 / 0.98**0.5, rel=1e-3)  # over the diagonal
    assert [moment["time"] for moment in figures["moments"]] == [0.5, 1.0]


def test_what_stands_still_follows_nothing() -> None:
    figures = figures_of_motion(moving(shift=0.0), films(moving()))
    assert figures["motion_followed"] == pytest.approx(0, abs=1e-6)
    assert figures["iou_worst"] < 0.7
    assert figures["iou_worst_time"] == 1.0


def test_a_clip_without_motion_has_none_to_follow() -> None:
    still = moving(shift=0.0)
    assert "motion_followed" not in figures_of_motion(still, films(still))


@pytest.mark.parametrize("with_mesh", [True, False])
def test_shrinking_is_told_in_volume_and_strain(with_mesh: bool) -> None:
    scene = moving(stretch=0.9, with_mesh=with_mesh)
    figures = figures_of_motion(scene, films(scene))
    assert figures["volume_change"] == pytest.approx(0.9**3 - 1, abs=0.09)
    assert figures["strain_largest"] >= figures["moments"][1]["strain"] > figures["strain_rms"] > 0.05
    assert figures["moments"][1]["strain"] == pytest.approx(0.1, abs=0.05)
