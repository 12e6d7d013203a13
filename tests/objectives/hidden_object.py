"""Scenes distilled from a shapeless start against the exact prior of an object that they never see."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from welded_mesh import read_mesh

from a4d.geometry.cameras import Cameras, concatenate, orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature, paint, torus
from a4d.metrics import mask_iou, psnr
from a4d.objectives import build_objectives
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.schedule import NoiseSchedule, noise_schedule
from a4d.randomness import generator
from a4d.render.mesh import render_mesh
from a4d.runtime import Runtime
from a4d.scenes import scene_class
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import OrbitViews, ViewBatch, Views

SIZE, RADIUS, FOV = 64, 2.6, 40.0
SPOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "meshes_misc" / "nvdiffrec" / "spot" / "spot.obj"
BACKGROUNDS = {"black": 0.0, "white": 1.0}

START: dict[str, dict[str, Any]] = {
    "gaussians": {
        "steps": 400,
        "scene": {"kind": "gaussians", "count": 4000, "opacity": 0.2},
        "rates": {
            "means": {"from": 1e-2, "to": 5e-4, "steps": 400, "curve": "exponential"},
            "quaternions": 2e-2,
            "log_scales": 2e-2,
            "opacity_logits": 5e-2,
            "sh_base": {"from": 5e-2, "to": 1e-2, "steps": 400, "curve": "exponential"},
        },
    },
    "field": {
        "steps": 150,
        "scene": {
            "kind": "field",
            "encoding": {"levels": 8, "table": 16384, "base_resolution": 8, "finest_resolution": 64},
            "density": {"bias": -1.0, "blob": 3.0, "blob_radius": 0.4},
            "sampling": {"steps": 96},
            "occupancy": {"resolution": 32, "threshold": 1.0},
        },
        "rates": {
            "encoding": {"from": 2e-2, "to": 1e-3, "steps": 400, "curve": "exponential"},
            "network": {"from": 5e-3, "to": 2e-4, "steps": 400, "curve": "exponential"},
        },
    },
    "tetmesh": {
        "steps": 300,
        "scene": {
            "kind": "tetmesh",
            "bound": 1.0,
            "ellipsoid": (0.6, 0.6, 0.6),
            "surface": {
                "resolution": {0: 24, 150: 40},
                "geometry": {
                    "kind": "network",
                    "encoding": {"levels": 5, "table": 16384, "base_resolution": 8, "finest_resolution": 48},
                    "start_resolution": 32,
                },
            },
            "material": {"encoding": {"levels": 6, "table": 16384, "base_resolution": 8, "finest_resolution": 96}},
            "shading": "albedo",
        },
        "regularisers": [{"kind": "normal-smoothness", "weight": 100}, {"kind": "sign-change", "weight": 5}],
        "rates": {
            "geometry_encoding": {"from": 5e-3, "to": 5e-4, "steps": 300, "curve": "exponential"},
            "geometry_network": 1e-3,
            "material_encoding": {"from": 2e-2, "to": 2e-3, "steps": 300, "curve": "exponential"},
            "material_network": {"from": 5e-3, "to": 5e-4, "steps": 300, "curve": "exponential"},
        },
    },
}
"""Per kind of scene: how long it is distilled, what it is made of, and its learning rates."""


@dataclass(frozen=True)
class Asked:
    """A prior, and from where it is asked.

    Args:
        views: images per example: 1 is a posed-view prior, 4 a multi-view prior.
        cameras: `known` asks from the examples' own 24 cameras, `continuous` from anywhere between those of a denser
            set, whose nearest example then stands for the view.
        prompt: which of several objects that the prior knows is asked for, guided; None where it knows but one.
        form: of the distillation.
        mistake: what is wrong with the prior, if anything.
    """

    views: int = 1
    cameras: Literal["known", "continuous"] = "known"
    prompt: str | None = None
    form: Literal["noise", "x0"] = "x0"
    mistake: Literal["none", "sign", "order", "schedule"] = "none"


@dataclass(frozen=True)
class Found:
    """What became of a scene.

    Args:
        scene: the last state.
        psnr: dB over held-out views, the object over black.
        iou: of the masks of held-out views.
        seconds: of processor time.
    """

    scene: Scene
    psnr: float
    iou: float
    seconds: float


class Misread(ExactPrior):
    """A prior trained with one schedule that tells another, run backwards."""

    def denoise(self, *arguments: Any) -> torch.Tensor:
        self.schedule = noise_schedule()
        predicted = super().denoise(*arguments)
        self.schedule = NoiseSchedule(self.schedule.alphas_cumprod.flip(0))
        return predicted


def rings(elevations: list[float], offsets: list[float], sign: int = 1) -> Cameras:
    """Four views a quarter turn apart for every elevation and offset, ring by ring."""
    quarter = torch.arange(4) * 90.0
    return concatenate(
        [
            orbit(sign * (quarter + offset), torch.full((4,), elevation), RADIUS, FOV, SIZE, SIZE)
            for elevation in elevations
            for offset in offsets
        ]
    )


KNOWN = rings([-10.0, 15.0, 40.0], [0.0, 45.0])
HELD_OUT = rings([0.0, 25.0], [20.0, 65.0])


class KnownRings(Views):
    """One of the rings of the 24 known cameras."""

    kind: Literal["known-rings"] = "known-rings"
    batch: int = 4

    def sample(self, step: int, seed: int, frames: Any) -> ViewBatch:
        choice = int(torch.randint(6, (1,), generator=generator(seed, "ring", step)))
        return ViewBatch(KNOWN[4 * choice : 4 * choice + 4], None, self.backgrounds(step, seed))

    def preview(self, frames: Any) -> ViewBatch:
        return ViewBatch(KNOWN[:1], None, self.backgrounds(0, 0)[:1])


@lru_cache
def subjects() -> dict[str, Mesh]:
    """Objects by the prompt that names them; the first is the one that is hidden where no prompt is given."""
    known = {"an animal": paint(creature()), "a ring": torus()}
    if not SPOT.is_file():
        return known
    mesh = read_mesh(SPOT)
    vertices = mesh.vertices - (mesh.vertices.amax(0) + mesh.vertices.amin(0)) / 2
    return {"a cow": mesh.with_vertices(vertices * (0.75 / vertices.norm(dim=-1).max())), **known}


def distilled(kind: str, asked: Asked, subject: str | None = None, seed: int = 1) -> Found:
    """Distil a scene of a kind and compare it with the object on views that no prior knows."""
    subject = asked.prompt or subject or next(iter(subjects()))
    start = START[kind]
    priors = {name: _prior(asked, subject, level) for name, level in BACKGROUNDS.items()}
    scene = scene_class(kind).begin(start["scene"], Seed(radius=0.8), generator(0, "begin"))
    problem = Problem(
        scene,
        {name: _views(asked, name) for name in priors},
        build_objectives([_objective(asked, name, start["steps"]) for name in priors] + start.get("regularisers", [])),
        priors=priors,
    )
    config = LoopConfig.model_validate(
        {"iterations": start["steps"], "optimiser": {"rates": start["rates"]}, "preview_seconds": 1e6}
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        optimise(problem, config, Path(folder), Runtime(console=Console(quiet=True), seed=seed))
    seconds = time.process_time() - began
    truth = render_mesh(subjects()[subject], HELD_OUT)
    with torch.no_grad():
        render = scene.eval().render(HELD_OUT, None, torch.zeros(len(HELD_OUT), 3))
    overlap = mask_iou(render.alpha[..., 0], truth.alpha[..., 0])
    return Found(scene, psnr(render.rgb.clamp(0, 1), truth.rgb), overlap, seconds)


def _objective(asked: Asked, name: str, steps: int) -> dict[str, Any]:
    return {
        "kind": "score-distillation",
        "views": name,
        "prior": name,
        "prompt": asked.prompt or "",
        "form": asked.form,
        "guidance_scale": 1 if asked.prompt is None else 3,
        "t": [0.02, {"from": 0.6, "to": 0.05, "steps": steps}],
    }


def _views(asked: Asked, background: str) -> Views:
    if asked.cameras == "known":
        return KnownRings(background=background)
    return OrbitViews(
        background=background, batch=4, ring=4, elevation=(-10.0, 40.0), radius=RADIUS, fov=FOV, size=SIZE
    )


def _prior(asked: Asked, subject: str, level: float) -> ExactPrior:
    shown = [subject] if asked.prompt is None else list(subjects())
    elevations, offsets = [-10.0, 15.0, 40.0], [0.0, 45.0]
    if asked.cameras == "continuous":
        elevations, offsets = [-10.0, 2.5, 15.0, 27.5, 40.0], [15.0 * index for index in range(6 * asked.views)]
    seen, told = (rings(elevations, offsets, sign) for sign in (1, -1 if asked.mistake == "sign" else 1))
    rgb = [render_mesh(subjects()[each], seen, torch.full((3,), level)).rgb for each in shown]
    if asked.mistake == "order":
        rgb = [images.unflatten(0, (-1, 4))[:, [1, 0, 2, 3]].flatten(0, 1) for images in rgb]
    examples = ExampleSet(
        torch.cat(rgb),
        asked.views,
        prompts=None if asked.prompt is None else [each for each in shown for _ in range(len(seen) // asked.views)],
        cameras=concatenate([told] * len(shown)),
    )
    model = Misread if asked.mistake == "schedule" else ExactPrior
    return model(examples)
