"""Every error a user can cause, each with its exit code and a remedy of one line."""

from __future__ import annotations

import signal
from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes of every `a4d` command."""

    DONE = 0
    BUG = 1
    USAGE = 2
    INVALID = 3
    MISSING_INPUT = 4
    UNAVAILABLE = 5
    OUT_OF_MEMORY = 6
    QUALITY = 7
    INTERRUPTED = 75
    CTRL_C = 130


class A4DError(Exception):
    """An expected failure, shown to the user as one line.

    Args:
        problem: what is wrong, naming the file, key or value.
        remedy: what to do about it; empty where the problem says it all.
    """

    exit_code = ExitCode.BUG

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}" if self.remedy else self.problem


class UsageError(A4DError):
    """Options that contradict each other or do not apply to this input."""

    exit_code = ExitCode.USAGE


class ConfigError(A4DError):
    """A configuration with an unknown key or a value out of range."""

    exit_code = ExitCode.INVALID


class InvalidInputError(A4DError):
    """An input file that is damaged, of the wrong kind, or unusable for the purpose."""

    exit_code = ExitCode.INVALID


class OutsideError(InvalidInputError):
    """A path in a file, or a link, that leads out of the folder that it may speak of."""


class SurfaceVanishedError(InvalidInputError):
    """An implicit surface that has no inside left, or that leaves its grid."""


class WorkspaceError(A4DError):
    """A workspace that is locked, of a future version, inconsistent, or cannot be written."""

    exit_code = ExitCode.INVALID


class MissingInputError(A4DError):
    """A required input does not exist yet; the remedy names the command that makes it."""

    exit_code = ExitCode.MISSING_INPUT


class BackendUnavailableError(A4DError):
    """A backend, optional dependency or weight file is not available."""

    exit_code = ExitCode.UNAVAILABLE


class OutOfMemoryError(A4DError):
    """Host or device memory ran out; the remedy names the knobs that reduce it."""

    exit_code = ExitCode.OUT_OF_MEMORY


class QualityError(A4DError):
    """The result misses a quality gate."""

    exit_code = ExitCode.QUALITY


class Interrupted(A4DError):  # noqa: N818  (an interruption is not an error)
    """The run was asked to stop and left a checkpoint to resume from."""

    exit_code = ExitCode.INTERRUPTED


class Cancelled(A4DError):  # noqa: N818  (likewise)
    """The user pressed Ctrl-C."""

    exit_code = ExitCode.CTRL_C


def stopped_by(number: int) -> A4DError:
    """What a signal ends a command with."""
    if number == signal.SIGINT:
        return Cancelled("interrupted")
    return Interrupted("stopped on request", "Run the same command again to go on")
