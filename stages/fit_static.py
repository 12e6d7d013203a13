"""fit-static: a static scene from one image, from photographs with cameras, or from a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from a4d.console import format_size
from a4d.errors import MissingInputError, UsageError
from a4d.fitting.demands import demands
from a4d.fitting.files import files_read, image_files, placement, require_weights
from a4d.fitting.seed_settings import ProxyConfig, SeedConfig, shape_model
from a4d.fitting.settings import Fitting, complete_with_scene, kind_of, profile_values
from a4d.fitting.stage import FittingStage
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.priors.catalogue import at_hand, catalogue, find, locate
from a4d.running.quality import Gate, judge
from a4d.running.weights import record_weights, weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

GATES = (
    Gate(
        "contrast_left_out", 0.5, math.inf,
        "{value:.0%} of the picture's contrast lies outside of its subject: look at images/, or give a --mask",
    ),
    Gate(
        "shape_iou", 0.85, 0.6,
        "the outline of the shape and the picture's overlap by {value:.0%} alone: it may be another thing, or deformed",
        at_least=True,
    ),
    Gate(
        "degrees_unseen", 75, math.inf,
        "one side of the subject is {value:.0f} degrees away from all photographs: what it looks like there is made up",
    ),
    Gate(
        "degrees_unseen", math.inf, 155,
        "all photographs show nearly the same side, {value:.0f} degrees from the other: they tell less of the shape "
        "than one of them alone; take some from the sides and from behind, or fit one picture",
    ),
    Gate(
        "outlines_bare", 0.05, 0.2,
        "the masks of the photographs contradict each other: {value:.0%} of what they show is no part of the shape "
        "that they leave; look at images/ and at the cameras",
    ),
    Gate(
        "exposure_spread", 0.1, math.inf,
        "the photographs differ in brightness by {value:.0%}: take them with one exposure, or even them out",
    ),
)  # fmt: skip
"""When it is doubted that the subject was found, that a shape is its own, or that photographs tell enough of it."""

MODELS = "image-to-shape"
"""What the catalogue calls models that make shapes of pictures, as does the seed that is made by one."""

PHOTOGRAPHED = ("images", "capture")
"""Kinds of sources that show a subject from several sides, as it really is."""

PROFILE_FOLDER = Path(__file__).parent / "profiles"

PROFILES = {
    "image": "fit-static-image",
    "video": "fit-static-image",
    "images": "fit-static-capture",
    "capture": "fit-static-capture",
    "mesh": "fit-static-mesh",
}
"""The defaults that suit each kind of source."""

SHAPE_PROFILES = {"fit-static-image": "fit-static-shape"}
"""The defaults where a better shape is at hand than an inflated outline."""

SCENE_PROFILES = {"field": "fit-static-field", "tetmesh": "fit-static-tetmesh"}
"""The defaults of scenes that are made from views alone, whatever the source."""


class FitStatic(Fitting):
    """Everything that decides a static scene; a profile for the kind of source fills in what is not given."""

    frame: int | None = Field(default=None, ge=0, description="fit this frame alone; all of them if not given")
    shape: Path | None = Field(default=None, description="a mesh of what the picture shows, in any axes and size")
    seed: SeedConfig
    proxies: ProxyConfig | None = None


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else the one that suits the kind of source, and of the scene that is given."""
    profile, given = values.get("profile", "auto"), values.get("from_scene")
    if profile == "auto":
        profile = _suitable(workspace, values.get("scene"), given)
        if profile in SHAPE_PROFILES and _has_shape(values):
            profile = SHAPE_PROFILES[profile]
    chosen = profile_values(PROFILE_FOLDER, "fit-static", str(profile), workspace)
    return {**chosen, "scene": None, "proxies": None} if given else chosen


def _has_shape(values: Mapping[str, Any]) -> bool:
    """Whether a shape is given, or a model that would make one is at hand."""
    return bool(values.get("shape") or at_hand(MODELS, weight_overrides(str(values.get("weights") or ""))))


def _suitable(workspace: Workspace, scene: Any, given: str | None) -> str:
    source = workspace.metadata.source
    kind = source.kind if source else "capture"
    asked = scene.get("kind") if isinstance(scene, Mapping) else None
    if given and asked is None:
        asked = kind_of(workspace, given)
    if kind in ("mesh", "capture", "images") and asked in SCENE_PROFILES:
        return SCENE_PROFILES[asked]
    if kind not in PROFILES:
        raise UsageError(
            f"fit-static has no built-in profile for a source of kind '{kind}'", "Give --profile or --config"
        )
    return PROFILES[kind]


def complete(config: FitStatic) -> FitStatic:
    """The seed is a file's where one is given; see `complete_with_scene`."""
    if config.shape is not None:
        seed = config.seed.model_copy(update={"kind": "file", "file": config.shape})
        config = config.model_copy(update={"seed": seed})
    return complete_with_scene(config, purpose="fit")


