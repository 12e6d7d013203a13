"""Animate124's pipeline on an object that it never sees: one picture, and exact priors for its sides and its motion."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from a4d.config import Spec
from a4d.fitting.settings import Fitting, complete_with_scene
from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.metrics import foreground, psnr
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.protocol import ANYWHERE, Conditioning, Modality, Prior, Viewpoints
from a4d.priors.schedule import noise_schedule
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.render.render import Render, concatenated
from a4d.runtime import Runtime
from a4d.scenes import begin_from
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import Frames

RADIUS, FOV = 2.6, 40.0
POSED, IMAGE, VIDEO = "zero123-xl", "stable-diffusion-1.5", "modelscope-1.7b"
SIDES = (0.0, 90.0, 180.0, 270.0)
MOMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Shown = Callable[[Cameras, Tensor], Render]
"""What moves, from B cameras at times (B,) in [0, 1] over white."""


@dataclass(frozen=True)
class Moving:
    """A surface that moves, in its colours.

    Args:
        mesh: of a time in [0, 1].
    """

    mesh: Callable[[float], Mesh]

    def __call__(self, cameras: Cameras, times: Tensor) -> Render:
        """Pictures over white, each of its own moment."""
        white = torch.ones(3)
        return concatenated(
            [render_mesh(self.mesh(float(each)), cameras[index], white) for index, each in enumerate(times)]
        )


def swaying(still: Mesh) -> Moving:
    """A body that bends sideways and then back, and meanwhile lowers and lifts its front; no two moments are alike."""

    def at(moment: float) -> Mesh:
        x, y, z = still.vertices.unbind(1)
        phase = 1.5 * math.pi * moment
        turn = 1.1 * (1 - math.cos(phase)) / 2 * (z - 0.1)
        x, z = turn.cos() * x + turn.sin() * z, turn.cos() * z - turn.sin() * x
        lift = 0.8 * math.sin(phase) * z
        y, z = lift.cos() * y + lift.sin() * z, lift.cos() * z - lift.sin() * y
        return still.with_vertices(torch.stack([x, y, z], dim=1))

    return Moving(at)


def with_other_back(mesh: Mesh) -> Mesh:
    """The same body in other colours where a picture of its front does not show them."""
    assert mesh.colours is not None
    share = torch.sigmoid(12 * mesh.vertices[:, 2:] + 1)
    return Mesh(mesh.vertices, mesh.faces, share * mesh.colours + (1 - share) * (1 - mesh.colours))


class Renders(Prior):
    """The ideal denoiser of renders of a few moving things, made from where and of when it is asked.

    Args:
        things: any of which may be meant.
        modality: `video` takes what it is asked as one clip.
    """

    def __init__(self, things: Sequence[Moving], modality: Modality) -> None:
        self.things, self.modality = things, modality
        self.schedule = noise_schedule()

    def condition(
        self, prompts: Sequence[str], images: Tensor | None = None, cameras: Cameras | None = None
    ) -> Conditioning:
        """Nothing: which of the things it is shows in the picture."""
        return Conditioning({})

    def encode(self, rgb: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pixels in [-1, 1]."""
        return rgb.permute(0, 3, 1, 2) * 2 - 1

    def denoise(self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints = ANYWHERE) -> Tensor:
        """The exact expectation of the noise, sample by sample."""
        size = len(latents) // len(t)
        samples = [slice(start, start + size) for start in range(0, len(latents), size)]
        return torch.cat(
            [
                self._ideal(seen[rows]).denoise(latents[rows], t[index : index + 1], self._either)
                for index, rows in enumerate(samples)
            ]
        )

    @property
    def _either(self) -> Conditioning:
        return Conditioning({"log_shares": torch.zeros(1, len(self.things))})

    def _ideal(self, seen: Viewpoints) -> ExactPrior:
        cameras = seen.cameras
        assert cameras is not None
        times = torch.zeros(len(cameras)) if seen.times is None else seen.times
        return ExactPrior(
            ExampleSet(torch.cat([thing(cameras, times).rgb for thing in self.things]), frames=len(cameras)),
            self.schedule,
        )


SIZE = 32
STILL_STEPS = MOVING_STEPS = 150


def falling(start: float, end: float, steps: int) -> Spec:
    """A learning rate."""
    return {"from": start, "to": end, "steps": steps, "curve": "exponential"}


