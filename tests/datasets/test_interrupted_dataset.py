"""`a4d make-dataset` that is asked to stop, or killed: its exit code, and that none of its processes outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from a4d.commands import dataset_jobs
from a4d.commands.dataset_jobs import Rendered, render_all
from a4d.console import make_console
from a4d.errors import OutOfMemoryError

ROOT = Path(__file__).parents[2]
ENDLESS = ("make-dataset", "--procedural", "2", "--views", "16", "--frames", "500", "--workers", "2", "--output", "set")


def children(parent: int) -> list[Path]:
    """The processes that a process has started, in `/proc`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(status.parent)
        except OSError:  # it has just ended
            continue
    return found


def until(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "everybody", "code"),
    [
        (signal.SIGTERM, False, 75),
        (signal.SIGUSR1, True, 75),
        (signal.SIGINT, True, 130),
        (signal.SIGKILL, False, -signal.SIGKILL),
    ],
)
def test_its_processes_end_with_it(tmp_path: Path, number: int, everybody: bool, code: int) -> None:
    command = [sys.executable, "-m", "a4d", *ENDLESS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: len(children(child.pid)) == 3)  # two that render, and one that Python watches them with
    started = children(child.pid)
    (os.killpg if everybody else os.kill)(child.pid, number)
    assert child.wait(timeout=60) == code
    until(lambda: not any(process.exists() for process in started))
    _, err = child.communicate()
    # A process that Python was just starting complains by itself.
    assert "Traceback" not in err or "spawn_main" in err
    if number != signal.SIGKILL:  # after which Python says what it had to tidy up
        assert len(err.splitlines()) == 1, err


class Doomed:
    """A job whose process the system kills."""

    uid = "doomed"

    def render(self, force: bool) -> Rendered:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def nothing(lifeline: object) -> None:
    """In the place of what loads torch."""


def test_a_process_that_the_system_kills_is_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_jobs, "_prepare", nothing)
    with pytest.raises(OutOfMemoryError, match="fewer --workers"):
        render_all([Doomed(), Doomed()], 2, force=False, console=make_console(quiet=True))
