"""A workspace that goes away or changes under a command, and disks that fail: one line each, and exit code 3."""

import errno
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import counting
import pytest
from counting import COUNT, STAGES, plan_of
from rich.console import Console

from a4d.commands.info import gather
from a4d.config import Config
from a4d.errors import WorkspaceError
from a4d.io.files import write_text
from a4d.running.runner import Options, execute
from a4d.workspace.journal import open_for_reading
from a4d.workspace.lock import locked
from a4d.workspace.transaction import Transaction
from a4d.workspace.validation import validate
from a4d.workspace.workspace import Workspace


def run_with(stage, target, **options):
    return execute(stage, str(target), Options(**options), Console(file=sys.stderr, width=200), STAGES.__getitem__)


def write_on(transaction, config, runtime):
    """A stage that goes on as if nothing had happened, and makes the folders that it needs."""
    write_text(transaction.checkpoint / "state.txt", "1")
    return counting.count(transaction, config, runtime)


def read_on(transaction, config, runtime):
    """A stage that looks for what is not there any more."""
    return {"bytes": len((transaction.workspace.path / "images/00000.png").read_bytes())}


@pytest.mark.parametrize("go_on", [write_on, read_on])
@pytest.mark.parametrize("is_moved", [True, False])
def test_a_workspace_that_is_moved_or_deleted_during_a_run(picture, run, go_on, is_moved):
    run()
    home = picture.parent / "picture.a4d"
    before = counting.tree(home)

    def lose(transaction, config, runtime):
        home.rename("moved.a4d") if is_moved else shutil.rmtree(home)
        return go_on(transaction, config, runtime)

    with pytest.raises(WorkspaceError, match=r"picture.a4d was moved or deleted while again ran") as caught:
        run_with(replace(COUNT, run=lose), "picture.a4d", name="again")
    assert caught.value.exit_code == 3
    assert not home.exists(), list(home.rglob("*"))
    if is_moved:
        Path("moved.a4d/.lock").unlink()  # of a process that is gone by then
        after = counting.tree(Path("moved.a4d"))
        assert {name: after[name] for name in before} == before
        assert run_with(COUNT, "moved.a4d", name="again").status == "done"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EFBIG, errno.ENOTDIR, errno.ENOSPC])
def test_a_disk_that_fails_is_no_bug(picture, run, number):
    run()
    before = counting.tree(picture.parent / "picture.a4d")

    def fail(transaction, config, runtime):
        raise OSError(number, "?", "/somewhere/file")

    with pytest.raises(WorkspaceError, match=r"cannot .*write /somewhere/file: ") as caught:
        run_with(replace(COUNT, run=fail), "picture.a4d", name="again")
    assert caught.value.remedy
    assert counting.tree(picture.parent / "picture.a4d") == before


@pytest.mark.parametrize(("place", "is_folder"), [("exports", False), ("stages", False), ("transforms.json", True)])
def test_a_file_where_a_folder_belongs_is_named(picture, run, place, is_folder):
    run()
    path = picture.parent / "picture.a4d" / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.mkdir() if is_folder else path.touch()
    wrong = "a folder where a file belongs" if is_folder else "a file where a folder belongs"
    with pytest.raises(WorkspaceError, match=f"{place}: {wrong}"):
        run(target="picture.a4d")
    assert validate(path.parent).problems == [f"{place}: {wrong}"]


def write_version(workspace, version):
    transaction = Transaction.begin(workspace, f"run{version % 3}", Config(), plan_of(version=version))
    for index in range(5):
        (transaction.replace(f"exports/{index}") / "file").write_text(str(version))
    transaction.commit({"version": version})


def test_a_reader_beside_a_writer_sees_a_whole_workspace(picture, run):
    run()
    home, stop, trouble = picture.parent / "picture.a4d", threading.Event(), []

    def write():
        version = 0
        while not stop.is_set():
            version += 1
            try:
                with locked(home):
                    write_version(Workspace.open(home), version)
            except WorkspaceError as error:
                if "is being written by" not in error.problem:
                    trouble.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            facts = gather(open_for_reading(home))
            assert {"take", "count"} <= {entry["name"] for entry in facts["runs"]}
    finally:
        stop.set()
        writer.join()
    assert trouble == []