def require(config: FitStatic) -> None:
    """Look for the weights of all models, and for a shape that is given.

    Raises:
        BackendUnavailableError: weights are missing; the remedy is the command that fetches them.
        MissingInputError: there is no such shape.
    """
    require_weights(config)
    if config.shape is not None and not config.shape.is_file():
        raise MissingInputError(f"--shape: there is no file '{config.shape}'")
    if config.seed.kind == MODELS and not config.from_scene:
        locate(shape_model(config.seed), weight_overrides(config.weights))


def inputs(workspace: Workspace, config: FitStatic) -> list[Path]:
    """The images and their cameras, and whatever else is known of the shape."""
    known = [*image_files(workspace), *(workspace.path / name for name in ("depth", "points.ply"))]
    if config.seed.kind == "mesh":
        known.append(workspace.path / "source")
    if config.seed.kind == "file" and config.seed.file is not None:
        known.append(config.seed.file.absolute())
    return known + files_read(workspace, config)


def memory(config: FitStatic) -> list[Demand]:
    """The scene, the renders of each view set, and those that stand in for observations."""
    asked = demands(config)
    if config.proxies is not None:
        pixels = config.proxies.count * config.proxies.size**2
        asked.append(Demand("proxies", PICTURE_PIXEL * pixels, on_device=False))
    if config.seed.kind == MODELS and not config.from_scene:
        # What lies between its layers takes half as much as its weights.
        asked.append(Demand("seed.prior", 3 * find(shape_model(config.seed)).bytes // 2))
    return asked


def run(work: Transaction, config: FitStatic, runtime: Runtime) -> dict[str, Any]:
    """Guess the shape, start a scene on it or on a given one, optimise it against the images, and save it.

    Raises:
        UsageError: the scene would take its own place.
    """
    from a4d.contents.frames import load_frames
    from a4d.fitting.agreement import agreeing
    from a4d.fitting.figures import figures_of_photographs, score_picture
    from a4d.fitting.fitting import fit
    from a4d.fitting.proxies import render_proxies
    from a4d.fitting.seeds import make_seed
    from a4d.fitting.start import chosen_frame, require_another_name, start, still_frames

    require_another_name(work, config)
    frames = load_frames(work.workspace)
    frames = still_frames(frames) if config.frame is None else chosen_frame(work, frames, config.frame)
    source, agreement = work.workspace.metadata.source, dict[str, float]()
    is_photographed = source is not None and source.kind in PHOTOGRAPHED
    if is_photographed:
        frames, agreement = agreeing(work, frames, config.seed.radius)
    place = placement(config, runtime)
    if config.seed.kind == MODELS and not config.from_scene:
        name = shape_model(config.seed)
        record_weights(work, {name: locate(name, place.overrides)}, place.overrides)
    seed = None if config.from_scene else make_seed(work.workspace, frames, config.seed, place)
    if seed is not None:
        for line in words_on_shape(config.seed, seed.outline_iou):
            runtime.console.print(line)
    if config.proxies is not None and seed is not None and seed.mesh is not None:
        frames = frames.extended(render_proxies(seed.mesh, frames, config.proxies))
    scene = start(work, config, seed, runtime)
    metrics: dict[str, Any] = fit(work, config, scene, frames, runtime) | agreement
    if source is not None and source.kind == "image":
        metrics |= score_picture(work.workspace, scene, frames)
    elif is_photographed and len(frames.select("train")) > 1:
        metrics |= figures_of_photographs(scene, frames)
    if seed is not None and seed.outline_iou is not None:
        metrics["shape_iou"] = seed.outline_iou
    judge(work, metrics, GATES)
    return metrics


def words_on_shape(config: SeedConfig, iou: float | None) -> list[str]:
    """Which shape a picture's subject gets, and what would be a better one."""
    if config.kind == "inflation":
        name, entry = next((name, entry) for name, entry in catalogue().items() if entry.kind == MODELS)
        offer = f"`a4d weights fetch {name}` ({format_size(entry.bytes)}, {entry.terms})"
        return [
            "One image, no prior: the sides and the back are an informed guess from the silhouette.",
            f"A model would make a better shape, {offer}, and any mesh of the subject too, by --shape FILE.",
        ]
    if iou is None:
        return []
    origin = config.prior if config.kind == MODELS else config.file
    return [f"The shape is that of {origin}; its outline and the picture's overlap by {iou:.0%}."]


STAGE = FittingStage(
    name="fit-static",
    summary="Fit a static scene to one image, to photographs with known cameras, or to a mesh.",
    example="a4d fit-static photo.png",
    config=FitStatic,
    run=run,
    defaults=defaults,
    complete=complete,
    require=require,
    inputs=inputs,
    memory=memory,
    needs=("preprocess", "estimate-pose"),
    makes="scenes/*/scene.yaml",
    memory_knobs=(
        "scene.count",
        "scene.encoding.table",
        "scene.surface.resolution",
        "views.*.batch",
        "views.*.size",
        "proxies.count",
        "proxies.size",
    ),
    code_version=3,
)
