"""What the user sees: messages and progress on standard error, results on standard output."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 30.0
"""Without a terminal, progress is a line every so often."""


_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""All that a terminal obeys rather than shows, that turns the direction of reading, or that is no character at all."""


def harmless(text: str) -> str:
    """A text of unknown origin as a terminal may show it: what it would obey is spelt as in JSON."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class SafeConsole(Console):
    """A console that takes what it is told as letters: neither as markup nor as orders to the terminal."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **settings})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield what is shown, part by part; rich's own control codes are marked as such."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


class OpenEnded:
    """A stream whose reader may leave: what nobody reads any more goes nowhere, and the work goes on.

    Args:
        stream: as Python opened it.
        loss: the errors that mean that nobody reads.
    """

    def __init__(self, stream: TextIO, loss: type[OSError] = BrokenPipeError) -> None:
        self._stream, self._loss = stream, loss

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or forget."""
        try:
            return self._stream.write(text)
        except self._loss:
            self._redirect()
            return len(text)

    def flush(self) -> None:
        """Let go of what is buffered."""
        try:
            self._stream.flush()
        except self._loss:
            self._redirect()

    def _redirect(self) -> None:
        """Lead the stream nowhere, for Python itself writes at exit what is left in it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def outlive_readers() -> None:
    """Let this process end as it would where `| head` closes its output early, or where it was given none."""
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  (until the end)
    sys.stdout = cast("TextIO", OpenEnded(sys.stdout or nowhere))
    # A full disk costs the messages; that a result could not be written has to be known.
    sys.stderr = cast("TextIO", OpenEnded(sys.stderr or nowhere, OSError))


def make_console(*, quiet: bool = False) -> Console:
    """The console for messages and progress; `NO_COLOR` and the like are respected, and quiet it shows nothing."""
    return SafeConsole(stderr=True, quiet=quiet, soft_wrap=True)


def print_result(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(f"{harmless(text)}\n")
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Write one JSON object to standard output, as the only thing there."""
    print_result(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Write a table to standard output; in a pipe it is as wide as it needs to be."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))  # before it is measured
    console = SafeConsole()
    if not console.is_terminal:
        console.width = 1000
    if title:
        console.print(title, style="bold")
    console.print(table)


def format_value(value: Any) -> str:
    """A metric for people: four significant digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Metrics on one line, but for those that are lists."""
    shown = {name: value for name, value in metrics.items() if not isinstance(value, list)}
    return "  ".join(f"{name} {format_value(value)}" for name, value in shown.items())


def format_size(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


class ConsoleHandler(logging.Handler):
    """Log messages on the console, warnings in colour."""

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message."""
        style = "yellow" if record.levelno >= logging.WARNING else "dim" if record.levelno < logging.INFO else ""
        prefix = "warning: " if record.levelno == logging.WARNING else ""
        self.console.print(f"{prefix}{record.getMessage()}", style=style)


class RateColumn(ProgressColumn):
    """Iterations per second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text(_rate(task), style="progress.data.speed")


def _rate(task: Task) -> str:
    speed = task.finished_speed or task.speed
    if not speed:
        return ""
    return f"{speed:.3g} it/s" if speed >= 1 else f"{1 / speed:.3g} s/it"


class StageProgress(Progress):
    """A bar on a terminal, a line every 30 seconds elsewhere, nothing when the console is quiet.

    A task has the field `losses`, a text that is shown behind its bar.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=console.quiet or not console.is_interactive,
        )
        self._last_line = time.monotonic()

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        """Add a task; `losses` may be left out."""
        return super().add_task(description, *args, **{"losses": "", **fields})

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task's progress or fields."""
        super().update(task_id, **changes)
        self._print_line(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Move a task forward."""
        super().advance(task_id, advance)
        self._print_line(task_id)

    def _print_line(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if not self.disable or now - self._last_line < PLAIN_SECONDS:
            return
        self._last_line = now
        task = self._tasks[task_id]
        left = f"{task.time_remaining:.0f} s left" if task.time_remaining is not None else ""
        done = f"{task.completed:.0f}/{task.total:.0f}" if task.total is not None else f"{task.completed:.0f}"
        parts = (task.description, done, _rate(task), left, task.fields.get("losses", ""))
        self.console.print("  ".join(part for part in parts if part))


def progress(console: Console) -> StageProgress:
    """The progress of a loop, used as rich's: in a `with` block, by `add_task`, `update` and `advance`."""
    return StageProgress(console)