STILL_GAUSSIANS: Spec = {
    "scene": {"kind": "gaussians", "count": 1000, "opacity": 0.3},
    "optimiser": {
        "rates": {
            "means": falling(1e-2, 1e-3, STILL_STEPS),
            "quaternions": 2e-2,
            "log_scales": 2e-2,
            "opacity_logits": 5e-2,
            "sh_base": falling(5e-2, 1e-2, STILL_STEPS),
        }
    },
}
CARRIED_GAUSSIANS: Spec = {
    "scene": {
        "kind": "gaussian_motion",
        "motion": {"kind": "nodes", "nodes": 40, "keys": 6, "momentum": 0, "interpolation": "cubic"},
    },
    "objectives": [{"kind": "arap", "views": "clip", "points": "nodes", "neighbours": 6, "weight": 30}],
    "optimiser": {"rates": {"shifts": falling(2e-2, 2e-3, MOVING_STEPS), "turns": falling(4e-2, 4e-3, MOVING_STEPS)}},
}
STILL_FIELD: Spec = {
    "scene": {
        "kind": "field",
        "encoding": {"levels": 6, "table": 4096, "base_resolution": 4, "finest_resolution": 32},
        "density": {"bias": -1.0, "blob": 3.0, "blob_radius": 0.4},
        "sampling": {"steps": 64},
        "occupancy": {"resolution": 24, "threshold": 1.0, "bins": 4, "every": 4},
    },
    "optimiser": {"rates": {"encoding": falling(2e-2, 2e-3, STILL_STEPS), "network": falling(5e-3, 5e-4, STILL_STEPS)}},
}


def moving_field(over_time: Spec) -> Spec:
    """A field that comes to move by one of the grids over time."""
    return {
        "scene": {"time": over_time, "occupancy": {"every": 1}},
        "objectives": [{"kind": "temporal-variation", "points": 1000, "weight": 0.01}],
        "optimiser": {
            "rates": {
                "encoding": 1e-3,
                "time": falling(2e-2, 2e-3, MOVING_STEPS),
                "network": 1e-3,
            }
        },
    }


KINDS: dict[str, tuple[Spec, Spec]] = {
    "gaussians": (STILL_GAUSSIANS, CARRIED_GAUSSIANS),
    "grid-4d": (
        STILL_FIELD,
        moving_field({"kind": "grid-4d", "table": 16384, "base_resolution": 4, "finest_resolution": 16}),
    ),
    "grid-stack": (STILL_FIELD, moving_field({"kind": "grid-stack", "count": 8})),
}
"""What a scene is while it stands still, and when it comes to move, with its learning rates."""

ORBIT = {"kind": "orbit", "elevation": [-20, 40], "radius": RADIUS, "fov": FOV, "size": SIZE, "background": "white"}
PICTURE = {"kind": "observed", "background": "white"}
OF_PICTURE = [
    {"kind": "photometric", "views": "reference", "norm": "l2", "ssim": 0, "weight": 2000},
    {"kind": "mask", "views": "reference", "norm": "l2", "weight": 200},
]


def asking(prior: str, views: str, **others: Any) -> Spec:
    """Score distillation of a prior that needs no guidance."""
    return {
        "kind": "score-distillation", "prior": prior, "views": views, "prompt": "an animal", "form": "x0",
        "guidance_scale": 1, "t": [0.02, {"from": 0.7, "to": 0.1, "steps": 120}], **others,
    }  # fmt: skip


STILL: Spec = {
    "views": {"reference": PICTURE, "novel": {**ORBIT, "batch": 2, "stratified": True}},
    "objectives": [*OF_PICTURE, asking(IMAGE, "novel"), asking(POSED, "novel", weight=4)],
    "iterations": STILL_STEPS,
}
MOVING: Spec = {
    "views": {
        "reference": PICTURE,
        "clip": {**ORBIT, "frames": 4, "window": {"resolution": 24}, "path": {"elevation": [-20, 20], "chance": 0.9}},
        "begin": ORBIT,
    },
    "objectives": [
        *({**each, "turns": {"every": 4}} for each in OF_PICTURE),
        asking(VIDEO, "clip"),
        asking(POSED, "begin", weight=4, turns={"chance": 0.3}),
    ],
    "iterations": MOVING_STEPS,
    "from_scene": "still",
}


@dataclass(frozen=True)
class Found:
    """What became of the hidden thing.

    Args:
        still: the scene of the first stage.
        moving: that of the second.
        seconds: of processor time for a step of the second stage.
    """

    still: Scene
    moving: Scene
    seconds: float

    def __call__(self, cameras: Cameras, times: Tensor) -> Render:
        """Pictures over white."""
        with torch.no_grad():
            return self.moving.render(cameras, times, torch.ones(3))


