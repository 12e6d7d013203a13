"""What may lie in a workspace and what of it a run may write: checked before anything that others wrote is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from a4d.errors import WorkspaceError
from a4d.io.containment import links_and_devices, require_inner, stays_inside

METADATA = "workspace.yaml"
PARTIAL = ".partial"
STAGES = "stages"
FILES = frozenset({METADATA, "transforms.json", "points.ply", "tracks.npz", "keypoints.npz", "body.npz"})
FOLDERS = frozenset(
    {
        "source",
        "images",
        "depth",
        "normal",
        "flow",
        "features",
        "visibility",
        "ground_truth",
        "scenes",
        "adapters",
        "exports",
        STAGES,
    }
)
ENTRIES = FILES | FOLDERS
"""Everything that may lie at the top of a workspace."""

RUN_NAME = re.compile(r"[^\W_][\w-]*")
"""Names of runs, and so of scenes."""


def require_output(name: str) -> str:
    """A path in a workspace that a run may write through its transaction.

    Raises:
        ValueError: it lies outside of the workspace, or where only the workspace itself writes.
    """
    problem = f"{name!r} is no place in a workspace that a run may write"
    try:
        top = PurePosixPath(require_inner(name)).parts[:1]
    except ValueError:
        raise ValueError(problem) from None
    if not top or top[0] not in ENTRIES - {STAGES, METADATA}:
        raise ValueError(problem)
    return name


def misplaced(folder: Path) -> Iterator[str]:
    """What keeps a folder from being read as a workspace, in words: links out of it, devices, files for folders.

    Links that stay inside are allowed but for those in `stages/`, through which runs are committed and deleted.

    Raises:
        OSError: a folder cannot be listed.
    """
    for path in links_and_devices(folder):
        name = path.relative_to(folder).as_posix()
        if not path.is_symlink():
            yield f"{name}: neither a file nor a folder, or nested too deeply"
        elif not stays_inside(folder, path):
            yield f"{name}: a link that leads out of the workspace"
        elif name.split("/")[0] == STAGES:
            yield f"{name}: a link, where runs are kept"
    for name in sorted(ENTRIES):
        path = folder / name
        if name in FOLDERS and path.is_file():
            yield f"{name}: a file where a folder belongs"
        if name in FILES and path.is_dir():
            yield f"{name}: a folder where a file belongs"


def require_sound(folder: Path) -> None:
    """Check, before anything else of a workspace is read, that nothing in it leads out of it.

    Raises:
        WorkspaceError: something does; the message names it.
        OSError: a folder cannot be listed.
    """
    found = list(misplaced(folder))
    if found:
        more = f" and {len(found) - 1} more, which `a4d validate {folder}` lists" if len(found) > 1 else ""
        raise WorkspaceError(f"{folder}/{found[0]}{more}", "Remove it, or put a copy of what it points to in its place")
