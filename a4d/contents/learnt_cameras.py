"""Whether the cameras of a workspace are still those of which a scene has learnt how they stray."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import WorkspaceError
from a4d.scenes.protocols import Lensed
from a4d.scenes.scene import Scene
from a4d.workspace.remedies import command_of
from a4d.workspace.workspace import Workspace


def has_other_cameras(workspace: Workspace, folder: Path, scene: Scene) -> bool:
    """Whether a scene has learnt of other cameras than its workspace holds by now, as far as its record tells.

    Args:
        workspace: that the scene is of.
        folder: of the scene.
        scene: as that folder has it.
    """
    record = workspace.read_records().get(folder.name)
    if record is None or not isinstance(scene, Lensed) or not scene.has_learnt_cameras:
        return False
    return not record.has_read(workspace.path, ["transforms.json"])


def require_same_cameras(workspace: Workspace, folder: Path, scene: Scene) -> None:
    """Check that a workspace's cameras are those of which a scene has learnt.

    Raises:
        WorkspaceError: they were found anew since; the remedy is the command that fits the scene to them.
    """
    if has_other_cameras(workspace, folder, scene):
        raise WorkspaceError(
            f"the cameras of {workspace.path} are not those whose errors the scene '{folder.name}' has learnt",
            f"Fit it anew: `{command_of(workspace, workspace.read_records()[folder.name])}`",
        )
