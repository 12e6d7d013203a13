"""The decisions of a run, from the outside: what is written, what is refused, and what is left alone."""

import json
import logging
import os
import signal
import threading
import time
from dataclasses import replace

import counting
import pytest
import yaml
from counting import COUNT, tree

from a4d.errors import (
    A4DError,
    ConfigError,
    ExitCode,
    Interrupted,
    InvalidInputError,
    MissingInputError,
    OutOfMemoryError,
    UsageError,
    WorkspaceError,
)
from a4d.running.runner import Options, resolved_config
from a4d.workspace.source import Source, recognise
from a4d.workspace.workspace import Metadata, Workspace


def test_a_raw_input_becomes_a_workspace_with_what_the_stage_needs(picture, run):
    outcome = run(iterations=3)
    assert outcome.status == "done"
    assert outcome.metrics == {"last": 3, "resumed_from": 0}
    root = picture.parent / "picture.a4d"
    assert (root / "source/picture.png").read_bytes() == b"pixels"
    assert (root / "scenes/count/numbers.txt").read_text() == "0\n1\n2\n"
    assert sorted(os.listdir(root / "stages")) == ["count", "take"]
    assert not (root / ".lock").exists()
    assert sorted(os.listdir(picture.parent)) == ["picture.a4d", "picture.png"]
    metadata = yaml.safe_load((root / "workspace.yaml").read_text())
    assert metadata["frame_count"] == 2
    assert metadata["notes"] == {"crop": [0, 1]}
    assert metadata["source"]["kind"] == "image"


@pytest.mark.parametrize("kind", ["image", "video"])
def test_of_workspaces_one_picture_s_alone_gets_what_a_stage_needs_unasked(picture, run, kind):
    source = recognise("picture.png").copy_into(picture.parent / "picture.a4d").model_copy(update={"kind": kind})
    root = Workspace.create(picture.parent / "picture.a4d", Metadata(name="picture", source=source)).path
    foreseen = run(target=root, dry_run=True)
    assert ("run take first" in foreseen.reason) == (kind == "image")
    assert run(target=root).status == "done"
    assert (root / "images").is_dir() == (kind == "image")


def test_what_was_made_under_another_name_or_by_hand_is_not_made_anew(picture, run):
    run("take", name="mine", copies=3)
    assert run().status == "done"
    root = picture.parent / "picture.a4d"
    assert sorted(os.listdir(root / "stages")) == ["count", "mine"]
    for name in ("count", "mine"):
        (root / "stages" / name / "record.json").unlink()
    assert run(target=root, force=True).status == "done"
    assert len(os.listdir(root / "images")) == 3


def test_the_record_tells_how_the_result_was_made(picture, run):
    run(iterations=3, seed=4, command=("a4d", "count"))
    record = json.loads((picture.parent / "picture.a4d/stages/count/record.json").read_text())
    assert record["config"]["iterations"] == 3
    assert (record["seed"], record["device"], record["command"]) == (4, "cpu", ["a4d", "count"])
    assert record["backends"] == {"counting": "fingers"}
    outputs = {item["path"]: item for item in record["outputs"]}
    assert set(outputs) == {"scenes/count/scene.yaml", "scenes/count/numbers.txt", "exports/count.txt"}
    assert outputs["exports/count.txt"]["size"] == 1
    import hashlib

    assert outputs["exports/count.txt"]["sha256"] == hashlib.sha256(b"3").hexdigest()
    assert [item["path"] for item in record["inputs"]] == ["images/00000.png", "images/00001.png", "transforms.json"]


def test_the_same_plan_again_is_up_to_date_and_touches_nothing(picture, run):
    run()
    before = tree(picture.parent / "picture.a4d")
    assert run().status == "up to date"
    assert run(target="picture.a4d").status == "up to date"
    assert tree(picture.parent / "picture.a4d") == before


