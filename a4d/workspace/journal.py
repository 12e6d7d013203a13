"""The commit: once its journal is written a result will take its place, whatever happens to the process."""

from __future__ import annotations

import logging
import time
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from a4d.errors import OutsideError, WorkspaceError
from a4d.io.containment import contained
from a4d.workspace.entries import METADATA, require_output
from a4d.workspace.files import discard, move, storage_error
from a4d.workspace.lock import acquire
from a4d.workspace.record import RECORD, read_document
from a4d.workspace.workspace import Workspace

JOURNAL = "journal.json"
OUTPUTS = "outputs"
RUN_FILES = ("config.yaml", "metrics.jsonl", "log.txt", "previews")
WAIT_SECONDS = 2.0
"""How long a reader waits for a commit that is just being carried out."""

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

    def require_own(self, workspace: Workspace, name: str) -> None:
        """Check that a commit of this run could have written it: staged outputs and files of the run, and their places.

        Raises:
            ValueError: a path is another.
            OutsideError: a link on the way to it leads out of the workspace.
        """
        staged, final = (path.relative_to(workspace.path).as_posix() for path in _folders(workspace, name))
        run_files = {f"{staged}/{file}": f"{final}/{file}" for file in RUN_FILES}
        for source, target in self.moves:
            if run_files.get(source) != target and source != f"{staged}/{OUTPUTS}/{target}":
                raise ValueError(f"{source!r} is not what the run would put at {target!r}")
        for path in (*(target for _, target in self.moves), *self.removals):
            if path not in (*run_files.values(), METADATA):
                require_output(path)
            contained(workspace.path, path)
        if METADATA in self.removals:
            raise ValueError(f"{METADATA!r} is never removed")


def complete_commit(workspace: Workspace, name: str) -> None:
    """Carry out what the journal says, from wherever an earlier attempt stopped.

    The former record goes first and the new one comes last, so that a reader who finds a record finds its outputs.

    Raises:
        WorkspaceError: the journal is damaged, or names paths that are not the run's; nothing is done.
    """
    folder, final = _folders(workspace, name)
    if (folder / RECORD).exists():
        journal = _read_journal(workspace, name)
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


def _folders(workspace: Workspace, name: str) -> tuple[Path, Path]:
    return workspace.partial_folder(name), workspace.stage_folder(name)


def _read_journal(workspace: Workspace, name: str) -> Journal:
    path = workspace.partial_folder(name) / JOURNAL
    journal = read_document(path, Journal)
    try:
        journal.require_own(workspace, name)
    except (ValueError, OutsideError) as error:
        raise WorkspaceError(f"{path} is not of this workspace's making: {error}", f"Delete {path.parent}") from None
    return journal


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
        WorkspaceError: something in it leads out of it, `workspace.yaml` or a journal is damaged, or of a future format
            version.
    """
    workspace = Workspace.open(path)
    deadline = time.monotonic() + WAIT_SECONDS
    while interrupted_commits(workspace) and time.monotonic() < deadline:
        try:
            lock = acquire(path)
        except WorkspaceError:  # whoever holds the lock is just doing it
            time.sleep(WAIT_SECONDS / 100)
            continue
        except OSError as error:
            if storage_error(error, path) is None:
                raise
            break
        try:
            complete_interrupted_commits(workspace)
        finally:
            lock.release()
    return Workspace.open(path)
