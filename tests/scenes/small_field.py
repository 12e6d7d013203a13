"""Small radiance fields, what they are fitted to, and the fit."""

import torch

from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes.field.radiance import Grid4D, GridStack
from a4d.scenes.field.scene import FieldScene
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views

SMALL = {
    "kind": "field",
    "encoding": {"levels": 4, "table": 2**12, "base_resolution": 8, "finest_resolution": 64},
    "network": {"width": 16},
    "sampling": {"steps": 96},
    "occupancy": {"resolution": 24, "every": 8, "warm_up": 32},
    "density": {"blob": 4.0, "blob_radius": 0.35, "bias": -1.0},
    "surface_resolution": 40,
}
RATES = {"encoding": 2e-2, "network": 5e-3, "time": 2e-2}
TIMES = {"grid-4d": Grid4D(table=2**12, finest_resolution=32), "grid-stack": GridStack(count=4)}


def begin(seed=0, **changes) -> FieldScene:
    return FieldScene.begin({**SMALL, **changes}, Seed(), generator(seed, "begin"))


def ball(radius=0.5) -> FieldScene:
    """A hard ball around the origin: the network adds nothing, and the cone is 100 times as steep as it is high."""
    scene = begin(density={"blob": 60.0, "blob_radius": radius, "blob_shape": "cone"}, occupancy={"resolution": 48})
    with torch.no_grad():
        scene.field.network[-1].weight.zero_()
        scene.field.network[-1].bias[1:] = torch.tensor([1.0, 0.0, -1.0])
    scene.occupancy.fill(scene.density, generator(0, "fill"))
    return scene.requires_grad_(False)


def perturbed(scene: FieldScene, amount=0.5) -> FieldScene:
    """The same scene with features that matter."""
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in [scene.field.features.space.table, *scene.field.features.moving]:
            parameter.add_(amount * (torch.rand(parameter.shape, generator=draws) - 0.5))
    return scene


def front(size=24):
    return orbit(torch.tensor([20.0]), torch.tensor([15.0]), 2.8, 40.0, size, size)


def observed(size=48, views=8) -> Frames:
    index = torch.arange(views + 2)
    azimuth = torch.where(index < views, index * 360.0 / views, (index - views) * 180.0 + 20)
    cameras = orbit(azimuth, torch.tensor([-10.0, 25.0])[index % 2], 2.8, 40.0, size, size)
    render = render_mesh(icosphere(0.6), cameras)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)
    splits = ["train"] * views + ["test"] * 2
    return Frames(list(rgba), [cameras[i] for i in range(len(index))], None, [str(i) for i in index.tolist()], splits)


def travelling(time: float) -> Mesh:
    """A ball that crosses the scene from left to right."""
    ball = icosphere(0.35, 3)
    return ball.with_vertices(ball.vertices + torch.tensor([0.8 * time - 0.4, 0.0, 0.0]))


def clip(views=6, instants=4) -> Frames:
    rgba, cameras, times = [], [], []
    for instant in range(instants):
        azimuth = torch.arange(views) * 360.0 / views + instant * 17
        around = orbit(azimuth, torch.tensor([-10.0, 25.0])[torch.arange(views) % 2], 2.8, 40.0, 40, 40)
        time = instant / (instants - 1)
        render = render_mesh(travelling(time), around)
        rgba += list(torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1))
        cameras += [around[index] for index in range(views)]
        times += [time] * views
    return Frames(rgba, cameras, torch.tensor(times), [str(i) for i in range(len(times))], ["train"] * len(times))


def fit(scene, frames, iterations, folder, checkpoint_seconds=1000.0):
    views = build_views({"seen": {"kind": "observed", "background": "random", "patch": 32}})
    objectives = build_objectives([
        {"kind": "photometric", "views": "seen", "ssim": 0},
        {"kind": "mask", "views": "seen", "weight": 0.2},
    ])  # fmt: skip
    config = LoopConfig.model_validate({
        "iterations": iterations, "optimiser": {"rates": RATES, "betas": (0.9, 0.99)}, "preview_seconds": 1000,
        "checkpoint_seconds": checkpoint_seconds,
    })  # fmt: skip
    return optimise(Problem(scene, views, objectives, frames), config, folder, Runtime())
