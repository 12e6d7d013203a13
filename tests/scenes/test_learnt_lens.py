"""Cameras of a film are learnt beside its shape: a lens that was told wrongly, a course that strays, gradients."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from articulated_ball import articulated
from rich.console import Console
from torch import Tensor

from a4d.fitting.settings import Fitting
from a4d.fitting.start import start
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.primitives import creature, paint
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.render.gaussians import render_gaussians
from a4d.render.mesh import render_mesh
from a4d.render.render import Render
from a4d.runtime import Runtime
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views
from a4d.workspace.record import Plan
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Metadata, Workspace

TOO_LONG = 1.15
"""How many times as long the lens is told to be as it is."""

FRAMES, RADIUS, FOV = 24, 1.8, 60.0


def heights() -> Tensor:
    return torch.where(torch.arange(FRAMES) % 2 == 0, 10.0, 35.0)


def seen_from_around(pixels: int) -> Cameras:
    return orbit(torch.linspace(0, 720, FRAMES + 1)[:-1], heights(), RADIUS, FOV, pixels, pixels)


def painted_creature(count: int, scale: float, pixels: int) -> ArticulatedGaussians:
    mesh = paint(creature(resolution=20))
    spec = {
        "kind": "articulated",
        "bones": 2,
        "count": count,
        "resolution": 32,
        "motion": {"layers": 0, "harmonics": 1},
    }
    seed = Seed(mesh=mesh.with_vertices(mesh.vertices * scale))
    scene = ArticulatedGaussians.begin(spec, seed, torch.Generator().manual_seed(0))
    scene.see_pixels(2 * RADIUS * math.tan(math.radians(FOV / 2)) / pixels)
    return scene


def through_a_longer_lens(cameras: Cameras) -> Cameras:
    return replace(cameras, intrinsics=cameras.intrinsics * torch.tensor([TOO_LONG, TOO_LONG, 1, 1]))


def astray(cameras: Cameras) -> Cameras:
    """Turned about the subject by up to a dozen degrees, to and fro, and lowered by a third of that."""
    wrong = 12 * torch.linspace(0, 3 * math.pi, FRAMES).sin()
    away = orbit(torch.linspace(0, 720, FRAMES + 1)[:-1] + wrong, heights() - wrong / 3, RADIUS, FOV, 8, 8)
    return replace(cameras, world_from_camera=away.world_from_camera)


def film(
    show: Callable[[Cameras], Render], pixels: int, told: Callable[[Cameras], Cameras] = through_a_longer_lens
) -> Frames:
    """What cameras show, and what is told of them."""
    cameras = seen_from_around(pixels)
    with torch.no_grad():
        renders = [show(cameras[index]) for index in range(FRAMES)]
    rgba = [torch.cat([each.rgb / each.alpha.clamp_min(1e-3), each.alpha], dim=-1)[0].clamp(0, 1) for each in renders]
    names, said = [str(index) for index in range(FRAMES)], told(cameras)
    return Frames(rgba, [said[i] for i in range(FRAMES)], torch.linspace(0, 1, FRAMES), names, ["train"] * FRAMES)


def fitted(scene: ArticulatedGaussians, frames: Frames, steps: int, rates: dict[str, float], folder: Path) -> Frames:
    """The frames with the cameras that are found beside the shape."""
    views = build_views({"film": {"kind": "observed", "batch": 4, "background": "random"}})
    objectives = [
        {"kind": "photometric", "views": "film", "ssim": 0, "weight": 4.0},
        {"kind": "mask", "views": "film", "norm": "l2", "weight": 4.0},
        {"kind": "surface-laplacian", "views": "film", "of": "offsets", "weight": 80.0},
    ]
    falling = {"steps": steps, "curve": "exponential"}
    shape = {
        "means": {"from": 1.5e-3, "to": 2e-4, **falling}, "log_scales": 4e-3, "quaternions": 2e-3,
        "opacity_logits": 1e-2, "colours": {"from": 3e-2, "to": 3e-3, **falling},
    }  # fmt: skip
    loop = {"iterations": steps, "optimiser": {"rates": {**shape, **rates}}, "preview_seconds": 1e6}
    problem = Problem(scene, views, build_objectives(objectives), frames)
    optimise(problem, LoopConfig.model_validate(loop), folder, Runtime(console=Console(quiet=True), seed=1))
    return frames.seen_by(scene)


def fitted_lens(scene: ArticulatedGaussians, frames: Frames, steps: int, rate: float, folder: Path) -> float:
    """The focal length that is found, over the true one."""
    seen = fitted(scene, frames, steps, {"focal": rate}, folder).cameras[0]
    return float(seen.intrinsics[0, 0] / seen_from_around(seen.width).intrinsics[0, 0])


def degrees_apart(frames: Frames) -> float:
    """By which turns between two frames are wrong, in the mean of all pairs."""
    found = torch.cat([camera.world_from_camera[:, :3, :3] for camera in frames.cameras])
    true = seen_from_around(8).world_from_camera[:, :3, :3]
    wrong = [(each[:, None].mT @ each).flatten(0, 1) for each in (found, true)]
    traces = (wrong[0].mT @ wrong[1]).diagonal(dim1=-2, dim2=-1).sum(-1)
    return math.degrees(float(((traces - 1) / 2).clamp(-1, 1).acos().mean()))


def test_a_course_that_strays_is_found_again(tmp_path: Path) -> None:
    scene = painted_creature(300, 1.0, 32)
    frames = film(scene.render, 32, astray)
    assert degrees_apart(frames) > 9
    found = fitted(scene, frames, 60, {"course": 8e-3}, tmp_path)
    assert degrees_apart(found) < 4
    scene.save(tmp_path)
    again = frames.seen_by(ArticulatedGaussians.load(tmp_path))
    assert degrees_apart(again) == pytest.approx(degrees_apart(found), abs=1e-3)


def test_a_lens_that_was_told_wrongly_is_found_again(tmp_path: Path) -> None:
    true = painted_creature(300, 1.0, 48)
    scene = painted_creature(300, 1 / TOO_LONG, 48)
    assert fitted_lens(scene, film(true.render, 48), 100, 5e-3, tmp_path) == pytest.approx(1, abs=0.03)
    scene.save(tmp_path)
    again = ArticulatedGaussians.load(tmp_path)
    assert torch.equal(again.log_focal, scene.log_focal)
    assert scene.log_focal < -0.1


@pytest.mark.slow
def test_a_lens_is_found_of_a_surface_that_no_gaussians_made(tmp_path: Path) -> None:
    mesh = paint(creature(resolution=20))
    frames = film(lambda camera: render_mesh(mesh, camera), 128)
    assert fitted_lens(painted_creature(1500, 1 / TOO_LONG, 128), frames, 400, 2e-3, tmp_path) == pytest.approx(
        1, abs=0.03
    )


@pytest.mark.parametrize("moved", ["lens", "centre", "place", "turn"])
def test_gradients_of_cameras_are_those_of_what_they_see(moved: str) -> None:
    gaussians = articulated(60).rest.detach()
    precise = replace(gaussians, **{name: getattr(gaussians, name).double() for name in vars(gaussians)})
    cameras = orbit(torch.tensor([20.0, 80.0]), torch.tensor([10.0, 30.0]), 2.0, 50.0, 64, 64)
    down, right = torch.meshgrid(*[torch.linspace(0, 1, 64, dtype=torch.float64)] * 2, indexing="ij")
    weights = torch.stack([(3 * right + down).sin(), (2 * down - right).cos(), right * down], dim=-1)

    def changed(by: Tensor) -> Tensor:
        lens, pose = cameras.intrinsics.double(), cameras.world_from_camera.double()
        if moved == "lens":
            lens = torch.cat([lens[:, :2] * by, lens[:, 2:]], dim=1)
        elif moved == "centre":
            lens = torch.cat([lens[:, :2], lens[:, 2:] * by], dim=1)
        elif moved == "turn":
            angle = by - 1
            turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
            pose = torch.cat([torch.cat([pose[:, :1], turn @ pose[:, 1:3]], dim=1), pose[:, 3:]], dim=1)
        else:
            pose = torch.cat([pose[..., :3], pose[..., 3:] * torch.stack([by, by, by, by / by])[:, None]], dim=-1)
        seen = Cameras(pose, lens, cameras.width, cameras.height)
        return (render_gaussians(precise, seen, backend="reference").rgb * weights).sum()

    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    changed(one).backward()
    with torch.no_grad():
        step = 1e-2
        expected = (changed(one + step) - changed(one - step)) / (2 * step)
    # Alphas below 1/255 are cut off, of which no gradient knows.
    assert float(one.grad) == pytest.approx(float(expected), rel=0.12)


def test_cameras_of_a_graph_show_the_same_and_hold_back_nothing() -> None:
    gaussians = articulated(60).rest.detach()
    means = gaussians.means.clone().requires_grad_(True)
    cameras = orbit(torch.tensor([20.0, 80.0]), torch.zeros(2), 2.0, 50.0, 24, 24)
    learnt = cameras.dollied(torch.ones((), requires_grad=True))
    signals = {"place": gaussians.means}
    drawn = [
        render_gaussians(replace(gaussians, means=means), each, torch.ones(3), signals=signals, wants=("normal",))
        for each in (cameras, learnt)
    ]
    assert torch.equal(drawn[0].rgb, drawn[1].rgb)
    assert torch.equal(drawn[0].channels["place"], drawn[1].channels["place"])
    gradients = [torch.autograd.grad(each.rgb.square().sum(), means)[0] for each in drawn]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_what_is_near_the_origin_keeps_its_size_through_a_longer_lens() -> None:
    cameras = seen_from_around(64)
    longer = cameras.dollied(torch.tensor(1.3))
    points = 1e-3 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for mine, other in zip(cameras.project(points)[0], longer.project(points)[0], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-3)
    assert torch.equal(longer.positions, cameras.positions * 1.3)


@pytest.mark.parametrize(("film_of", "learnt"), [("same", 0.1), ("other", 0.0)])
def test_a_scene_brings_neither_lens_nor_course_to_another_film(tmp_path: Path, film_of: str, learnt: float) -> None:
    scene, folder = painted_creature(50, 1.0, 16), tmp_path / "same.a4d/scenes/fitted"
    workspace = Workspace.create(tmp_path / f"{film_of}.a4d", Metadata(name=film_of))
    folder.mkdir(parents=True)
    for parameter in (scene.log_focal, *scene.course.parameters()):
        parameter.data.fill_(0.1)
    scene.save(folder)
    config = Fitting.model_construct(from_scene=str(folder), scene=None)
    work = Transaction(workspace, "begun", config, Plan.model_construct())
    begun = start(work, config, None, Runtime(console=Console(quiet=True)))
    for parameter in (begun.log_focal, *begun.course.parameters()):
        assert parameter.unique().tolist() == pytest.approx([learnt])


def test_a_lens_without_a_rate_stays(tmp_path: Path) -> None:
    scene = painted_creature(100, 1.0, 16)
    assert fitted_lens(scene, film(scene.render, 16), 2, 0, tmp_path) == pytest.approx(TOO_LONG)
    assert scene.log_focal == 0