def found(kind: str, hidden: Moving, others: Sequence[Moving] = (), without: Iterable[str] = ()) -> Found:
    """Both stages of Animate124 for a kind of scene.

    Args:
        kind: of `KINDS`.
        hidden: what the posed-view prior shows at the first moment, and whose picture is given.
        others: what the text priors take the thing for as well.
        without: priors that are left out.
    """
    still, moving = KINDS[kind]
    known = [hidden, *others]
    start = _fitted({**STILL, **still}, None, known, without)
    objectives = [*MOVING["objectives"], *moving["objectives"]]
    began = time.process_time()
    scene = _fitted({**MOVING, **moving, "objectives": objectives}, start, known, without)
    return Found(start, scene, (time.process_time() - began) / MOVING_STEPS)


def _fitted(settings: Spec, start: Scene | None, known: Sequence[Moving], without: Iterable[str]) -> Scene:
    """A scene after a fit with ideal priors of what is known, the first of which is hidden."""
    config = complete_with_scene(Fitting.model_validate({**settings, "without": list(without)}), "fit")
    parts, draws = config.resolved, generator(0, "begin")
    if start is None:
        assert parts.scene is not None
        scene = parts.scene.begin(Seed(radius=0.9), draws)
    else:
        scene = begin_from(start, config.scene, draws)
    priors = {POSED: Renders(known[:1], "posed-image"), IMAGE: Renders(known, "image"), VIDEO: Renders(known, "video")}
    problem = Problem(scene, parts.views, parts.objectives, _picture(known[0]), priors)
    loop = LoopConfig(iterations=config.iterations or 0, optimiser=parts.optimiser, preview_seconds=1e6)
    with tempfile.TemporaryDirectory() as folder:
        optimise(problem, loop, Path(folder), Runtime(console=Console(quiet=True), seed=1))
    return scene.eval()


def _picture(hidden: Moving) -> Frames:
    """The front at the first moment, all that is given."""
    camera = orbit(torch.zeros(1), torch.zeros(1), RADIUS, FOV, SIZE, SIZE)
    render = render_mesh(hidden.mesh(0.0), camera)
    rgba = torch.cat([render.rgb / render.alpha.clamp_min(1e-3), render.alpha], dim=-1).clamp(0, 1)
    return Frames([rgba[0]], [camera], torch.zeros(1), ["picture"], ["train"])


@dataclass(frozen=True)
class Score:
    """How well a motion was found, from four sides.

    Args:
        psnr: (4,) dB of the foreground, the mean over the moments after the first.
        held: the same of the thing itself, held still as it is at the first moment.
        averaged: the same of the mean of its pictures over time.
        by_moment: (M, M) mean squared differences between what is shown at one moment and the truth of another.
    """

    psnr: Tensor
    held: Tensor
    averaged: Tensor
    by_moment: Tensor

    @property
    def shortfalls(self) -> list[str]:
        """Where it is not 5 dB better than holding still and 2 dB than the mean, and moments that resemble another."""
        is_better = (self.psnr >= self.held + 5) & (self.psnr > self.averaged + 2)
        is_own = self.by_moment.argmin(dim=1) == torch.arange(len(MOMENTS))
        sides = [f"azimuth {side:.0f}" for side, good in zip(SIDES, is_better.tolist(), strict=True) if not good]
        return sides + [f"moment {moment:g}" for moment, own in zip(MOMENTS, is_own.tolist(), strict=True) if not own]


def score(shown: Shown, hidden: Moving) -> Score:
    """Compare what is shown with the hidden thing, from a distance from which no prior showed it."""
    cameras = orbit(torch.tensor(SIDES), torch.zeros(len(SIDES)), 1.05 * RADIUS, FOV, SIZE, SIZE)
    pictures, truth = (
        [each(cameras, torch.full((len(SIDES),), moment)) for moment in MOMENTS] for each in (shown, hidden)
    )
    mean = Render(*(torch.stack([getattr(each, name) for each in truth]).mean(0) for name in ("rgb", "alpha", "depth")))
    by_moment = [[float((mine.rgb - true.rgb).square().mean()) for true in truth] for mine in pictures]
    count = len(MOMENTS)
    return Score(
        _psnr(pictures[1:], truth[1:]),
        _psnr(truth[:1] * (count - 1), truth[1:]),
        _psnr([mean] * (count - 1), truth[1:]),
        torch.tensor(by_moment),
    )


def _psnr(pictures: Sequence[Render], truth: Sequence[Render]) -> Tensor:
    """(B,) dB of the foreground from each camera, the mean over pictures."""
    return torch.tensor(
        [
            [
                psnr(mine.rgb[view].clamp(0, 1), true.rgb[view], foreground(mine.alpha[view], true.alpha[view])[..., 0])
                for view in range(len(true.rgb))
            ]
            for mine, true in zip(pictures, truth, strict=True)
        ]
    ).mean(0)
