"""Commits are whole: old or new, whenever the process is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counting import plan_of, tree

from a4d.config import Config
from a4d.errors import MissingInputError, WorkspaceError
from a4d.workspace.transaction import Transaction, can_resume
from a4d.workspace.workspace import Metadata, Workspace

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_commit_that_is_killed_at_any_moment_leaves_the_old_or_the_new_state(tmp_path):
    command = [sys.executable, str(HERE / "kill_commits.py"), str(tmp_path)]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    states = answer["states"]
    assert set(states) == {"old", "new"}
    assert states == sorted(states, reverse=True)  # once decided it stays decided
    assert min(states.count("old"), states.count("new"), len(answer["twice"])) > 20
    assert set(answer["twice"]) == {"new"}


SLOW_COUNT = """
import sys, time
from dataclasses import replace
from rich.console import Console
from a4d.running.runner import Options, execute
import counting

def count(transaction, config, runtime):
    state = transaction.checkpoint / "state"
    first = int(state.read_text()) if state.exists() else 0
    print("from", first, flush=True)
    for step in range(first, 60):
        time.sleep(0.005)
        (transaction.folder / "next").write_text(str(step + 1))
        (transaction.folder / "next").replace(state)
    (transaction.scene() / "scene.yaml").write_text("kind: count")
    return {}

stages = {**counting.STAGES, "count": replace(counting.COUNT, run=count)}
print("ready", flush=True)
execute(stages["count"], "picture.png", Options(device="cpu"), Console(file=sys.stderr), stages.__getitem__)
"""


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        (folder / "picture.png").write_bytes(b"pixels")
    command = [sys.executable, "-c", SLOW_COUNT]
    moments = random.Random(0)
    checkpoint = broken / "picture.a4d/stages/count.partial/checkpoint/state"
    starts = []
    for attempt in range(8):
        child = subprocess.Popen(command, cwd=broken, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        while attempt == 3 and not checkpoint.exists() and child.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        starts += [int(line.split()[1]) for line in child.communicate()[0].splitlines()]
    for folder in (broken, whole):
        last = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        assert last.returncode == 0, last.stderr
        starts += [int(line.split()[1]) for line in last.stdout.splitlines() if folder == broken and " " in line]
    assert max(starts) > 0
    assert starts == sorted(starts)
    for part in ("scenes", "images", "source"):
        assert tree(whole / "picture.a4d" / part) == tree(broken / "picture.a4d" / part)
    assert not list((broken / "picture.a4d/stages").glob("*.partial"))
    assert sorted(os.listdir(broken)) == ["picture.a4d", "picture.png"]


def test_nothing_shows_before_the_commit_and_only_places_of_the_format_may_be_written(workspace):
    transaction = Transaction.begin(workspace, "run", Config(), plan_of())
    (transaction.scene() / "scene.yaml").write_text("kind: x")
    assert workspace.scenes() == []
    for wrong in ("../x", "stages/run/record.json", "elsewhere/x", "/tmp/x", "workspace.yaml", "images/../../x"):
        with pytest.raises(ValueError, match="no place in a workspace"):
            transaction.output(wrong)
    transaction.commit({})
    assert [scene.name for scene in workspace.scenes()] == ["run"]
    assert not transaction.folder.exists()


def test_a_checkpoint_is_taken_up_by_the_same_plan_only(workspace):
    first = Transaction.begin(workspace, "run", Config(), plan_of(a=1))
    assert not can_resume(workspace, "run", plan_of(a=1))
    (first.checkpoint / "state").write_text("1")
    (first.output("exports/half.txt")).write_text("half")
    again = Transaction.begin(workspace, "run", Config(), plan_of(a=1))
    assert again.resumed
    assert (again.checkpoint / "state").read_text() == "1"
    again.commit({})
    assert not (workspace.path / "exports").exists()  # what the interrupted process had staged is not trusted
    other = Transaction.begin(workspace, "run", Config(), plan_of(a=2))
    (other.checkpoint / "state").write_text("2")
    third = Transaction.begin(workspace, "run", Config(), plan_of(a=3))
    assert not third.resumed
    assert not list(third.checkpoint.iterdir())


def test_metrics_are_plain_numbers_in_the_record(workspace):
    import numpy as np

    given = {"psnr": float("inf"), "loss": np.float32(0.5), "count": np.int64(3), "note": "x"}
    record = Transaction.begin(workspace, "run", Config(), plan_of()).commit(given)
    assert record.metrics == {"psnr": None, "loss": 0.5, "count": 3, "note": "x"}
    assert workspace.read_records()["run"].metrics == record.metrics


def test_unknown_fields_survive_and_notes_are_merged(workspace):
    file = workspace.path / "workspace.yaml"
    file.write_text(file.read_text() + "from_the_future: {a: 1}\n")
    for key in ("one", "two"):
        transaction = Transaction.begin(Workspace.open(workspace.path), key, Config(), plan_of())
        transaction.describe(notes={key: 1}, prompts={key: "text"}, fps=24.0)
        transaction.commit({})
    metadata = Workspace.open(workspace.path).metadata
    assert metadata.model_extra == {"from_the_future": {"a": 1}}
    assert metadata.notes == {"one": 1, "two": 1}
    assert metadata.prompts == {"one": "text", "two": "text"}
    assert metadata.fps == 24.0


def test_a_future_version_and_damaged_files_are_refused_by_name(workspace):
    file = workspace.path / "workspace.yaml"
    good = file.read_text()
    file.write_text(good.replace("version: 1", "version: 2") + "format_of_tomorrow: 1\n")
    with pytest.raises(WorkspaceError, match=r"format version 2.*reads up to 1"):
        Workspace.open(workspace.path)
    file.write_text(good.replace("a4d-workspace", "something"))
    with pytest.raises(WorkspaceError, match="damaged at 'format'"):
        Workspace.open(workspace.path)
    file.write_text("a: [")
    with pytest.raises(WorkspaceError, match="not valid YAML"):
        Workspace.open(workspace.path)
    with pytest.raises(MissingInputError, match="no workspace"):
        Workspace.open(workspace.path / "stages")
    file.write_text(good)
    Transaction.begin(workspace, "run", Config(), plan_of()).commit({})
    record = workspace.path / "stages/run/record.json"
    for damage, message in (("{", "not valid JSON at line 1"), ("{}", "damaged at 'stage'")):
        record.write_text(damage)
        with pytest.raises(WorkspaceError, match=message):
            workspace.read_records()
    with pytest.raises(WorkspaceError, match="workspace already"):
        Workspace.create(workspace.path, Metadata(name="x"))
