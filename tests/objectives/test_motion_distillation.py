"""4D score distillation: a perturbed motion is brought back by a prior that knows multi-view videos."""

from pathlib import Path

import torch
from bending import bending_bar
from rich.console import Console

from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.scenes.gaussian_motion.scene import GaussianMotionScene
from a4d.scenes.seed import Seed
from a4d.views import build_views

FRAMES, SIZE = 5, 40


def examples() -> ExampleSet:
    """The bar rolling up to one side and to the other, over grey."""
    parts = []
    for angle in (1.2, -1.2):
        rgba = torch.stack(bending_bar(FRAMES, 4, SIZE, angle).frames.rgba)
        parts.append(rgba[..., :3] * rgba[..., 3:] + 0.5 * (1 - rgba[..., 3:]))
    return ExampleSet(torch.cat(parts), views=4, frames=FRAMES, prompts=("left", "right"))


def moving_bar() -> tuple[GaussianMotionScene, torch.Tensor]:
    """The scene with the bar's own motion, fitted to its vertices, and where these should be."""
    bar = bending_bar(FRAMES, 1, 8)
    spec = {"kind": "gaussian_motion", "count": 500, "motion": {"kind": "nodes", "nodes": 24, "keys": FRAMES}}
    scene = GaussianMotionScene.begin(spec, Seed(asset=bar.asset), generator(0, "begin"))
    times = torch.linspace(0, 1, FRAMES).tolist()
    optimiser = torch.optim.Adam([*scene.motion.parameters()], lr=2e-2)
    for _ in range(150):
        optimiser.zero_grad()
        (scene.moved_points("vertices", times) - bar.trajectories).square().sum(-1).mean().backward()
        optimiser.step()
    return scene, bar.trajectories


def distil(scene: GaussianMotionScene, steps: int, folder: Path) -> None:
    """Ask the prior of both clips about the scene, told that it bends to the left."""
    ring = {"kind": "orbit", "azimuth": [0, 0], "elevation": [15, 15], "radius": 3, "fov": 40, "size": SIZE,
            "ring": 4, "batch": 4, "frames": FRAMES, "background": "grey"}  # fmt: skip
    objectives = [
        {"kind": "score-distillation", "views": "ring", "prior": "clips", "prompt": "left", "form": "x0",
         "guidance_scale": 1, "t": [0.02, 0.5], "weight": 1.0},
        {"kind": "arap", "views": "ring", "points": "nodes", "neighbours": 6, "weight": 300},
    ]  # fmt: skip
    rates = {"shifts": {"from": 2e-2, "to": 1e-3, "steps": steps}, "turns": {"from": 4e-2, "to": 2e-3, "steps": steps}}
    loop = LoopConfig.model_validate({"iterations": steps, "optimiser": {"rates": rates}, "preview_seconds": 1e6})
    priors = {"clips": ExactPrior(examples(), clean_frames=1)}
    problem = Problem(scene, build_views({"ring": ring}), build_objectives(objectives), None, priors)
    optimise(problem, loop, folder, Runtime(console=Console(quiet=True)))


def test_a_motion_that_noise_has_disturbed_is_repaired(tmp_path: Path) -> None:
    scene, truth = moving_bar()
    times = torch.linspace(0, 1, FRAMES).tolist()

    def error() -> float:
        with torch.no_grad():
            return float((scene.moved_points("vertices", times) - truth).norm(dim=-1).mean())

    clean = error()
    with torch.no_grad():
        draws = torch.Generator().manual_seed(4)
        for shift in scene.motion.shifts:
            shift += 0.08 * torch.randn(shift.shape, generator=draws)
    disturbed = error()
    assert disturbed > 5 * clean
    distil(scene, 150, tmp_path)
    assert error() < 0.45 * disturbed, error() / disturbed


def test_a_motion_is_found_from_none_and_every_moment_has_its_own_pose(tmp_path: Path) -> None:
    bar = bending_bar(FRAMES, 1, 8)
    spec = {"kind": "gaussian_motion", "count": 500, "motion": {"kind": "nodes", "nodes": 24, "keys": FRAMES}}
    scene = GaussianMotionScene.begin(spec, Seed(asset=bar.asset), generator(0, "begin"))
    distil(scene, 100, tmp_path)
    truth = bar.trajectories
    with torch.no_grad():
        found = scene.moved_points("vertices", torch.linspace(0, 1, FRAMES).tolist())
    error, still = ((shape - truth).norm(dim=-1).mean(1)[1:] for shape in (found, truth[0]))
    # One pose for all moments cannot be near the first of them and near the last.
    assert (error < 0.6 * still).all(), error / still
    assert float(error.mean()) < 0.4 * float(still.mean())
