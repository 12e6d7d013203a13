"""Surfaces and materials distilled against a prior that knows exactly what a hidden object looks like from anywhere."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from hidden_object import SPOT, subjects
from rich.console import Console
from torch import Tensor

from a4d.geometry.cameras import Cameras, orbit
from a4d.geometry.mesh import Mesh
from a4d.metrics import mask_iou, psnr, surface_distances
from a4d.objectives import build_objectives
from a4d.objectives.asking import geometry_latents
from a4d.optimise import LoopConfig, Problem, optimise
from a4d.priors.exact import ExactPrior, ExampleSet
from a4d.priors.protocol import ANYWHERE, Conditioning, Viewpoints
from a4d.randomness import generator
from a4d.render.environment import EnvironmentLight, studio
from a4d.render.mesh_gradients import view_mesh
from a4d.render.render import Render, Shading
from a4d.render.shaded_mesh import SurfacePoints, render_material
from a4d.render.shading import SurfaceMaterial, decode_srgb
from a4d.runtime import Runtime
from a4d.scenes import begin_from
from a4d.scenes.meshes.fixed_mesh import FixedMeshScene
from a4d.scenes.meshes.lighting import BUILT_IN, LightConfig, Lighting
from a4d.scenes.meshes.tetmesh import TetmeshScene
from a4d.scenes.scene import Scene
from a4d.scenes.seed import Seed
from a4d.views import build_views

RADIUS, FOV = 2.8, 35.0
HDRS = SPOT.parents[3] / "env_hdri"
LIGHTS = ("studio.hdr", "mud_road_puresky_1k.hdr") if HDRS.is_dir() else ("studio", "sky")
MEAN_RADIANCE = 0.5

SEAM = 0.1
"""Metres around the plane between two materials in which neither is judged."""

METAL, MATT = (1.0, 0.3), (0.0, 0.7)
"""Metalness and roughness of the hidden object, to the right and to the left."""

QUADRANTS: dict[str, Any] = {
    "kind": "orbit", "batch": 4, "stratified": True, "azimuth": [-45, 315], "elevation": [-30, 60], "radius": RADIUS,
    "fov": FOV, "shift": 0.1,
}  # fmt: skip


class AnyView(ExactPrior):
    """The ideal denoiser of a set with one example at every camera there is.

    Args:
        latents_at: (B, C, h, w) clean latents of B cameras.
        size: pixels of a picture.
    """

    def __init__(self, latents_at: Callable[[Cameras], Tensor], size: int) -> None:
        front = orbit(torch.zeros(1), torch.zeros(1), RADIUS, FOV, size, size)
        super().__init__(ExampleSet(torch.zeros(1, size, size, 3), cameras=front))
        self.latents_at = latents_at

    def denoise(self, latents: Tensor, t: Tensor, conditioning: Conditioning, seen: Viewpoints = ANYWHERE) -> Tensor:
        """The noise that is left when the one picture of each camera is taken away."""
        assert seen.cameras is not None
        clean = self.latents_at(seen.cameras)
        alpha, sigma = (level(t, latents).view(-1, 1, 1, 1) for level in (self.schedule.alpha, self.schedule.sigma))
        return (latents - alpha * clean) / sigma


@dataclass(frozen=True)
class FoundSurface:
    """What became of a shape.

    Args:
        scene: the last state.
        chamfer: percent of the object's diagonal.
        normal_consistency: in [0, 1].
        iou: of the masks of held-out views.
        seconds: of processor time.
    """

    scene: Scene
    chamfer: float
    normal_consistency: float
    iou: float
    seconds: float


@dataclass(frozen=True)
class FoundMaterial:
    """What became of a material; dB over the foreground of held-out views.

    Args:
        psnr: in the light that the prior knows.
        relit: in another light.
        metal: metalness and roughness, means over the right half.
        matt: over the left half.
        seconds: of processor time.
    """

    psnr: float
    relit: float
    metal: tuple[float, float]
    matt: tuple[float, float]
    seconds: float


@lru_cache
def hidden() -> Mesh:
    """The object that no scene sees."""
    return next(iter(subjects().values()))


def held_out(size: int = 128) -> Cameras:
    """Eight views between those of any training batch."""
    azimuth = torch.arange(8) * 45.0 + 13
    return orbit(azimuth, torch.tensor([-10.0, 25.0]).repeat(4), RADIUS, FOV, size, size)


def shown(cameras: Cameras, mode: Shading = "normal", light: EnvironmentLight | None = None) -> Render:
    """The hidden object: half of it metal, its normals over grey and all else over black."""
    mesh = hidden()
    assert mesh.colours is not None
    view = view_mesh(mesh.vertices, mesh.faces, cameras)
    colours = view.interpolate(decode_srgb(mesh.colours))[view.fragments.is_covered]

    def material(points: SurfacePoints) -> SurfaceMaterial:
        is_metal = (points.positions[:, :1] > 0).float()
        metallic, roughness = (is_metal * a + (1 - is_metal) * b for a, b in zip(METAL, MATT, strict=True))
        return SurfaceMaterial(colours, metallic[:, 0], roughness[:, 0])

    background = torch.full((3,), 0.5 if mode == "normal" else 0.0)
    return render_material(view, mesh, material, light or studio, mode, None, wants=("normal",)).over(background)


@lru_cache
def light_settings(name: str) -> LightConfig:
    """A light of the mean radiance that all have here."""
    environment = name if name in BUILT_IN else str(HDRS / name)
    lighting = Lighting(LightConfig(environment=environment))
    lighting.initialise()
    return LightConfig(environment=environment, strength=MEAN_RADIANCE / float(lighting.cube.mean()))


@lru_cache
def light(name: str) -> EnvironmentLight:
    """The same, filtered."""
    lighting = Lighting(light_settings(name))
    lighting.initialise()
    return lighting()


def run(scene: Scene, priors: dict[str, ExactPrior], settings: dict[str, Any]) -> float:
    """Optimise a scene in place; seconds of processor time."""
    loop = {"iterations": settings["iterations"], "optimiser": {"rates": settings["rates"]}, "preview_seconds": 1e6}
    problem = Problem(
        scene, build_views(settings["views"]), build_objectives(settings["objectives"]), priors=dict(priors)
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(console=Console(quiet=True), seed=1)
        optimise(problem, LoopConfig.model_validate(loop), Path(folder), runtime)
    return time.process_time() - began


def falling(start: float, end: float, steps: int) -> dict[str, Any]:
    """A rate or noise level that falls."""
    return {"from": start, "to": end, "steps": steps, "curve": "exponential"}


def found_surface(
    seed: Seed,
    extraction: Literal["tetrahedra", "flexicubes"] = "tetrahedra",
    steps: int = 240,
    size: int = 64,
) -> FoundSurface:
    """A surface distilled in X-Dreamer's two phases, against the normal maps of the hidden object."""
    latents = 32
    priors = {
        "latents": AnyView(lambda cameras: geometry_latents(shown(cameras), latents, "none", torch.Generator()), size),
        "normals": AnyView(lambda cameras: shown(cameras).rgb.permute(0, 3, 1, 2) * 2 - 1, size),
    }
    asked = {
        "kind": "score-distillation", "views": "all", "form": "x0", "guidance_scale": 1,
        "t": [0.02, {"from": 0.6, "to": 0.1, "steps": steps}],
    }  # fmt: skip
    third = steps // 3
    settings = {
        "iterations": steps,
        "views": {"all": {**QUADRANTS, "size": size, "shading": "normal", "background": "grey"}},
        "objectives": [
            {**asked, "prior": "latents", "geometry_latents": latents, "normal_turn": "none", "turns": {"stop": third}},
            {**asked, "prior": "normals", "turns": {"start": third}},
            {"kind": "normal-smoothness", "weight": 20},
            {"kind": "sign-change", "weight": 5},
        ],
        "rates": {"geometry_encoding": falling(5e-3, 5e-4, steps), "geometry_network": 1e-3},
    }
    if extraction == "flexicubes":
        settings["rates"]["weights"] = falling(2e-2, 2e-3, steps)
        settings["objectives"].append({"kind": "dual-deviation", "weight": 1.0})
    scene = TetmeshScene.begin(
        {
            "kind": "tetmesh",
            "bound": 0.95,
            "surface": {
                "extraction": extraction,
                "resolution": {0: 24, third: 32, 2 * third: 48},
                "geometry": {
                    "kind": "network",
                    "encoding": {"levels": 5, "table": 16384, "base_resolution": 8, "finest_resolution": 48},
                    "start_resolution": 32,
                },
            },
            "shading": "normal",
        },
        seed,
        generator(0, "begin"),
    )
    seconds = run(scene, priors, settings)
    return judged(scene, seconds)


