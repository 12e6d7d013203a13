"""One writer at a time: a lock file that names its holder, and is taken over from a dead one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from a4d.errors import WorkspaceError

LOCK = ".lock"
UNREADABLE_SECONDS = 10.0
"""A lock that cannot be read is being written, unless it is older than this."""


class Holder(BaseModel):
    """The process that holds a lock.

    Args:
        host: its machine.
        pid: its process id there.
        started: when that process started, by which a reused process id is told apart.
        job: the scheduler's job id; empty outside one.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    host: str
    pid: int
    started: str
    job: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job})" if self.job else "")

    def is_dead(self) -> bool:
        """Whether the process is certainly gone; nothing can be said about another machine's."""
        return self.host == platform.node() and _process_start(self.pid) != self.started


def _process_start(pid: int) -> str:
    """When a process of this machine started, in whatever unit the system has; empty where there is no such process."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        # A killed process stays listed as a zombie until its parent asks for it.
        return "" if fields[0] in "ZX" else fields[19]
    try:
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return answer.stdout.strip()


def _myself() -> Holder:
    jobs = (os.environ.get(name) for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"))
    return Holder(
        host=platform.node(), pid=os.getpid(), started=_process_start(os.getpid()), job=next(filter(None, jobs), "")
    )


def read_holder(folder: Path) -> Holder | None:
    """Who holds the lock of a workspace; None where nobody does or the file cannot be read."""
    try:
        return Holder.model_validate(json.loads((folder / LOCK).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


class Lock:
    """A held lock; `folder` follows the workspace when that is renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def release(self) -> None:
        """Let go of the lock, unless somebody else has it by now."""
        holder = read_holder(self.folder)
        if holder is not None and holder == _myself():
            (self.folder / LOCK).unlink(missing_ok=True)


def acquire(folder: Path) -> Lock:
    """Take the lock of a workspace.

    Raises:
        WorkspaceError: another process holds it; the message names it.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _take_away_if_dead(folder)
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_myself().model_dump_json())
        return Lock(folder)
    raise _held(folder, read_holder(folder))


def _take_away_if_dead(folder: Path) -> None:
    path = folder / LOCK
    holder = read_holder(folder)
    if holder is None:
        try:
            recent = time.time() - path.stat().st_mtime < UNREADABLE_SECONDS
        except FileNotFoundError:
            return
        if recent:
            raise _held(folder, None)
    elif not holder.is_dead():
        raise _held(folder, holder)
    aside = folder / f"{LOCK}.{os.getpid()}"
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
    try:
        taken = Holder.model_validate(json.loads(aside.read_text(encoding="utf-8")))
    except (ValueError, ValidationError):
        taken = None
    if taken != holder:  # a third process took it over in between: give it back
        aside.replace(path)
        raise _held(folder, taken)
    aside.unlink()


def _held(folder: Path, holder: Holder | None) -> WorkspaceError:
    return WorkspaceError(
        f"{folder} is being written by {holder or 'another process'}",
        f"Wait for it; if it is gone for certain, delete {folder / LOCK}",
    )


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Hold the lock of a workspace while the block runs; see `acquire` for the errors."""
    lock = acquire(folder)
    try:
        yield lock
    finally:
        lock.release()
