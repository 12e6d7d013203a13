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


def run(work: Transaction, config: PoseSettings, runtime: Runtime) -> dict[str, Any]:
    """Write `transforms.json`, unless the source came with cameras; of a person who is followed also `body.npz`."""
    from a4d.intake.person_sequence import pose_people
    from a4d.intake.poses import METHODS
    from a4d.io.captures.transforms_json import read_transforms
    from a4d.io.people.people_reader import is_people

    workspace = work.workspace
    source = workspace.metadata.source
    method = config.method
    if method == "auto" and config.tracks is not None:
        method = "tracker"
    elif method == "auto":
        if source is not None and source.kind in ("capture", "mesh"):
            if source.kind == "capture" and is_people(workspace.source_path()):
                return pose_people(work, config)
            path = workspace.require("transforms.json", f"Run `a4d preprocess {workspace.argument}` first")
            return {"cameras": len(read_transforms(path)), "method": "given"}
        method = "import" if config.cameras else "colmap" if source and source.kind == "images" else "canonical"
    if method == "import" and config.cameras is None:
        raise UsageError("--method import needs the cameras", "Give --cameras transforms.json or a COLMAP folder")
    if method == "body":
        from a4d.intake.fitted_body import estimate_body

        return estimate_body(work, config, runtime)
    return METHODS[method](work, config)


def defaults(workspace: Workspace, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A body where keypoints were found, seen by the lens of a phone; that of other methods frames a subject."""
    from a4d.io.keypoints import KEYPOINTS_FILE

    says_how = asked.get("method", "auto") != "auto" or asked.get("cameras") or asked.get("tracks")
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
    writes=("transforms.json", "points.ply", "images", "body.npz"),
)
