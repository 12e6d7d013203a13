"""The command line from the outside: streams, exit codes, flags, and what is imported."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import counting
import pytest
import yaml

from a4d import cli
from a4d.__main__ import main
from a4d.commands import table
from a4d.errors import ExitCode

ROOT = Path(__file__).parents[1]


@pytest.fixture
def a4d(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder, with the stages of `counting`; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setitem(table.STAGES, "preprocess", ("counting:TAKE", ""))
    monkeypatch.setitem(table.STAGES, "fit-static", ("counting:COUNT", ""))
    stages = {**counting.STAGES, "preprocess": counting.TAKE, "fit-static": counting.COUNT}
    monkeypatch.setattr(table, "find_stage", stages.__getitem__)
    (tmp_path / "picture.png").write_bytes(b"pixels")

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_stage_prints_one_line_and_is_quiet_on_request(a4d):
    code, out, err = a4d("fit-static", "picture.png", "--iterations", 3, "--device", "cpu")
    assert code == 0
    assert out.startswith("count done in")
    assert "last 3" in out
    assert "take came first: frames 2" in err
    code, out, err = a4d("fit-static", "picture.png", "--iterations", 3, "-q")
    assert (code, out, err) == (0, "", "")
    assert a4d("fit-static", "picture.a4d", "--iterations", 3)[1] == "count is up to date in picture.a4d\n"
    code, out, err = a4d("fit-static", "picture.a4d", "-q")
    assert (code, out) == (3, "")
    assert "iterations: 3 -> 5" in err


def test_json_is_one_object_and_nothing_else_on_stdout(a4d):
    code, out, _ = a4d("fit-static", "picture.png", "--json", "--device", "cpu")
    assert code == 0
    answer = json.loads(out)
    assert {"stage", "status", "outputs", "metrics", "seconds", "peak_memory_mb"} <= answer.keys()
    assert answer["status"] == "done"
    assert all(Path(path).is_file() for path in answer["outputs"])
    assert json.loads(a4d("fit-static", "picture.png", "--json")[1])["status"] == "up to date"
    assert json.loads(a4d("info", "picture.a4d", "--json")[1])["runs"][1]["status"] == "current"


def test_file_flag_and_set_win_in_that_order(a4d, tmp_path):
    (tmp_path / "c.yaml").write_text("iterations: 3\nfailure: x\nnested: {rate: 2}\nlevel: 4")
    code, out, _ = a4d(
        "fit-static", "picture.png", "--config", "c.yaml", "--iterations", 4, "--failure", "y", "--fast",
        "--set", "nested.rate=3", "--set", "iterations=6", "--print-config",
    )  # fmt: skip
    assert code == 0
    config = yaml.safe_load(out)
    assert (config["iterations"], config["failure"], config["level"]) == (6, "y", 4)
    assert (config["fast"], config["nested"], config["fail_at"]) == (True, {"rate": 3.0}, None)
    out = a4d("fit-static", "picture.png", "--level", 7, "--from", "other", "--no-fast", "--print-config")[1]
    assert (yaml.safe_load(out)["level"], yaml.safe_load(out)["from_scene"]) == (7, "other")
    assert yaml.safe_load(a4d("fit-static", "picture.png", "--level", "auto", "--print-config")[1])["level"] == "auto"
    assert sorted(os.listdir(tmp_path)) == ["c.yaml", "picture.png"]


def test_dry_run_lists_inputs_outputs_and_decision(a4d, tmp_path):
    code, out, _ = a4d("fit-static", "picture.png", "--dry-run")
    assert code == 0
    assert "would run" in out
    assert "picture.a4d/scenes/count" in out
    assert os.listdir(tmp_path) == ["picture.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit-static", "nothing.png"), ExitCode.MISSING_INPUT, "no file or folder 'nothing.png'"),
        (("fit-static", "picture.png", "--set", "nested.raet=1"), ExitCode.INVALID, "Did you mean 'rate'?"),
        (("fit-static", "picture.png", "--set", "iteratons=1"), ExitCode.INVALID, "Did you mean 'iterations'?"),
        (("fit-static", "picture.png", "--config", "no.yaml"), ExitCode.INVALID, "no.yaml"),
        (("preprocess", "picture.png", "--matting", "magic"), ExitCode.INVALID, "'alpha' or 'colour'"),
        (("fit-static", "picture.png", "--device", "tpu"), ExitCode.USAGE, "--device 'tpu'"),
        (("fit-static", "picture.png", "--name", "a b"), ExitCode.USAGE, "letters"),
        (
            ("fit-static", "picture.png", "--fail-at", "1", "--failure", "memory"),
            ExitCode.OUT_OF_MEMORY,
            "--iterations",
        ),
        (("fit-static", "picture.png", "--fail-at", "1"), ExitCode.BUG, "log.txt"),
        (("fit-static", "picture.png", "--fail-at", "1", "--failure", "disk"), ExitCode.INVALID, "disk is full"),
        (("info", "picture.png"), ExitCode.MISSING_INPUT, "no workspace"),
        (("validate", "nowhere.a4d"), ExitCode.MISSING_INPUT, "no workspace"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(a4d, arguments, code, message):
    if "--fail-at" in arguments:
        assert a4d("preprocess", "picture.png", "--device", "cpu")[0] == 0
        arguments = (*arguments, "--device", "cpu")
    found, out, err = a4d(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "Traceback" in a4d(*arguments, "--debug")[2]


@pytest.mark.parametrize("arguments", [("fit-static",), ("fit-statci", "x"), ("fit-static", "x", "--nope"), ("info",)])
def test_usage_errors_exit_with_2(a4d, arguments):
    code, out, err = a4d(*arguments)
    assert (code, out) == (2, "")
    assert err
    if arguments[0] == "fit-statci":
        assert "fit-static" in err


def test_help_names_every_flag_with_its_description_and_default(a4d):
    code, out, _ = a4d("fit-static", "--help")
    assert code == 0
    for text in ("--iterations", "How far to count.", "[default: (5)]", "--fast", "--from", "a4d count picture.png"):
        assert text in out
    assert "--nested" not in out
    out = a4d("preprocess", "--help")[1]
    assert "--from" not in out.replace("--from-", "")
    assert "alpha|colour" in out


def test_validate_lists_every_problem(a4d, tmp_path):
    assert a4d("fit-static", "picture.png", "--device", "cpu")[0] == 0
    root = tmp_path / "picture.a4d"
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]
    (root / "extra").mkdir()
    (root / "scenes/count/scene.yaml").write_text("config: {}")
    (root / "scenes/count/tensors.safetensors").write_bytes((10**6).to_bytes(8, "little"))
    frames = [
        {"file_path": "images/00000.png", "transform_matrix": matrix},
        {"file_path": "images/missing.png", "transform_matrix": matrix, "time": 0.5},
        {"file_path": "images/00000.png", "transform_matrix": [[2 * v for v in row] for row in matrix]},
        {"file_path": "images/00000.png", "transform_matrix": matrix, "time": 3},
        {"file_path": "images/00000.png", "transform_matrix": matrix, "fl_x": 0},
    ]
    (root / "transforms.json").write_text(json.dumps({"frames": frames, "w": 4, "h": 4, "fl_x": 5}))
    code, out, err = a4d("validate", root, "--json")
    report = json.loads(out)
    assert code == 3
    assert not report["valid"]
    text = "\n".join(report["problems"])
    for part in (
        "5 frames, and workspace.yaml says 2",
        "00000.png cannot be read",
        "missing.png is missing",
        "no rigid 4x4",
        "'time' is 3",
        "no positive fl_x",
        "no 'kind'",
        "its header would be",
        "scenes/count/scene.yaml: not what 'count' wrote",
    ):
        assert part in text
    assert "extra: not part of the format" in "\n".join(report["warnings"])
    assert "problems" in err


def test_doctor_says_what_is_there_and_why_something_is_not(a4d, monkeypatch, tmp_path):
    from a4d.commands import doctor

    (tmp_path / "fragile.py").write_text("raise OSError('libcuda.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "BACKENDS", {"fragile": "a test", "not_there_at_all": "a test", "json": "a test"})
    code, out, _ = a4d("doctor", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["backends"]["fragile"]["reason"].startswith("libcuda.so")
    assert "not_there_at_all" in facts["backends"]["not_there_at_all"]["reason"]
    assert facts["backends"]["json"]["available"]
    assert facts["ffmpeg"]["version"]
    assert facts["cores"] >= 1
    assert facts["libraries"]["torch"]
    assert "fragile" in a4d("doctor")[1]


def python(*arguments, **environment):
    """A fresh interpreter, so that what it imports is known."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_loads_nothing_heavy():
    result = python("-X", "importtime", "-m", "a4d", "--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in (*table.STAGES, *table.COMMANDS))
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "a4d.cli" in loaded
    heavy = {"torch", "numpy", "scipy", "numba", "PIL", "diffusers", "yaml", "a4d.stages", "a4d.running.runner"}
    assert not heavy & loaded


ENDLESS = """
import sys, time
from dataclasses import replace
import counting
from a4d.__main__ import main
from a4d.commands import table

def count(transaction, config, runtime):
    print("counting", flush=True)
    while runtime.stop.signal_number is None:
        time.sleep(0.01)
    (transaction.checkpoint / "state").write_text("1")
    runtime.stop.raise_if_requested()

stages = {"preprocess": counting.TAKE, "fit-static": replace(counting.COUNT, run=count), "take": counting.TAKE}
table.find_stage = stages.__getitem__
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_after_a_checkpoint_with_its_exit_code(tmp_path, number, code):
    (tmp_path / "picture.png").write_bytes(b"pixels")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/workspace'}"}
    command = [sys.executable, "-c", ENDLESS, "fit-static", "picture.png", "--device", "cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)
    assert child.stdout.readline() == "counting\n"
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert "Traceback" not in err
    root = tmp_path / "picture.a4d"
    assert (root / "stages/count.partial/checkpoint/state").exists()
    assert not (root / ".lock").exists()


def test_version_completion_and_a_closed_pipe():
    assert python("-m", "a4d", "--version").stdout.startswith("a4d ")
    words = python("-m", "a4d", _A4D_COMPLETE="complete_bash", COMP_WORDS="a4d val", COMP_CWORD="1")
    assert words.stdout.split() == ["validate"]
    pipe = f"set -o pipefail; {sys.executable} -m a4d --help | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    closed = subprocess.run(["bash", "-c", pipe], env=environment, capture_output=True, text=True, timeout=60)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_the_tables_of_commands_name_things_that_exist():
    for name in table.COMMANDS:
        module = table.COMMANDS[name][0].partition(":")[0].replace(".", "/")
        if (ROOT / f"{module}.py").exists():
            assert cli.load_command(name).name == name


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("preprocess", "{}"), "TARGET"),
        (("fit-static", "{}", "--force"), "TARGET"),
        (("preprocess", "picture.png", "--mask", "{}"), "--mask"),
        (("preprocess", "picture.png", "--mask={}"), "--mask"),
        (("preprocess", "picture.png", "--set", "copies=1", "--set", "{}"), "--set"),
        (("info", "{}"), "WORKSPACE"),
        (("make-dataset", "a.glb", "{}", "--output", "set"), "INPUTS"),
        (("make-dataset", "a.glb", "--output", "{}"), "--output"),
    ],
)
def test_nothing_is_no_argument(a4d, tmp_path, arguments, named, blank):
    code, out, err = a4d(*(argument.format(blank) for argument in arguments))
    assert (code, out, err) == (2, "", f"a4d: {named} is empty\n")
    assert os.listdir(tmp_path) == ["picture.png"]


def commands_in(text):
    """What a message says to run."""
    return [shlex.split(command)[1:] for command in re.findall(r"`(a4d [^`]*)`", text)]


@pytest.mark.parametrize("stem", ["-x", "--help", "my fox", "$(touch x)", "it's", "[red]fox"])
def test_a_file_of_any_name_becomes_a_workspace_and_commands_that_are_named_can_be_run(a4d, tmp_path, stem):
    (tmp_path / f"{stem}.png").write_bytes(b"pixels")
    code, out, err = a4d("preprocess", f"./{stem}.png", "--device", "cpu")
    assert (code, err) == (0, "")
    assert shlex.split(out.partition(": ")[2].partition("  ")[0]) == [as_given(f"{stem}.a4d")]
    assert (tmp_path / f"{stem}.a4d" / "workspace.yaml").is_file()
    code, out, err = a4d("evaluate", f"./{stem}.a4d")
    assert code == ExitCode.MISSING_INPUT
    ((stage, target),) = commands_in(err)
    assert (stage, target) == ("fit-static", as_given(f"{stem}.a4d"))
    assert a4d(stage, target, "--device", "cpu")[0] == 0
    assert f"{stem}.a4d" in a4d("info", target)[1]


def as_given(name):
    return f"./{name}" if name.startswith("-") else name


def test_names_that_are_too_long_are_shortened_or_refused(a4d, tmp_path):
    for letter in "aé":
        name = letter * (240 // len(letter.encode()))
        (tmp_path / f"{name}.png").write_bytes(b"pixels")
        assert a4d("fit-static", f"{name}.png", "--device", "cpu")[0] == 0
        assert a4d("fit-static", f"{name}.png")[1].startswith("count is up to date in ")
    words = "supercalifragilistic " * 30
    assert a4d("preprocess", f"{words}one", "--dry-run")[0] == 0
    assert a4d("preprocess", f"{words}one", "--dry-run")[1] != a4d("preprocess", f"{words}two", "--dry-run")[1]
    long = "x" * 300
    for arguments, expected in (
        (("preprocess", f"{long}.png"), ExitCode.MISSING_INPUT),
        (("fit-static", "picture.png", "--name", long), ExitCode.USAGE),
        (("preprocess", "picture.png", "--config", long), ExitCode.INVALID),
        (("info", long), ExitCode.MISSING_INPUT),
    ):
        code, out, err = a4d(*arguments)
        assert (code, out, err.count("\n")) == (expected, "", 1), err
    assert a4d("fit-static", "picture.png", "--name", "лиса-бежит", "--device", "cpu")[0] == 0


def test_what_is_in_a_name_cannot_order_the_terminal_about(a4d, tmp_path):
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe"
    (tmp_path / f"{evil}.png").write_bytes(b"bad")
    (tmp_path / "good.png").write_bytes(b"pixels")
    shown = [
        a4d("preprocess", f"{evil}.png"),
        a4d("preprocess", f"{evil}.jpeg"),
        a4d("preprocess", "good.png", f"{evil}"),
        a4d("preprocess", "good.png", "--debug", "--matting", evil),
        a4d("info", evil),
        a4d(evil),
    ]
    assert all(code in (2, 3, 4) for code, _, _ in shown)
    (tmp_path / f"{evil}.png").write_bytes(b"pixels")
    shown += [a4d("fit-static", f"{evil}.png", "--device", "cpu"), a4d("fit-static", f"{evil}.png", "--json")]
    shown += [a4d("info", f"{evil}.a4d"), a4d("info", f"{evil}.a4d", "--json")]
    assert [code for code, _, _ in shown[6:]] == [0] * 4
    for _, out, err in shown:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out + err)
        assert re.search(r"\\(u00|x)1b]0;title", out + err)
    assert json.loads(shown[-1][1])["path"] == f"{evil}.a4d"
