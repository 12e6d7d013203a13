"""The commit: once its journal is written a result will take its place, whatever happens to the process."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from a4d.errors import WorkspaceError
from a4d.workspace.files import discard, move, storage_error
from a4d.workspace.lock import locked
from a4d.workspace.record import RECORD, read_document
from a4d.workspace.workspace import Workspace

JOURNAL = "journal.json"

logger = logging.getLogger(__name__)


class Journal(BaseModel):
    """What a commit still has to do; once it is written the commit will be completed, by whomever comes next.

    Args:
        moves: from the partial folder's path to the workspace's, both relative to the workspace, in order.
        removals: files of the former result that the new one does not have.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    moves: list[tuple[str, str]]
    removals: list[str]


def complete_commit(workspace: Workspace, name: str) -> None:
    """Carry out what the journal says, from wherever an earlier attempt stopped.

    The former record goes first and the new one comes last, so that a reader who finds a record finds its outputs.
    """
    folder = workspace.partial_folder(name)
    final = workspace.stage_folder(name)
    if (folder / RECORD).exists():
        journal = read_document(folder / JOURNAL, Journal)
        trash = folder / "trash"
        trash.mkdir(exist_ok=True)
        final.mkdir(exist_ok=True)
        discard(final / RECORD)
        for index, target in enumerate(journal.removals):
            _remove(workspace.path, target, trash / f"removal-{index}")
        for index, (source, target) in enumerate(journal.moves):
            _move_into_place(workspace.path / source, workspace.path / target, trash / str(index))
        move(folder / RECORD, final / RECORD)
    # The journal goes last: as long as it is there the next process takes this up again.
    for path in folder.iterdir():
        if path.name != JOURNAL:
            discard(path)
    discard(folder)


def _remove(root: Path, target: str, trash: Path) -> None:
    if (root / target).exists():
        move(root / target, trash)
    for parent in PurePosixPath(target).parents[:-1]:
        if (root / parent).is_dir() and not any((root / parent).iterdir()):
            (root / parent).rmdir()


def _move_into_place(source: Path, target: Path, trash: Path) -> None:
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and (target.is_dir() or source.is_dir()):
        move(target, trash)
    move(source, target)


def interrupted_commits(workspace: Workspace) -> list[str]:
    """The runs whose commit was decided on and is not complete."""
    return [name for name in workspace.partials() if (workspace.partial_folder(name) / JOURNAL).exists()]


def complete_interrupted_commits(workspace: Workspace) -> None:
    """Finish the commits of processes that were killed in them. The caller holds the lock."""
    for name in interrupted_commits(workspace):
        complete_commit(workspace, name)
        logger.warning("completed the interrupted commit of '%s'", name)


def open_for_reading(path: Path) -> Workspace:
    """Open a workspace that is only read, after completing an interrupted commit where this process may.

    Raises:
        MissingInputError: the folder does not exist or is no workspace.
        WorkspaceError: `workspace.yaml` is damaged or of a future format version.
    """
    workspace = Workspace.open(path)
    if interrupted_commits(workspace):
        try:
            with locked(path):
                complete_interrupted_commits(workspace)
        except WorkspaceError:  # whoever holds the lock is just doing it
            return workspace
        except OSError as error:
            if storage_error(error, path) is None:
                raise
    return Workspace.open(path)
