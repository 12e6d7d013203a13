"""Gaussians from a few photographs with outlines: where they begin, where they stay, and how fine they are seen."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from rich.console import Console

from a4d.errors import ConfigError, Interrupted
from a4d.evaluation.views import compare_views
from a4d.fitting.seeds import hull_seed
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere, paint
from a4d.geometry.reconstruction.visual_hull import Occupancy
from a4d.interruption import StopRequest
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes.gaussians.scene import GaussianScene
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views, observed

HAZE = {"kind": "gaussians", "count": 1500, "place": "inside", "opacity": 0.1}
SHELL = {**HAZE, "place": "surface", "opacity": 0.7}
RATES = {"means": 5e-3, "quaternions": 2e-2, "log_scales": 4e-2, "opacity_logits": 1e-1, "sh_base": 1e-1}
OBJECTIVES = [
    {"kind": "photometric", "views": "seen", "ssim": 0},
    {"kind": "mask", "views": "seen"},
]


def bush() -> Mesh:
    """Rods in all directions, between which no outline of few views shows a gap."""
    draws = np.random.default_rng(2)
    rods = []
    for _ in range(40):
        start, end = draws.uniform(-0.55, 0.55, (2, 3))
        rods.append(trimesh.creation.cylinder(0.04, segment=[start, end], sections=8))
    whole = trimesh.util.concatenate(rods)
    vertices = torch.from_numpy(np.asarray(whole.vertices)).float()
    return paint(Mesh(vertices, torch.from_numpy(np.asarray(whole.faces)).long()))


def photographs(mesh: Mesh, size: int, views: int = 8) -> Frames:
    """Of which every third view is held out."""
    index = torch.arange(views + views // 2)
    cameras = orbit(index * 360.0 / len(index), torch.tensor([25.0, 50.0])[index % 2], 3.0, 40.0, size, size)
    render = render_mesh(mesh, cameras)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)
    splits = ["test" if each % 3 == 2 else "train" for each in index.tolist()]
    return Frames(list(rgba), [cameras[i] for i in range(len(index))], None, [f"{i}" for i in index.tolist()], splits)


def fitted(spec: dict, frames: Frames, seed: Seed, folder: Path, loop: dict, stop: StopRequest | None = None):
    scene = GaussianScene.begin(spec, seed, generator(0, "begin"))
    seen = {"kind": "observed", "background": "random", "reduce": loop.pop("reduce", 1.0)}
    problem = Problem(scene, build_views({"seen": seen}), build_objectives(OBJECTIVES), frames)
    config = LoopConfig.model_validate({"optimiser": {"rates": RATES}, **loop})
    optimise(problem, config, folder, Runtime(console=Console(quiet=True), stop=stop or StopRequest()))
    return scene


def carved(frames: Frames, resolution: int = 40) -> Seed:
    return hull_seed(frames.subset(frames.select("train")), 1.0, resolution)


def test_what_outlines_hide_is_found_through_haze_and_not_through_a_shell(tmp_path: Path) -> None:
    frames = photographs(bush(), 48)
    seed, figures = carved(frames), {}
    for name, spec in (("haze", HAZE), ("shell", SHELL)):
        scene = fitted(spec, frames, seed, tmp_path / name, {"iterations": 120})
        figures[name] = compare_views(scene, frames, "test")["foreground_psnr"]
    assert figures["haze"] > figures["shell"] + 0.5


def test_haze_fills_the_solid_evenly_in_the_colours_of_its_surface() -> None:
    inside = icosphere(0.5)
    frames = photographs(
        Mesh(inside.vertices, inside.faces, torch.tensor([[0.9, 0.2, 0.1]]).expand(len(inside.vertices), 3)), 48
    )
    seed = carved(frames)
    gaussians = GaussianScene.begin(HAZE, seed, generator(0, "begin")).gaussians().detach()
    assert float(seed.solid.signed_distance(gaussians.means).max()) < seed.solid.spacing
    # Half of a ball's volume lies within 0.794 of its radius; the hull of eight views is a little larger.
    assert float((gaussians.means.norm(dim=-1) < 0.794 * 0.5).float().mean()) == pytest.approx(0.47, abs=0.07)
    assert gaussians.opacities.tolist() == pytest.approx([0.1] * 1500)
    # What no camera sees is grey.
    is_red = (gaussians.colours - torch.tensor([0.9, 0.2, 0.1])).abs().amax(-1) < 0.01
    assert float(is_red.float().mean()) > 0.7


def test_nothing_stays_where_the_outlines_show_nothing() -> None:
    values = torch.zeros(16, 16, 16, dtype=torch.bool)
    values[6:10, 6:10, 6:10] = True
    solid = Occupancy(values, torch.full((3,), -1.0), 0.125)
    density = {"start": 0, "every": 1, "gradient_threshold": 1e9}
    scene = GaussianScene.begin(
        {**HAZE, "count": 40, "margin": 0.1, "density": density},
        Seed(points=torch.zeros(1, 3), solid=solid),
        generator(0),
    )
    with torch.no_grad():
        scene.means[:15] += torch.tensor([0.0, 0.6, 0.0])
    optimisers = build_optimisers(scene)
    scene.after_step(0, optimisers, generator(0))
    assert len(scene.means) == 25
    assert float(solid.signed_distance(scene.means.detach()).max()) <= 0.1


def build_optimisers(scene: GaussianScene):
    from a4d.optimisers import OptimiserConfig, adam

    return adam(scene.groups(), OptimiserConfig.model_validate({"rates": RATES}))


class StopAfter(StopRequest):
    """Asks to stop after a number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.looks = steps, 0

    def __getattribute__(self, name: str) -> object:
        if name == "signal_number":
            self.looks += 1
            return signal.SIGTERM if self.looks >= self.steps else None
        return super().__getattribute__(name)


@pytest.mark.parametrize("steps", [2, 4, 5])
def test_a_run_that_stops_before_or_after_finer_pictures_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(observed, "LEAST_REDUCED", 8)
    frames = photographs(icosphere(0.6), 64)
    seed = carved(frames, 24)
    density = {"start": 1, "stop": 7, "every": 2, "gradient_threshold": 1e-6, "most": 250}
    spec = {**HAZE, "count": 120, "margin": 0.05, "density": density}
    reduce = {"from": 2.0, "to": 2.0, "steps": 4, "then": {"from": 1.0, "to": 1.0, "steps": 1}}
    loop = {"iterations": 8, "reduce": reduce}
    whole = fitted(spec, frames, seed, tmp_path / "whole", dict(loop))
    with pytest.raises(Interrupted):
        fitted(spec, frames, seed, tmp_path / "parts", dict(loop), StopAfter(steps))
    again = fitted(spec, frames, seed, tmp_path / "parts", dict(loop))
    assert again.footprint == whole.footprint
    for name, parameters in whole.groups().items():
        assert torch.equal(parameters[0], again.groups()[name][0]), name


@pytest.mark.parametrize("place", ["inside", "vertices"])
def test_gaussians_begin_nowhere_else_than_asked(place: str) -> None:
    with pytest.raises(ConfigError, match=f"scene.place: {place}"):
        GaussianScene.begin({**HAZE, "place": place}, Seed(mesh=icosphere(1.0)), generator(0, "begin"))