def test_other_settings_over_a_finished_result_are_refused_with_the_difference(picture, run):
    run()
    with pytest.raises(WorkspaceError, match="iterations: 5 -> 7") as caught:
        run(iterations=7)
    assert "--force" in str(caught.value)
    with pytest.raises(WorkspaceError, match="--seed: 0 -> 1"):
        run(seed=1)
    assert run(iterations=7, force=True).metrics["last"] == 7
    assert run(iterations=7).status == "up to date"


def test_another_name_keeps_both_and_a_name_belongs_to_its_stage(picture, run):
    run()
    assert run(iterations=7, name="seven").status == "done"
    workspace = Workspace.open(picture.parent / "picture.a4d")
    assert [scene.name for scene in workspace.scenes()] == ["count", "seven"]
    assert workspace.scene().name == "seven"
    assert workspace.scene("count").name == "count"
    with pytest.raises(WorkspaceError, match="belongs to a run of count"):
        run("take", "picture.a4d", name="seven")
    with pytest.raises(UsageError, match="letters"):
        run(name="../x")
    with pytest.raises(MissingInputError, match="no scene 'cuont'"):
        workspace.scene("cuont")


@pytest.mark.parametrize(("kind", "stage"), [("video", "fit-dynamic"), ("text", "distill"), ("image", "fit-static")])
def test_the_stage_that_makes_a_first_scene_is_that_of_the_source(tmp_path, kind, stage):
    workspace = Workspace.create(tmp_path / "it.a4d", Metadata(name="it", source=Source(kind=kind, sha256="0")))
    for name in (None, "shape"):
        with pytest.raises(MissingInputError) as caught:
            workspace.scene(name)
        assert f"`a4d {stage} " in caught.value.remedy


def test_changed_inputs_make_a_result_stale_and_it_runs_again(picture, run):
    run()
    (picture.parent / "picture.a4d/images/00000.png").write_bytes(b"edited by hand")
    outcome = run(target="picture.a4d")
    assert outcome.status == "done"
    assert run("take", "picture.a4d").status == "up to date"  # the edit is kept
    assert (picture.parent / "picture.a4d/images/00000.png").read_bytes() == b"edited by hand"
    (picture.parent / "picture.a4d/images/00009.png").write_bytes(b"new")
    assert "00009.png is new" in run(target="picture.a4d", dry_run=True).reason


def test_edited_outputs_are_kept_and_not_overwritten_by_a_stale_run(picture, run, caplog):
    run()
    scene = picture.parent / "picture.a4d/scenes/count/numbers.txt"
    scene.write_text("mine")
    with caplog.at_level(logging.WARNING):
        assert run().status == "up to date"
    assert "kept the edits by hand in scenes/count/numbers.txt" in caplog.text
    (picture.parent / "picture.a4d/images/00001.png").unlink()
    with pytest.raises(WorkspaceError, match=r"images/00001.png is gone.*edited by hand"):
        run(target="picture.a4d")
    assert scene.read_text() == "mine"


def test_a_removed_output_is_made_again(picture, run):
    run()
    (picture.parent / "picture.a4d/scenes/count/numbers.txt").unlink()
    assert run().status == "done"
    assert (picture.parent / "picture.a4d/scenes/count/numbers.txt").exists()


def test_touching_a_file_without_changing_it_changes_nothing(picture, run):
    run()
    os.utime(picture.parent / "picture.a4d/images/00000.png")
    assert run().status == "up to date"


def test_outputs_that_the_new_result_lacks_are_removed(picture, run):
    run(name="a")
    root = picture.parent / "picture.a4d"
    (root / "images/of_mine.txt").write_text("not in any record")
    run("take", "picture.a4d", copies=1, force=True)
    assert sorted(os.listdir(root / "images")) == ["00000.png"]
    assert Workspace.open(root).metadata.frame_count == 1


def test_what_goes_with_an_older_result_is_named(picture, run, capsys):
    run("take", copies=3)
    run("take", "picture.a4d", copies=1, force=True)
    said = capsys.readouterr().err
    assert "images/00001.png, images/00002.png" in said
    assert "images/00000.png" not in said


