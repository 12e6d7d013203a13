"""refine: a scene, or the mesh of a workspace, with better appearance or detail, and otherwise as it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from a4d.errors import UsageError
from a4d.fitting.files import fit_inputs
from a4d.fitting.settings import Fitting, complete_with_scene, kind_of, profile_values
from a4d.fitting.stage import FittingStage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

PROFILE_FOLDER = Path(__file__).parent / "profiles"


MESH_SCENE = "fixed_mesh"
"""The kind of scene that a workspace's mesh becomes by default."""


class Refine(Fitting):
    """Everything that decides a refined scene; groups without a rate stay as they are."""


def defaults(workspace: Workspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that the user names, else the one for the kind of the scene, if the settings leave it a part.

    Without a scene it is the workspace's mesh that is refined.

    Raises:
        UsageError: there is neither a scene nor a mesh, or no profile for its kind and the settings are not complete.
    """
    given, source = values.get("from_scene"), workspace.metadata.source
    if not given and (source is None or source.kind != "mesh"):
        raise UsageError("there is no scene to refine", "Give --from SCENE")
    profile = values.get("profile", "auto")
    if profile == "auto":
        kind = kind_of(workspace, given) if given else MESH_SCENE
        profile = f"refine-{kind}"
        if not (PROFILE_FOLDER / f"{profile}.yaml").is_file():
            if {"views", "objectives", "optimiser"} <= values.keys():
                return {"prompt": workspace.metadata.subject}
            raise UsageError(
                f"refine has no built-in profile for a scene of kind '{kind}'",
                "Give --config with views, objectives and optimiser",
            )
    return profile_values(PROFILE_FOLDER, "refine", str(profile), workspace)


def inputs(workspace: Workspace, config: Refine) -> list[Path]:
    """What every fit reads, and the mesh where no scene is given."""
    return fit_inputs(workspace, config) + ([] if config.from_scene else [workspace.path / "source"])


def run(work: Transaction, config: Refine, runtime: Runtime) -> dict[str, Any]:
    """Read the scene or the mesh, optimise what of it has a rate, and save it.

    Raises:
        UsageError: the scene would take its own place.
    """
    from a4d.contents.assets import still_asset
    from a4d.contents.frames import load_frames
    from a4d.fitting.fitting import fit
    from a4d.fitting.start import require_another_name, start, still_frames
    from a4d.scenes.protocols import is_moving
    from a4d.scenes.seed import Seed

    require_another_name(work, config)
    seed = None if config.from_scene else Seed(asset=still_asset(work.workspace))
    scene = start(work, config, seed, runtime)
    frames = load_frames(work.workspace) if config.resolved.reads_frames else None
    if frames is not None and not is_moving(scene):
        frames = still_frames(frames)
    return fit(work, config, scene, frames, runtime)


STAGE = FittingStage(
    name="refine",
    summary="Give a scene or a mesh better appearance or detail, and leave the rest of it as it is.",
    example="a4d refine photos.a4d --from fit-static",
    config=Refine,
    run=run,
    inputs=inputs,
    defaults=defaults,
    complete=partial(complete_with_scene, purpose="refine"),
    needs=("preprocess", "fit-static"),
    memory_knobs=("offload", "views.*.batch", "views.*.size", "objectives.*.patch", "priors.*.images_at_once"),
)
