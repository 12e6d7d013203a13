"""What the user sees: messages and progress on standard error, results on standard output."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
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
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 30.0
"""Without a terminal, progress is a line every so often."""


def make_console(*, quiet: bool = False) -> Console:
    """The console for messages and progress; `NO_COLOR` and the like are respected, and quiet it shows nothing."""
    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)


def print_result(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(f"{text}\n")


def print_json(value: Any) -> None:
    """Write one JSON object to standard output, as the only thing there."""
    print_result(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Write a table to standard output; in a pipe it is as wide as it needs to be."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000
    if title:
        console.print(title, style="bold", markup=False)
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
        self.console.print(f"{prefix}{escape(record.getMessage())}", style=style)


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
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
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
        self.console.print("  ".join(part for part in parts if part), markup=False)


def progress(console: Console) -> StageProgress:
    """The progress of a loop, used as rich's: in a `with` block, by `add_task`, `update` and `advance`."""
    return StageProgress(console)
