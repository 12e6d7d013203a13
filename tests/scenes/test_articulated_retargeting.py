"""A fitted model follows another film: its poses are found, and all else of it stays."""

from pathlib import Path

import pytest
import torch
from articulated_ball import articulated
from rich.console import Console

from a4d.errors import ConfigError
from a4d.geometry.cameras import turntable
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes import begin_from
from a4d.scenes.scene import Scene
from a4d.views import Frames, build_views

MOMENTS, SIZE = 4, 32
POSES = ("articulation.", "root.")


def driven(scene: Scene) -> Scene:
    """The scene in another motion of its whole, up and down."""
    with torch.no_grad():
        scene.root.network[-1].weight[7, -scene.root.config.harmonics] = 0.3
    return scene


def film_of(scene: Scene) -> Frames:
    """What two cameras see of a scene."""
    cameras, times = turntable(2, 10.0, 3.0, 40.0, SIZE), torch.linspace(0, 1, MOMENTS)
    rgba = []
    for view in range(2):
        for time in times:
            with torch.no_grad():
                render = scene.render(cameras[view], time[None])
            rgba.append(torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1)[0].clamp(0, 1))
    names = [str(index) for index in range(len(rgba))]
    single = [cameras[index // MOMENTS] for index in range(len(rgba))]
    return Frames(rgba, single, times.repeat(2), names, ["train"] * len(rgba))


def test_poses_follow_another_film_and_the_shape_is_the_same_bytes(tmp_path: Path) -> None:
    model, other = articulated(), driven(articulated())
    scene = begin_from(model, {"cycles": 0}, generator(0, "begin"))
    objectives = [{"kind": "photometric", "views": "film", "ssim": 0}, {"kind": "mask", "views": "film"}]
    rates = {"articulation": 2e-3, "root": 2e-2}
    loop = LoopConfig.model_validate({"iterations": 60, "optimiser": {"rates": rates}, "preview_seconds": 1e6})
    film = build_views({"film": {"kind": "observed", "batch": 4, "background": "random"}})
    problem = Problem(scene, film, build_objectives(objectives), film_of(other))
    optimise(problem, loop, tmp_path, Runtime(console=Console(quiet=True)))
    before, after = model.state_dict(), scene.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith(POSES))
    times = torch.linspace(0, 1, MOMENTS).tolist()
    with torch.no_grad():
        truth, still, found = (each.joints(times) for each in (other, model, scene))
    assert float((found - truth).norm(dim=-1).mean()) < 0.3 * float((still - truth).norm(dim=-1).mean())


def test_a_motion_of_another_period_is_found_anew_and_bones_cannot_be_others() -> None:
    model = driven(articulated())
    kept, anew = (begin_from(model, over, generator(0, "begin")) for over in ({"seconds": 2.0}, {"cycles": 3}))
    assert torch.equal(kept.root.network[-1].weight, model.root.network[-1].weight)
    assert float(anew.root.network[-1].weight.detach().abs().max()) == 0
    assert torch.equal(anew.means, model.means)
    with pytest.raises(ConfigError, match=r"scene\.bones"):
        begin_from(model, {"bones": 9}, generator(0, "begin"))