def test_an_output_that_a_later_run_took_over_is_not_called_edited(picture, run):
    run(name="take2", stage="take", copies=3)
    root = picture.parent / "picture.a4d"
    assert run("take", "picture.a4d", name="take", copies=1).status == "done"
    assert run("take", "picture.a4d", name="take2", copies=3).status == "up to date"
    assert len(os.listdir(root / "images")) == 1


def test_a_stage_of_a_newer_code_version_makes_old_results_stale(picture, run, monkeypatch):
    run()
    monkeypatch.setitem(counting.STAGES, "count", replace(COUNT, code_version=2))
    assert "computes count differently" in run(dry_run=True).reason
    assert run().status == "done"


def test_a_field_that_is_newer_than_a_record_counts_as_its_default(picture, run):
    run()
    path = picture.parent / "picture.a4d/stages/count/record.json"
    record = json.loads(path.read_text())
    del record["config"]["fast"]
    path.write_text(json.dumps(record))
    assert run().status == "up to date"


def test_a_bad_input_leaves_nothing(picture, run):
    picture.write_bytes(b"bad pixels")
    with pytest.raises(InvalidInputError, match=r"^picture.png is damaged"):  # not its copy, which is gone
        run()
    assert os.listdir(picture.parent) == ["picture.png"]
    with pytest.raises(ConfigError, match="Did you mean 'iterations'"):
        resolved_config(COUNT, "picture.png", Options(values={"iteratons": 3}))


def test_a_workspace_of_another_input_with_the_same_name_is_refused(picture, run):
    run("take")
    assert run("take").status == "up to date"
    picture.write_bytes(b"another picture")
    with pytest.raises(WorkspaceError, match="made from another input"):
        run("take")
    assert run("take", "picture.a4d").status == "up to date"


def test_settings_are_checked_before_anything_is_written(picture, run):
    with pytest.raises(ConfigError, match="iterations"):
        run(iterations=0)
    assert os.listdir(picture.parent) == ["picture.png"]


def test_dry_run_and_print_config_write_nothing(picture, run):
    outcome = run(dry_run=True, name="n")
    assert (outcome.status, outcome.outputs[-1]) == ("would run", "picture.a4d/stages/n")
    assert "run take first" in outcome.reason
    assert yaml.safe_load(resolved_config(COUNT, "picture.png", Options(assignments=("nested.rate=1",))))["nested"] == {
        "rate": 1.0
    }
    assert os.listdir(picture.parent) == ["picture.png"]
    run()
    before = tree(picture.parent)
    assert run(dry_run=True).status == "up to date"
    assert run(dry_run=True, name="n").inputs == ["images", "transforms.json"]
    assert tree(picture.parent) == before


def test_a_bug_keeps_its_traceback_and_nothing_else(picture, run):
    run()
    before = tree(picture.parent / "picture.a4d/scenes")
    with pytest.raises(A4DError, match=r"a bug in count: RuntimeError: it broke.*log.txt") as caught:
        run(fail_at=2, force=True)
    assert caught.value.exit_code == ExitCode.BUG
    log = (picture.parent / "picture.a4d/stages/count.partial/log.txt").read_text()
    assert "Traceback" in log
    assert tree(picture.parent / "picture.a4d/scenes") == before
    assert run().status == "up to date"


def test_a_bug_in_the_first_stage_leaves_a_log_and_no_workspace(picture, run, monkeypatch):
    from dataclasses import replace

    import counting

    def broken(transaction, config, runtime):
        raise KeyError("oops")

    monkeypatch.setitem(counting.STAGES, "take", replace(counting.TAKE, run=broken))
    with pytest.raises(A4DError, match=r"picture.a4d.log"):
        run()
    assert sorted(os.listdir(picture.parent)) == ["picture.a4d.log", "picture.png"]
    assert "oops" in (picture.parent / "picture.a4d.log").read_text()


