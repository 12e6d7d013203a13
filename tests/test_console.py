"""What the user sees while a loop runs, on a terminal and off it."""

import io
import json
import logging
import os
import re
import time

import pytest
from rich.console import Console

from a4d import console as module
from a4d.console import (
    ConsoleHandler,
    OpenEnded,
    SafeConsole,
    format_size,
    make_console,
    print_json,
    print_result,
    print_table,
    progress,
)


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


EVIL = "a[red]b\x1b[2J\u202ec\x9bd"
SPELT = "a[red]b\\u001b[2J\\u202ec\\u009bd"


def test_a_terminal_shows_foreign_text_and_does_not_obey_it(capsys):
    stream = io.StringIO()
    console = make_console()
    console.file = stream
    handler = ConsoleHandler(console, logging.INFO)
    handler.emit(logging.LogRecord("a4d", logging.WARNING, "", 0, EVIL, (), None))
    assert stream.getvalue() == f"warning: {SPELT}\n"
    print_table(("a",), [(EVIL,)], title=EVIL)
    print_result(EVIL)
    print_json({"name": EVIL})
    out = capsys.readouterr().out
    assert out.count(SPELT) == 4
    assert "\x1b" not in out
    assert json.loads(out.splitlines()[-1])["name"] == EVIL


def test_a_bar_shows_foreign_text_and_does_not_obey_it():
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=150, color_system=None)
    with progress(console) as bar:
        bar.update(bar.add_task(EVIL, total=2), losses=EVIL)
    shown = re.sub(r"\x1b\[(\?25[lh]|2K|1A)|\r", "", stream.getvalue())
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("a[red]b") >= 2


class Closed(io.StringIO):
    """A stream that nobody reads, on a file of its own."""

    def __init__(self, path):
        super().__init__()
        self.descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)

    def fileno(self):
        return self.descriptor

    def write(self, text):
        raise BrokenPipeError

    flush = write


def test_a_reader_that_leaves_costs_the_output_alone(tmp_path):
    closed = Closed(tmp_path / "pipe")
    stream = OpenEnded(closed)
    assert stream.write("text") == 4
    assert os.readlink(f"/proc/self/fd/{closed.descriptor}") == os.devnull
    assert not stream.isatty()
