"""estimate-pose: from where each image was taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a4d.errors import UsageError
from a4d.intake.pose_settings import LONGER_SIDE, PoseSettings
from a4d.running.stage import Stage
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

APPLIES = {
    "cameras": ("import", "body"),
    "tracks": ("tracker",),
    "person": ("tracker",),
    "smpl": ("tracker", "people"),
    "body": ("tracker", "people", "body"),
    "gender": ("body",),
    "age": ("body",),
    "azimuth": ("object",),
    "still": ("object",),
    "elevation": ("canonical", "object"),
    "radius": ("canonical",),
    "moving": ("import", "colmap"),
}
"""What only some methods hear; `people` are a data set's own poses."""

REMEDIES = {
    "cameras": "Leave one of them out; a source that brings cameras of its own keeps those",
    "tracks": "Leave one of them out",
    "azimuth": "Place the canonical camera by --elevation, or imported ones in their own program",
    "still": "The cameras of other methods say themselves whether they stand still",
    "elevation": "Imported cameras and a body's tell it themselves",
    "radius": "What other methods find has a distance of its own",
    "moving": "Cameras of other methods have times wherever the subject may move",
    "person": "Of several people in a film `a4d preprocess FILM --matting person --person 2` chooses one",
}
FOLLOW = "Find the person with `a4d preprocess FILM --matting person`, or give --tracks or `preprocess --keypoints`"
"""What helps where a setting does not apply."""


def run(work: Transaction, config: PoseSettings, runtime: Runtime) -> dict[str, Any]:
    """Write `transforms.json`, unless the source came with cameras; of a person who is followed also `body.npz`."""
    from a4d.intake.people_dataset import pose_people
    from a4d.intake.poses import METHODS
    from a4d.io.captures.transforms_json import read_transforms

    workspace, method = work.workspace, _method(work.workspace, config)
    _require_applicable(config, method)
    if method == "people":
        return pose_people(work, config)
    if method == "given":
        path = workspace.require("transforms.json", f"Run `a4d preprocess {workspace.argument}` first")
        return {"cameras": len(read_transforms(path)), "method": "given"}
    if method == "import" and config.cameras is None:
        raise UsageError("--method import needs the cameras", "Give --cameras transforms.json or a COLMAP folder")
    if method == "body":
        from a4d.intake.fitted_body import estimate_body

        return estimate_body(work, config, runtime)
    if method == "object":
        from a4d.intake.circled_object import estimate_object

        return estimate_object(work, config, runtime)
    return METHODS[method](work, config)


def _method(workspace: Workspace, config: PoseSettings) -> str:
    """The method that is asked for, or that the source suggests: also cameras that are `given`, and posed `people`."""
    from a4d.io.people.people_reader import is_people

    if config.method != "auto":
        return config.method
    if config.tracks is not None:
        return "tracker"
    source = workspace.metadata.source
    if source is not None and source.kind == "capture" and is_people(workspace.source_path()):
        return "people"
    if source is not None and source.kind in ("capture", "mesh"):
        return "given"
    return "import" if config.cameras else "colmap" if source and source.kind == "images" else "canonical"


def _require_applicable(config: PoseSettings, method: str) -> None:
    """Refuse what is said to a method that does not hear it."""
    for name, methods in APPLIES.items():
        if method in methods or getattr(config, name) == PoseSettings.model_fields[name].default:
            continue
        meant = " or ".join(f"--method {each}" for each in methods if each != "people")
        raise UsageError(
            f"--{name} applies to {meant}, and the cameras are those of --method {method}", REMEDIES.get(name, FOLLOW)
        )


def defaults(workspace: Workspace, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A body where keypoints were found, seen by the lens of a phone; that of other methods frames a subject."""
    from a4d.io.keypoints import KEYPOINTS_FILE

    says_how = asked.get("method", "auto") != "auto" or any(map(asked.get, ("cameras", "tracks")))
    if says_how or not (workspace.path / KEYPOINTS_FILE).is_file():
        return {"fov": LONGER_SIDE} if asked.get("method") == "body" else {}
    return {"method": "body", "fov": LONGER_SIDE}


def inputs(workspace: Workspace, config: PoseSettings) -> list[Path]:
    """The images, and what tells of a body in them; a capture's own cameras are outputs of preprocess."""
    from a4d.io.keypoints import KEYPOINTS_FILE

    given = [path for path in (config.cameras, config.tracks, config.smpl) if path is not None]
    source = workspace.metadata.source
    fits = config.method == "body"
    if fits or config.tracks is not None or (source is not None and source.kind == "capture"):
        given += [Path(config.body)] if Path(config.body).is_file() else []
    keypoints = [workspace.path / KEYPOINTS_FILE] if fits else []
    return [workspace.path / "images", *keypoints, *given]


STAGE = Stage(
    name="estimate-pose",
    summary="Find the camera of every image: canonical, imported, or by structure from motion.",
    example="a4d estimate-pose photos.a4d --method colmap",
    config=PoseSettings,
    run=run,
    inputs=inputs,
    defaults=defaults,
    needs=("preprocess",),
    makes="transforms.json",
    writes=("transforms.json", "points.ply", "images", "body.npz"),
    code_version=3,
)
