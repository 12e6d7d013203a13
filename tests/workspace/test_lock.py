"""One writer at a time, across processes."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a4d.errors import WorkspaceError
from a4d.workspace.lock import LOCK, acquire, locked, read_holder

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from pathlib import Path; from a4d.workspace.lock import acquire; acquire(Path(sys.argv[1])); "
WAIT = HOLD + "print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holders():
    """Start processes that take the lock and keep it until the test ends."""
    started = []

    def start(folder, job="", before=()):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": job}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([*before, sys.executable, "-c", WAIT, str(folder)], env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_writer_is_told_who_holds_it_and_a_dead_holder_is_replaced(tmp_path, holders):
    process = holders(tmp_path, job="4711")
    assert process.stdout.readline() == "held\n"
    with pytest.raises(WorkspaceError, match=rf"process {process.pid} on .* \(job 4711\)") as caught:
        acquire(tmp_path)
    assert caught.value.exit_code == 3
    process.kill()  # not waited for: a zombie is dead, too
    deadline = 200
    while not read_holder(tmp_path).is_dead() and deadline:
        deadline -= 1
        os.sched_yield()
        process.poll()
    with locked(tmp_path):
        assert read_holder(tmp_path).pid == os.getpid()
    assert os.listdir(tmp_path) == []


def test_a_dead_lock_goes_to_one_of_many(tmp_path, holders):
    dead = {"host": platform.node(), "pid": 2**22 + 1, "started": "1"}
    (tmp_path / LOCK).write_text(json.dumps(dead))
    processes = [holders(tmp_path) for _ in range(4)]
    won = []
    for process in processes:
        line = process.stdout.readline()
        if line:
            won.append(process.pid)
        else:
            assert "is being written by" in process.stderr.read()
    assert len(won) == 1
    assert read_holder(tmp_path).pid == won[0]
    assert os.listdir(tmp_path) == [LOCK]


def test_a_reused_process_id_is_told_apart_and_another_host_is_never_overruled(tmp_path):
    lock = tmp_path / LOCK
    lock.write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "started": "long ago"}))
    acquire(tmp_path).release()
    assert not lock.exists()
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1", "job": "7"}))
    with pytest.raises(WorkspaceError, match=r"process 1 on elsewhere \(job 7\)"):
        acquire(tmp_path)


NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def test_containers_with_one_host_name_do_not_overrule_each_other(tmp_path, holders):
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("pid namespaces may not be made here")
    first, second = (holders(tmp_path, before=NAMESPACE) for _ in range(2))
    lines = sorted(process.stdout.readline() for process in (first, second))
    assert lines == ["", "held\n"]
    # Seen from here the holder's process id is nobody's, or somebody else's, and says nothing.
    with pytest.raises(WorkspaceError, match="is being written by process"):
        acquire(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="the system tells no namespaces")
def test_the_boot_and_the_namespace_decide_whether_a_process_id_can_be_judged(tmp_path):
    lock = tmp_path / LOCK
    acquire(tmp_path)
    own = json.loads(lock.read_text())
    gone = own | {"pid": 2**22 + 1, "started": "1"}
    for changes, is_dead in (
        ({}, True),
        ({"boot": "another"}, True),
        ({"boot": "another", "pid_namespace": "pid:[1]"}, True),
        ({"pid_namespace": "pid:[1]"}, False),
        ({"boot": "", "pid_namespace": ""}, True),  # of an a4d that did not know them
        ({"boot": "another", "host": "elsewhere"}, False),
    ):
        lock.write_text(json.dumps(gone | changes))
        assert read_holder(tmp_path).is_dead() == is_dead, changes
    lock.write_text(json.dumps({key: own[key] for key in ("host", "pid", "started")}))
    with pytest.raises(WorkspaceError, match=f"process {os.getpid()} "):
        acquire(tmp_path)


def test_a_lock_that_is_just_being_written_is_respected_and_an_old_unreadable_one_is_not(tmp_path):
    lock = tmp_path / LOCK
    lock.touch()
    with pytest.raises(WorkspaceError, match="another process"):
        acquire(tmp_path)
    os.utime(lock, (1, 1))
    acquire(tmp_path).release()


def test_a_lock_that_was_taken_away_is_not_released_twice(tmp_path):
    lock = acquire(tmp_path)
    other = {"host": "elsewhere", "pid": 1, "started": "1"}
    (tmp_path / LOCK).write_text(json.dumps(other))
    lock.release()
    assert read_holder(tmp_path).host == "elsewhere"
