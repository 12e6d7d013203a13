"""How a run may fail: what it raises becomes an error with a remedy, and nothing but a checkpoint is left behind."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from a4d.errors import A4DError, OutOfMemoryError, WorkspaceError
from a4d.running.environment import is_out_of_memory
from a4d.running.stage import Stage
from a4d.workspace.entries import METADATA, PARTIAL
from a4d.workspace.files import discard, storage_error, write_whole
from a4d.workspace.journal import JOURNAL
from a4d.workspace.transaction import Transaction, abandon
from a4d.workspace.workspace import Workspace


@contextmanager
def naming_the_disk(place: Path) -> Iterator[None]:
    """Say what a disk does to the block as a user's error.

    Raises:
        WorkspaceError: it is full, read-only, failing or the like.
    """
    try:
        yield
    except OSError as error:
        storage = storage_error(error, place)
        if storage is None:
            raise
        raise storage from error


@contextmanager
def guarded(stage: Stage, transaction: Transaction) -> Iterator[None]:
    """Run the block as the work of a transaction.

    Raises:
        A4DError: with the exit code and the remedy; the workspace is as it was, but for a checkpoint.
    """
    with _while_it_is_there(transaction), _cleaning_up(stage, transaction):
        yield


@contextmanager
def _cleaning_up(stage: Stage, transaction: Transaction) -> Iterator[None]:
    """Turn what a run may raise into an error with a remedy, and leave nothing but a checkpoint behind."""
    workspace, name = transaction.workspace, transaction.name
    try:
        yield
    except (A4DError, KeyboardInterrupt):
        _abandon_without_checkpoint(transaction)
        raise
    except Exception as error:
        if is_out_of_memory(error):
            _abandon_without_checkpoint(transaction)
            knobs = ", ".join(stage.memory_knobs) or "smaller images or fewer primitives"
            raise OutOfMemoryError(f"{stage.name} ran out of memory", f"It needs less with {knobs}") from error
        storage = storage_error(error, workspace.path)
        if storage is not None:
            _abandon_without_checkpoint(transaction)
            raise storage from error
        raise _report_bug(workspace, name, error) from error


@contextmanager
def _while_it_is_there(transaction: Transaction) -> Iterator[None]:
    """Whatever fails because the workspace was taken away meanwhile is said as what it is.

    Raises:
        WorkspaceError: the workspace is gone.
    """
    workspace, name = transaction.workspace, transaction.name
    try:
        yield
    except Exception as error:
        if (workspace.path / METADATA).exists():
            raise
        # A writer that makes the folders it needs may have made some of the lost ones again.
        discard(transaction.folder)
        for left in (transaction.folder.parent, workspace.path):
            if left.is_dir() and not any(left.iterdir()):
                left.rmdir()
        raise WorkspaceError(
            f"{workspace.path} was moved or deleted while {name} ran", "Run the same command on it where it is now"
        ) from error


def _abandon_without_checkpoint(transaction: Transaction) -> None:
    decided = (transaction.folder / JOURNAL).exists()
    if not decided and not any(transaction.checkpoint.iterdir()):
        abandon(transaction.workspace, transaction.name)


def _report_bug(workspace: Workspace, name: str, error: Exception) -> A4DError:
    """Keep the traceback: in the run's log, or beside a new workspace, which will not be kept."""
    log = workspace.partial_folder(name) / "log.txt"
    text = log.read_text(encoding="utf-8") + "".join(traceback.format_exception(error))
    if workspace.path.suffix == PARTIAL:
        log = workspace.path.with_suffix(".log")
    write_whole(log, text)
    return A4DError(f"a bug in {name}: {type(error).__name__}: {error}", f"The traceback is in {log}")