@pytest.mark.parametrize(
    ("failure", "error", "text"),
    [
        ("memory", OutOfMemoryError, "--iterations"),
        ("disk", WorkspaceError, "the disk is full"),
        ("native", WorkspaceError, "the disk is full"),
    ],
)
def test_exhausted_memory_and_disk_are_one_line_and_leave_the_workspace_as_it_was(picture, run, failure, error, text):
    run("take")
    before = tree(picture.parent)
    with pytest.raises(error, match=text) as caught:
        run(fail_at=1, failure=failure)
    assert "\n" not in str(caught.value)
    assert tree(picture.parent) == before


def test_a_full_disk_during_the_commit_leaves_the_old_state(picture, run, monkeypatch):
    run()
    before = tree(picture.parent)
    from a4d.workspace import transaction

    def full(path, document):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(transaction, "write_document", full)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        run(iterations=9, force=True)
    monkeypatch.undo()
    os.chdir(picture.parent)
    assert tree(picture.parent) == before
    assert run(iterations=9, force=True).metrics["last"] == 9


def test_a_read_only_folder_is_one_line_unless_nothing_has_to_be_written(picture, run, monkeypatch):
    run()
    from a4d.running import runner

    def read_only(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(runner, "acquire", read_only)
    assert run().status == "up to date"
    with pytest.raises(WorkspaceError, match="read-only"):
        run(name="other")


def interrupt_when_begun(root, number):
    """Send a signal to this process once the run has begun."""

    def send():
        deadline = time.monotonic() + 10
        while not (root / "stages/count.partial/metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Interrupted), (signal.SIGINT, KeyboardInterrupt)])
def test_an_interrupted_run_resumes_and_ends_the_same(picture, run, number, error):
    run("take")
    root = picture.parent / "picture.a4d"
    thread = interrupt_when_begun(root, number)
    with pytest.raises(error):
        run(iterations=3_000_000)
    thread.join()
    assert not (root / "scenes").exists()
    outcome = run(iterations=3_000_000, dry_run=True)
    assert outcome.status == "would resume"
    with pytest.raises(ConfigError):
        run(iterations=-1)
    assert run(iterations=4).metrics == {"last": 4, "resumed_from": 0}  # another plan starts over


def test_a_stage_without_checkpoints_stops_at_once_and_leaves_nothing(picture, run, monkeypatch):
    from dataclasses import replace

    import counting

    def slow(transaction, config, runtime):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the signal did not stop the stage")

    run("take")
    before = tree(picture.parent)
    monkeypatch.setitem(counting.STAGES, "count", replace(COUNT, run=slow, resumable=False))
    with pytest.raises(Interrupted) as caught:
        run()
    assert caught.value.exit_code == 75
    assert tree(picture.parent) == before


def test_prompts_and_paths_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recognise("a corgi in the snow").stem == "a-corgi-in-the-snow"
    for missing in ("corgi", "my photo.png", "nowhere/img.jpg", "x.a4d"):
        with pytest.raises(MissingInputError):
            recognise(missing)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for wrong in ("notes.txt", "empty"):
        with pytest.raises(InvalidInputError):
            recognise(wrong)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/b.JPG").write_bytes(b"1")
    assert recognise("photos").kind == "images"
    (tmp_path / "photos/transforms_train.json").write_text("{}")
    assert recognise("photos").kind == "capture"
    assert recognise("photos/transforms_train.json").path.name == "photos"
    assert recognise("a" * 5000 + " b").kind == "text"


def test_a_folder_with_its_own_workspace_inside_keeps_its_identity(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(b"1")
    before = recognise(".").sha256()
    (tmp_path / "transforms.json").write_text("{}")
    first = recognise(".").sha256()
    (tmp_path / "x.a4d").mkdir()
    (tmp_path / "x.a4d/workspace.yaml").write_text("")
    assert recognise(".").sha256() == first != before
