"""`a4d weights` as a user calls it."""

import json
import os
import subprocess
import sys

import pytest

from a4d.errors import ExitCode


@pytest.fixture
def a4d(tmp_path):
    """The command in a process of its own, with an empty cache and no network allowed."""

    def run(*arguments):
        environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "a4d", "weights", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    return run


def test_the_list_names_size_licence_and_recipe(a4d):
    result = a4d("list")
    assert result.returncode == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("modelscope-1.7b")]
    assert "3.67 GB" in line
    assert "CC-BY-NC-4.0" in line
    assert "animate124" in line
    assert "not here" in line


def test_a_recipe_lists_what_it_uses_as_json(a4d):
    rows = json.loads(a4d("list", "animate124", "--json").stdout)["weights"]
    assert [row["name"] for row in rows] == [
        "stable-diffusion-1.5",
        "zero123-xl",
        "modelscope-1.7b",
        "controlnet-tile",
    ]


def test_failures_are_one_line_with_their_exit_codes(a4d, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        (("check", "zero123-xl"), ExitCode.UNAVAILABLE, "a4d weights fetch zero123-xl"),
        (("check", "zero123-xl", "--weights", f"zero123-xl={empty}"), ExitCode.UNAVAILABLE, "holds no model"),
        (("fetch", "zero123-xl"), ExitCode.UNAVAILABLE, "HF_HUB_OFFLINE"),
        (("fetch",), ExitCode.USAGE, "a4d weights list"),
        (("list", "zero123-xxl"), ExitCode.INVALID, "Did you mean 'zero123-xl'"),
    ]
    for arguments, code, words in cases:
        result = a4d(*arguments)
        assert result.returncode == code, result.stderr
        last = [line for line in result.stderr.splitlines() if line.startswith("a4d: ")]
        assert len(last) == 1
        assert words in last[0]
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "cache" / "hub").exists() or not list((tmp_path / "cache" / "hub").rglob("*.incomplete"))
