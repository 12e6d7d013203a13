"""distill: a scene, given or begun from a simple shape, moved toward what diffusion priors expect of its renders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from a4d.fitting.files import fit_inputs
from a4d.fitting.seed_settings import ShapeConfig
from a4d.fitting.settings import Fitting, complete_with_scene, profile_values
from a4d.fitting.stage import FittingStage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

DEFAULT_PROFILE = "distill-text"


class Distill(Fitting):
    """Everything that decides a distilled scene."""

    seed: ShapeConfig = ShapeConfig()


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else text to Gaussians; a given scene brings its own configuration."""
    profile = values.get("profile", "auto")
    name = DEFAULT_PROFILE if profile == "auto" else str(profile)
    chosen = profile_values(Path(__file__).parent / "profiles", "distill", name, workspace)
    if values.get("from_scene"):
        chosen["scene"] = None
    return chosen


def inputs(workspace: Workspace, config: Distill) -> list[Path]:
    """What every fit reads, and the file of the shape that a new scene begins from."""
    return fit_inputs(workspace, config) + ([] if config.from_scene else config.seed.files)


def run(work: Transaction, config: Distill, runtime: Runtime) -> dict[str, Any]:
    """Read or begin the scene, optimise it against priors and whatever else is asked of it, and save it.

    Raises:
        UsageError: the scene would take its own place.
    """
    from a4d.contents.frames import load_frames
    from a4d.fitting.fitting import fit
    from a4d.fitting.seeds import shape_seed
    from a4d.fitting.start import require_another_name, start

    require_another_name(work, config)
    frames = load_frames(work.workspace) if config.resolved.reads_frames else None
    scene = start(work.workspace, config, None if config.from_scene else shape_seed(config.seed), runtime)
    return fit(work, config, scene, frames, runtime)


STAGE = FittingStage(
    name="distill",
    summary="Move a scene, or a new one, toward what diffusion priors expect of its renders.",
    example='a4d distill "a corgi wearing a beret"',
    config=Distill,
    run=run,
    inputs=inputs,
    defaults=defaults,
    complete=partial(complete_with_scene, purpose="distill"),
    needs=("preprocess",),
    memory_knobs=(
        "offload",
        "views.*.batch",
        "views.*.size",
        "objectives.*.patch",
        "priors.*.text_on_cpu",
        "priors.*.images_at_once",
        "priors.*.samples_at_once",
        "scene.count",
        "scene.encoding.table",
        "scene.surface.resolution",
    ),
)
