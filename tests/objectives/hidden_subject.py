"""Canonical score distillation against the ideal prior of a subject that is never seen, on bones that are there."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hidden_motion import FOV, MOMENTS, RADIUS, SIDES, Moving, Renders, falling, swaying
from rich.console import Console
from torch import Tensor

from a4d.config import Spec
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.primitives import CREATURE, creature, icosphere, paint
from a4d.metrics import foreground, mask_iou, psnr
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.protocol import Prior
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes import scene_class
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import Frames, build_views

PRIOR, START = "many-views", "fit"
BONES = 10
FITTING_STEPS = 120
"""Of the bones to the vertices of the subject that is known."""


@dataclass(frozen=True)
class Size:
    """How large an experiment is.

    Args:
        pixels: along an image's side.
        gaussians: on the subject.
        steps: of the distillation.
    """

    pixels: int = 48
    gaussians: int = 2000
    steps: int = 300


def known_subject() -> Moving:
    """A painted animal that sways."""
    return swaying(paint(creature(resolution=20)))


def other_subject() -> Moving:
    """An animal twice as stout in other colours, which sways alike."""
    stouter = [
        (centre, (2.0 * x, 1.3 * y, z), tuple(1 - each for each in colour)) for centre, (x, y, z), colour in CREATURE
    ]
    return swaying(creature(stouter, resolution=20))


def fitted(subject: Moving, size: Size) -> Scene:
    """Gaussians on a subject at rest, and bones that have learnt its motion from its vertices."""
    rest = subject.mesh(0.0)
    pixel = 2 * RADIUS * math.tan(math.radians(FOV / 2)) / size.pixels
    spec = {
        "kind": "articulated", "bones": BONES, "count": size.gaussians, "footprint": pixel, "resolution": size.pixels
    }  # fmt: skip
    scene = scene_class("articulated").begin(spec, Seed(mesh=rest), generator(0, "begin"))
    times = torch.linspace(0, 1, 9).tolist()
    truth = torch.stack([subject.mesh(each).vertices for each in times])
    optimiser = torch.optim.Adam([*scene.articulation.parameters(), *scene.root.parameters()], lr=2e-2)
    for _ in range(FITTING_STEPS):
        optimiser.zero_grad()
        (scene.warped(rest.vertices, times) - truth).square().sum(-1).mean().backward()
        optimiser.step()
    return scene.requires_grad_(False)


def many_views(subject: Moving) -> Prior:
    """The ideal denoiser of rings of four views of a subject at any moment."""
    prior = Renders([subject], "multi-view")
    prior.views = 4
    return prior


def distillation(size: Size, **others: Any) -> Spec:
    """Canonical score distillation with the released form and falling noise levels."""
    noise = [{"from": 0.98, "to": end, "steps": size.steps} for end in (0.02, 0.5)]
    return {
        "kind": "score-distillation", "views": "around", "prior": PRIOR, "prompt": "an animal", "form": "x0",
        "guidance_scale": 1, "x0_rescale": 0.5, "t": noise, **others,
    }  # fmt: skip


def around(size: Size) -> Spec:
    """Rings of four views at any moment."""
    return {
        "kind": "orbit", "batch": 4, "ring": 4, "moment": "random", "elevation": [-10, 40], "radius": RADIUS,
        "fov": FOV, "size": size.pixels, "background": "white",
    }  # fmt: skip


def rates(size: Size, bones: float = 1.0) -> Spec:
    """Of Gaussians at rest, and of bones that are free."""
    steps = size.steps
    return {
        "means": falling(1e-2, 2e-3, steps),
        "log_scales": 1e-2,
        "quaternions": 5e-3,
        "colours": falling(3e-2, 5e-3, steps),
        "articulation": falling(bones * 1e-3, bones * 1e-4, steps),
        "skinning": 1e-3,
        "bones": bones * 1e-3,
    }


HELD: tuple[Spec, ...] = (
    {"kind": "bone-displacement", "frozen": START, "weight": 20.0},
    {"kind": "skeleton-range", "frozen": START, "weight": 20.0},
)
"""The bones' ways, by which the gradients of sums over pictures are met."""


def generated(fit: Scene, hidden: Moving, size: Size, without: Iterable[str] = ()) -> tuple[Scene, float]:
    """What becomes of a fit under the prior of another subject, with bones free, and processor seconds of it."""
    objectives = [spec for spec in (distillation(size), *HELD) if spec["kind"] not in set(without)]
    began = time.process_time()
    scene = _optimised(fit, objectives, {"around": around(size)}, rates(size), size, hidden)
    return scene, time.process_time() - began


