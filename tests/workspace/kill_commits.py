"""Kill a commit before each of its changes to the file system, then open the workspace again; a program of its own.

It prints, for every moment, which state was found afterwards. No thread may run when it forks, so it loads no torch.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from counting import plan_of, tree

from a4d.config import Config
from a4d.workspace.freshness import examine
from a4d.workspace.journal import complete_interrupted_commits, interrupted_commits
from a4d.workspace.lock import locked
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Metadata, Workspace

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Countdown:
    """Kills this process with SIGKILL before its n-th change to the file system."""

    def __init__(self):
        self.left = None
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.left is None or not (event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITING)):
            return
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def write(workspace, version):
    """A run that changes a folder, a file in common with the last version, and one file of its own; and metadata."""
    with locked(workspace.path):
        transaction = Transaction.begin(workspace, "run", Config(), plan_of(version=version))
        (transaction.checkpoint / "state").write_text("half")
        scene = transaction.scene()
        for index in range(2 + version):
            (scene / f"{index}.txt").write_text(f"scene {version}")
        transaction.output("transforms.json").write_text(f"{version}")
        transaction.output(f"exports/only_in_{version}.txt").write_text(f"{version}")
        transaction.describe(frame_count=version)
        transaction.commit({"version": version})


def killed_after(changes, countdown, act):
    """Whether a child that does `act` was killed before its n-th change."""
    child = os.fork()
    if child == 0:
        countdown.left = changes
        act()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def state_of(path, expected):
    """`old` or `new` if the workspace is exactly that, with a record that agrees; otherwise what is wrong with it."""
    workspace = Workspace.open(path)
    records = workspace.read_records()
    if list(records) != ["run"]:
        return f"records {list(records)}"
    found = {name: data for name, data in tree(path).items() if not name.startswith(("stages", "."))}
    findings = examine(workspace, records["run"], records)
    version = records["run"].metrics["version"]
    if findings.missing or findings.edited or found != expected[version] or interrupted_commits(workspace):
        return f"version {version} with {findings} and {sorted(found)}"
    return "old" if version == 0 else "new"


def recover(path):
    workspace = Workspace.open(path)
    with locked(path):
        complete_interrupted_commits(workspace)


def main(folder):
    os.fsync = lambda descriptor: None  # the power stays on, and it is slow
    countdown = Countdown()
    base = Workspace.create(folder / "base.a4d", Metadata(name="base"))
    write(base, 0)
    shutil.copytree(base.path, folder / "new.a4d")
    write(Workspace.open(folder / "new.a4d"), 1)
    expected = [
        {name: data for name, data in tree(path).items() if not name.startswith("stages")}
        for path in (base.path, folder / "new.a4d")
    ]
    states, twice = [], []
    path = folder / "trial.a4d"
    for changes in range(1000):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(base.path, path)
        killed = killed_after(changes, countdown, lambda: write(Workspace.open(path), 1))
        if changes % 24 == 0 and interrupted_commits(Workspace.open(path)):
            shutil.copytree(path, folder / "half.a4d")
            for again in range(1000):
                shutil.rmtree(path)
                shutil.copytree(folder / "half.a4d", path)
                still = killed_after(again, countdown, lambda: recover(path))
                recover(path)
                twice.append(state_of(path, expected))
                if not still:
                    break
            shutil.rmtree(folder / "half.a4d")
        recover(path)
        states.append(state_of(path, expected))
        if not killed:
            break
    print(json.dumps({"states": states, "twice": twice}))


main(Path(sys.argv[1]))
