"""What the user sees while a loop runs, on a terminal and off it."""

import io
import time

import pytest
from rich.console import Console

from a4d import console as module
from a4d.console import format_size, make_console, print_table, progress


def count(console, steps=4):
    with progress(console) as bar:
        task = bar.add_task("optimise", total=steps)
        for step in range(steps):
            time.sleep(0.002)
            bar.update(task, completed=step + 1, losses=f"rgb [{step}]")


def test_without_a_terminal_progress_is_a_line_every_so_often(monkeypatch):
    stream = io.StringIO()
    count(Console(file=stream))
    assert stream.getvalue() == ""
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    count(Console(file=stream, width=200))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("optimise  2/4")
    assert "it/s" in lines[-1]
    assert lines[-1].endswith("rgb [3]")


def test_on_a_terminal_it_is_a_bar_and_quiet_it_is_nothing(monkeypatch):
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    stream = io.StringIO()
    count(Console(file=stream, force_terminal=True, width=120, color_system=None))
    assert "optimise" in stream.getvalue()
    assert "\x1b[?25l" in stream.getvalue()
    quiet = make_console(quiet=True)
    quiet.file = io.StringIO()
    count(quiet)
    assert quiet.file.getvalue() == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (3e13, "30 TB")]
)
def test_sizes_are_in_the_unit_that_suits_them(size, text):
    assert format_size(size) == text


def test_a_table_in_a_pipe_is_not_cut(capsys):
    long = "x" * 300
    print_table(("a", "b"), [(long, "[not markup]")], title="a [title]")
    out = capsys.readouterr().out
    assert out.startswith("a [title]\n")
    assert long in out
    assert "[not markup]" in out