def _optimised(
    fit: Scene,
    objectives: list[Spec],
    views: Spec,
    learning: Spec,
    size: Size,
    hidden: Moving,
    frames: Frames | None = None,
) -> Scene:
    scene, priors = deepcopy(fit).requires_grad_(True), {PRIOR: many_views(hidden)}
    problem = Problem(scene, build_views(views), build_objectives(objectives), frames, priors, {START: fit})
    settings = {"iterations": size.steps, "optimiser": {"rates": learning}, "preview_seconds": 1e6}
    runtime = Runtime(console=Console(quiet=True), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        optimise(problem, LoopConfig.model_validate(settings), Path(folder), runtime)
    return scene.eval().requires_grad_(False)


@dataclass(frozen=True)
class Likeness:
    """How like a subject a scene is, over its moments and from its sides.

    Args:
        psnr: dB of the foreground over white.
        iou: of the outlines.
        by_moment: (M, M) mean squared differences between what is shown at one moment and the subject at another.
    """

    psnr: float
    iou: float
    by_moment: Tensor

    @property
    def is_in_time(self) -> bool:
        """Whether every moment is more like its own than any other."""
        return bool((self.by_moment.argmin(dim=1) == torch.arange(len(self.by_moment))).all())


def likeness(scene: Scene, subject: Moving, size: Size) -> Likeness:
    """Compare a scene with a subject from four sides that no ring of the distillation has to be at."""
    cameras = orbit(torch.tensor(SIDES) + 30, torch.full((len(SIDES),), 10.0), RADIUS, FOV, size.pixels, size.pixels)
    shown = [_shown(scene, cameras, moment) for moment in MOMENTS]
    truth = [subject(cameras, torch.full((len(SIDES),), moment)) for moment in MOMENTS]
    pairs = list(zip(shown, truth, strict=True))
    values = [
        psnr(mine.rgb[view].clamp(0, 1), true.rgb[view], foreground(mine.alpha[view], true.alpha[view])[..., 0])
        for mine, true in pairs
        for view in range(len(SIDES))
    ]
    overlap = [float(mask_iou(mine.alpha, true.alpha)) for mine, true in pairs]
    by_moment = [[float((mine.rgb - true.rgb).square().mean()) for true in truth] for mine in shown]
    return Likeness(sum(values) / len(values), sum(overlap) / len(overlap), torch.tensor(by_moment))


def _shown(scene: Scene, cameras: Cameras, moment: float) -> Any:
    with torch.no_grad():
        return scene.render(cameras, torch.full((len(cameras),), moment), torch.ones(3))


def mean_turn(before: Scene, after: Scene) -> float:
    """Degrees by which bones are turned otherwise than before, the mean over bones and moments."""
    one, other = (scene.bone_transforms(list(MOMENTS))[..., :3, :3] for scene in (before, after))
    traces = torch.einsum("tbij,tbij->tb", one, other)
    return float(torch.rad2deg(torch.acos(((traces - 1) / 2).clamp(-1, 1))).mean())


def one_sided_film(subject: Moving, size: Size, moments: int = 8) -> Frames:
    """A film from the front alone."""
    camera = orbit(torch.zeros(1), torch.full((1,), 10.0), RADIUS, FOV, size.pixels, size.pixels)
    times = torch.linspace(0, 1, moments)
    renders = [render_mesh(subject.mesh(float(each)), camera) for each in times]
    rgba = [torch.cat([each.rgb / each.alpha.clamp_min(1e-3), each.alpha], dim=-1)[0].clamp(0, 1) for each in renders]
    names = [str(index) for index in range(moments)]
    return Frames(rgba, [camera] * moments, times, names, ["train"] * moments)


OF_FILM: tuple[Spec, ...] = (
    {"kind": "photometric", "views": "film", "norm": "l2", "ssim": 0, "weight": 2000.0},
    {"kind": "mask", "views": "film", "norm": "l2", "weight": 2000.0},
)


def extracted(subject: Moving, size: Size, is_asked: bool) -> Scene:
    """A one-sided film fitted from an ellipsoid in the subject's motion, with or without the subject's prior."""
    rest, body = subject.mesh(0.0), icosphere(1.0, 3)
    low, high = rest.vertices.amin(0), rest.vertices.amax(0)
    scene = fitted(swaying(body.with_vertices(body.vertices * (high - low) / 2 + (low + high) / 2)), size)
    objectives = [*OF_FILM, *([distillation(size)] if is_asked else [])]
    views = {"film": {"kind": "observed", "batch": 2, "background": "white"}, "around": around(size)}
    learning = {**rates(size), "articulation": 1e-3}
    return _optimised(scene, objectives, views, learning, size, subject, one_sided_film(subject, size))


def unseen_chamfer(scene: Scene, subject: Moving) -> float:
    """Metres between the side of a subject that looks away from the front and a scene's there, both ways, halved."""
    truth, mesh = subject.mesh(0.5), scene.mesh(0.5)
    apart = torch.cdist(truth.vertices, mesh.vertices)
    is_behind = truth.vertex_normals[:, 2] < -0.3
    is_near_behind = is_behind[apart.argmin(dim=0)]
    return float(apart.amin(1)[is_behind].mean() + apart.amin(0)[is_near_behind].mean()) / 2
