"""Where log messages go while a stage runs: the console and the run's `log.txt`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from a4d.console import ConsoleHandler, harmless


@contextmanager
def logging_to(console: Console, level: int) -> Iterator[None]:
    """Show what the package logs on the console while the block runs."""
    root = logging.getLogger("a4d")
    handler = ConsoleHandler(console, level)
    former = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(former)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Spell what a terminal would obey, for that is where logs are read."""
        return harmless(super().format(record))


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Stay silent: on a full disk the run itself reports it."""


@contextmanager
def logging_into(path: Path) -> Iterator[None]:
    """Keep what the package logs, and what Python warns of, in a file while the block runs."""
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger("a4d"), logging.getLogger("py.warnings")]
    logging.captureWarnings(True)
    for each in loggers:
        each.addHandler(handler)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for each in loggers:
            each.removeHandler(handler)
        handler.close()