def judged(scene: TetmeshScene, seconds: float) -> FoundSurface:
    """A surface beside the hidden one."""
    truth, cameras = hidden(), held_out()
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    distances = surface_distances(scene.mesh(), truth, 0.01 * diagonal)
    with torch.no_grad():
        iou = mask_iou(scene.render(cameras).alpha[..., 0], shown(cameras).alpha[..., 0])
    return FoundSurface(scene, 100 * distances.chamfer / diagonal, distances.normal_consistency, iou, seconds)


def found_material(shading: Literal["shaded", "albedo"] = "shaded", steps: int = 200, size: int = 64) -> FoundMaterial:
    """A material distilled on the hidden object's own surface, against renders of it in one light."""
    known, other = LIGHTS
    lit = AnyView(lambda cameras: shown(cameras, "shaded", light(known)).rgb.permute(0, 3, 1, 2) * 2 - 1, size)
    settings = {
        "iterations": steps,
        "views": {"all": {**QUADRANTS, "size": size, "background": "black"}},
        "objectives": [
            {
                "kind": "score-distillation", "views": "all", "prior": "lit", "form": "x0", "guidance_scale": 1,
                "t": [0.02, {"from": 0.6, "to": 0.05, "steps": steps}],
            },
            {"kind": "material-smoothness", "channels": "roughness-metallic", "distance": 0.1, "weight": 30},
        ],
        "rates": {"material_encoding": falling(2e-2, 2e-3, steps), "material_network": falling(5e-3, 5e-4, steps)},
    }  # fmt: skip
    spec = {
        "kind": "fixed_mesh",
        "material": {
            "encoding": {"levels": 6, "table": 32768, "base_resolution": 8, "finest_resolution": 96},
            "metallic_start": 0.1,
        },
        "light": light_settings(known).model_dump(),
        "shading": shading,
    }
    mesh = hidden()
    scene = FixedMeshScene.begin(spec, Seed(mesh=Mesh(mesh.vertices, mesh.faces)), generator(0, "begin"))
    seconds = run(scene, {"lit": lit}, settings)
    relit = begin_from(scene, {"light": light_settings(other).model_dump()}, generator(0, "begin"))
    is_metal, is_matt = mesh.vertices[:, 0] > SEAM, mesh.vertices[:, 0] < -SEAM
    with torch.no_grad():
        roughness, metallic = scene.material_channels(mesh.vertices)[:, 3:5].unbind(1)
        return FoundMaterial(
            likeness(scene, known),
            likeness(relit, other),
            (float(metallic[is_metal].mean()), float(roughness[is_metal].mean())),
            (float(metallic[is_matt].mean()), float(roughness[is_matt].mean())),
            seconds,
        )


def likeness(scene: Scene, lit_by: str) -> float:
    """dB over the foreground of held-out views in a light."""
    cameras = held_out(96)
    truth = shown(cameras, "shaded", light(lit_by))
    inside = truth.alpha[..., 0] == 1
    return psnr(scene.render(cameras).rgb[inside].clamp(0, 1), truth.rgb[inside])
