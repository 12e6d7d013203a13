"""A recipe that is asked to stop: what runs hears of it at once, is waited for, and the exit code says it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = """#!{python} -S
import os, signal, sys, time
open("started.new", "w").write(f"{{os.getpid()}} {{sys.argv[1]}}")
def stop(number, frame):
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(other, signal.SIG_IGN)
    time.sleep(0.2)  # as long as a checkpoint takes
    open("left in order", "a").write(signal.Signals(number).name)
    os._exit(75)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, stop)
os.rename("started.new", "started")
time.sleep({seconds})
sys.exit({code})
"""


# Whoever runs the tests in the background has them ignore Ctrl-C, which a shell cannot undo.
HEARS_CTRL_C = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def start(folder: Path, seconds: float = 60, code: int = 0) -> subprocess.Popen:
    """The quickstart with a program in the place of a4d, in a group of its own as a terminal would start it."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "a4d").write_text(STAGE.format(python=sys.executable, seconds=seconds, code=code))
    (programs / "a4d").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "A4D_ENVIRONMENT": "active", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-c", HEARS_CTRL_C, "bash", str(ROOT / "recipes" / "quickstart.sh"), "picture.png"]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("everybody", [False, True], ids=["the recipe alone", "its whole group"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_reaches_what_runs_which_ends_first(tmp_path, number, code, everybody) -> None:
    recipe = start(tmp_path)
    wait_for(tmp_path / "started")
    (os.killpg if everybody else os.kill)(recipe.pid, number)
    assert recipe.wait(timeout=20) == code
    assert (tmp_path / "left in order").read_text() == number.name
    pid, stage = (tmp_path / "started").read_text().split()
    assert stage == "fit-static"
    assert not Path(f"/proc/{pid}").exists()


def test_a_recipe_ends_with_the_exit_code_of_the_stage_that_failed(tmp_path) -> None:
    assert start(tmp_path, seconds=0, code=7).wait(timeout=20) == 7
    assert (tmp_path / "started").read_text().endswith("fit-static")
