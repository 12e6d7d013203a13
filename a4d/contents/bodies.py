"""The body that a workspace's film shows."""

from __future__ import annotations

from pathlib import Path

from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.io.bodies.tracked_body import BODY_FILE, read_tracked_body
from a4d.workspace.workspace import Workspace


def has_tracked_body(workspace: Workspace) -> bool:
    """Whether a body was followed through the film."""
    return (workspace.path / BODY_FILE).is_file()


def followed_body(workspace: Workspace) -> Path | None:
    """The file of the body in its poses: as the newest scene has fitted them, else as they were tracked."""
    folders = [*([workspace.scene()] if workspace.scenes() else []), workspace.path]
    return next((folder / BODY_FILE for folder in folders if (folder / BODY_FILE).is_file()), None)


def body_files(workspace: Workspace) -> list[Path]:
    """Its file, where there is one."""
    return [workspace.path / BODY_FILE] if has_tracked_body(workspace) else []


def load_tracked_body(workspace: Workspace) -> TrackedBody:
    """Read `body.npz`.

    Raises:
        MissingInputError: there is none yet; names the command that makes it.
        InvalidInputError: it is damaged.
    """
    remedy = f"Run `a4d estimate-pose {workspace.argument} --method body` first"
    return read_tracked_body(workspace.require(BODY_FILE, remedy))
