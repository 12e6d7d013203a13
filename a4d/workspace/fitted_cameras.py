"""Whether a scene knows the cameras that a workspace has now."""

from __future__ import annotations

from pathlib import Path

from a4d.workspace.files import stamps_of
from a4d.workspace.workspace import Workspace

CAMERAS_FILE = "transforms.json"


def was_fitted_to_present(workspace: Workspace, scene: Path) -> bool | None:
    """Whether what a scene has learnt of cameras is about those in `transforms.json`; None where no record tells.

    A scene of another workspace knows another film's, and one from which cameras were made those before.

    Args:
        workspace: with cameras.
        scene: its folder.
    """
    if scene.resolve().parent != (workspace.path / "scenes").resolve():
        return False
    record = workspace.read_records().get(scene.name)
    fitted = {item.sha256 for item in record.inputs if item.path == CAMERAS_FILE} if record else set()
    present = stamps_of(workspace.path, [workspace.path / CAMERAS_FILE], workspace.known_stamps())
    return bool(fitted & {item.sha256 for item in present}) if fitted else None
