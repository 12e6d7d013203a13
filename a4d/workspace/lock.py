"""One writer at a time: a lock file that names its holder, and is taken over from a dead one."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from a4d.errors import WorkspaceError

LOCK = ".lock"
UNREADABLE_SECONDS = 10.0
"""Where hard links are missing, a lock that cannot be read is being written, unless it is older than this."""


class Holder(BaseModel):
    """The process that holds a lock.

    Args:
        host: its machine.
        pid: its process id there.
        started: when that process started, by which a reused process id is told apart.
        job: the scheduler's job id; empty outside one.
        boot: identity of the machine's boot; empty where the system does not tell.
        pid_namespace: in which the process id counts, as containers have their own; empty likewise.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    host: str
    pid: int
    started: str
    job: str = ""
    boot: str = ""
    pid_namespace: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job})" if self.job else "")

    def is_dead(self) -> bool:
        """Whether the process is certainly gone; nothing can be said about another machine's or container's."""
        if self.host != platform.node():
            return False
        if _differ(self.boot, _boot()):
            return True
        return not _differ(self.pid_namespace, _pid_namespace()) and _process_start(self.pid) != self.started


def _differ(recorded: str, present: str) -> bool:
    """Whether both are known and not the same."""
    return bool(recorded and present) and recorded != present


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (its target is no path)
    except OSError:
        return ""


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
        host=platform.node(),
        pid=os.getpid(),
        started=_process_start(os.getpid()),
        job=next(filter(None, jobs), ""),
        boot=_boot(),
        pid_namespace=_pid_namespace(),
    )


def read_holder(folder: Path) -> Holder | None:
    """Who holds the lock of a workspace; None where nobody does or the file cannot be read."""
    return _read(folder / LOCK)


def _read(path: Path) -> Holder | None:
    try:
        return Holder.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
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
    for _ in range(3):
        try:
            _create(folder)
        except FileExistsError:
            _take_away_if_dead(folder)
            continue
        for leftover in folder.glob(f"{LOCK}.*"):
            holder = _read(leftover)
            if holder is not None and holder.is_dead():
                leftover.unlink(missing_ok=True)
        return Lock(folder)
    raise _held(folder, read_holder(folder))


def _beside(folder: Path) -> Path:
    """A name of one's own: process ids are shared between containers."""
    return folder / f"{LOCK}.{secrets.token_hex(4)}"


def _create(folder: Path) -> None:
    """Make the lock file appear with its content, so that a process killed in between leaves no nameless lock."""
    content = _myself().model_dump_json()
    prepared = _beside(folder)
    with prepared.open("x", encoding="utf-8") as file:
        file.write(content)
    try:
        os.link(prepared, folder / LOCK)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with (folder / LOCK).open("x", encoding="utf-8") as file:
            file.write(content)
    finally:
        prepared.unlink(missing_ok=True)


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
    aside = _beside(folder)
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
    taken = _read(aside)
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
