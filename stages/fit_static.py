"""fit-static: a static scene from one image, from photographs with cameras, or from a mesh."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field

from a4d.config import Config, Spec, parse
from a4d.errors import UsageError
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

if TYPE_CHECKING:
    from a4d.scenes.seed import Seed
    from a4d.views import Frames

PROFILES = {"image": "fit-static-image", "video": "fit-static-image", "capture": "fit-static-capture"}
"""The defaults that suit each kind of source."""


class SeedConfig(Config):
    """Where the first guess of the shape comes from."""

    kind: Literal["inflation", "capture", "visual-hull", "points", "ball"] = "ball"
    thickness: float = Field(default=0.82, ge=0, le=2, description="depth of an inflated silhouette over its size")
    resolution: int = Field(default=96, ge=16, le=512, description="cells along the visual hull's side")
    radius: float = Field(default=1.0, gt=0, description="metres; extent of the ball and of the hull")


class ProxyConfig(Config):
    """Renders of the first guess that stand in for observations where there are none."""

    count: int = Field(default=24, ge=1)
    size: int = Field(default=256, ge=16)
    elevations: list[float] = Field(default=[-15.0, 15.0, 45.0], description="degrees, one ring of views each")


class FitStatic(Config):
    """Everything that decides a static scene; a profile for the kind of source fills in what is not given."""

    profile: Literal["auto", "fit-static-image", "fit-static-capture"] = Field(
        default="auto", description="the built-in defaults; auto chooses by the kind of source"
    )
    seed: SeedConfig
    proxies: ProxyConfig | None = None
    scene: Spec
    views: dict[str, Spec]
    objectives: list[Spec]
    iterations: int = Field(ge=0, description="steps of the optimisation")
    optimiser: dict[str, Any]
    checkpoint_seconds: float = Field(default=60.0, gt=0, description="time between two checkpoints")
    preview_seconds: float = Field(default=20.0, gt=0, description="time between two previews")


def resolve(workspace: Workspace, values: dict[str, Any]) -> FitStatic:
    """A profile's keys, replaced as a whole by those the user gives."""
    source = workspace.metadata.source
    profile = values.get("profile", "auto")
    if profile == "auto":
        kind = source.kind if source else "capture"
        if kind not in PROFILES:
            raise UsageError(
                f"fit-static has no built-in profile for a source of kind '{kind}'", "Give --profile or --config"
            )
        profile = PROFILES[kind]
    text = files("a4d.stages").joinpath(f"profiles/{profile}.yaml").read_text(encoding="utf-8")
    return parse(FitStatic, {**yaml.safe_load(text), **values, "profile": profile})


def inputs(workspace: Workspace, config: FitStatic) -> list[Path]:
    """The images and their cameras, and whatever else is known of the shape."""
    return [workspace.path / name for name in ("transforms.json", "images", "depth", "points.ply")]


def run(work: Transaction, config: FitStatic, runtime: Runtime) -> dict[str, Any]:
    """Guess the shape, start a scene on it, optimise it against the images, and save it."""
    from a4d.objectives import build_objectives
    from a4d.optimise import LoopConfig, OptimiserConfig, Problem, optimise
    from a4d.randomness import generator
    from a4d.scenes import scene_class
    from a4d.views import build_views
    from a4d.workspace.frames import load_frames

    views, objectives = build_views(config.views), build_objectives(config.objectives)
    loop = LoopConfig(
        iterations=config.iterations,
        optimiser=parse(OptimiserConfig, config.optimiser, "optimiser"),
        checkpoint_seconds=config.checkpoint_seconds,
        preview_seconds=config.preview_seconds,
    )
    frames = load_frames(work.workspace)
    seed = make_seed(work.workspace, frames, config.seed)
    if config.seed.kind == "inflation":
        runtime.console.print("One image, no prior: the sides and the back are an informed guess from the silhouette.")
    if config.proxies is not None and seed.mesh is not None:
        frames = frames.extended(render_proxies(seed, frames, config.proxies))
    scene = (
        scene_class(str(config.scene.get("kind")))
        .begin(config.scene, seed, generator(runtime.seed, "begin"))
        .to(runtime.device)
    )
    metrics = optimise(Problem(scene, views, objectives, frames), loop, work.folder, runtime)
    scene.save(work.scene())
    return metrics


def make_seed(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    """What the workspace says of the shape.

    Raises:
        MissingInputError: the kind of seed needs something that the workspace does not hold.
    """
    from a4d.scenes.seed import Seed

    if config.kind == "inflation":
        return _inflated(workspace, frames, config)
    points = workspace.path / "points.ply"
    if config.kind == "points" or (config.kind == "capture" and points.is_file()):
        from a4d.io.ply import read_point_cloud

        cloud = read_point_cloud(workspace.require("points.ply", "A capture with points has it; try seed.kind=ball"))
        return Seed(points=cloud.points, colours=cloud.colours, radius=config.radius)
    if config.kind == "visual-hull" or (config.kind == "capture" and _has_masks(frames)):
        return _carved(frames, config)
    return Seed(radius=config.radius)


def _inflated(workspace: Workspace, frames: Frames, config: SeedConfig) -> Seed:
    from a4d.geometry.colouring import colour_from_view

    from a4d.geometry.inflation import InflationSettings, inflate
    from a4d.scenes.seed import Seed
    from a4d.workspace.frames import load_depth

    rgba, camera = frames.rgba[0], frames.cameras[0]
    settings = InflationSettings(thickness=config.thickness)
    mesh = inflate(rgba[..., 3], camera, load_depth(workspace, frames.names[0]), settings)
    return Seed(mesh=colour_from_view(mesh, rgba, camera))
