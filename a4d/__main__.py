"""The entry point: every way in which a command can end becomes an exit code and at most one line."""

from __future__ import annotations

import os
import signal
import sys

from a4d.errors import A4DError, ExitCode, stopped_by

TYPE_CHECKING = False
if TYPE_CHECKING:  # what takes time to import comes after the handlers
    from collections.abc import Sequence
    from types import FrameType


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; without `arguments` it is this process's, which ends with it."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    former = {number: signal.signal(number, _end_at_once) for number in numbers}
    try:
        if arguments is not None:
            return _run(list(arguments))
        from a4d.console import outlive_readers

        outlive_readers()
        return _run(sys.argv[1:])
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if arguments is None else handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """End this process while it holds nothing, but imports and reads arguments.

    An exception would come out of the middle of an import, as whatever that makes of it.
    """
    ending = stopped_by(number)
    os.write(2, f"a4d: {ending}\n".encode())
    os._exit(ending.exit_code)


def _run(arguments: list[str]) -> int:
    from a4d.runtime import prepare_process

    prepare_process()
    from a4d.cli import run

    debug = "--debug" in arguments
    try:
        return run(arguments)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else ExitCode.DONE
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.CTRL_C, debug=debug)
    except A4DError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except Exception as error:  # the last resort
        return _fail_unexpectedly(error, debug=debug)


def _fail_unexpectedly(error: Exception, *, debug: bool) -> int:
    """What a disk can do to any command is said as such; whatever else happens is a bug, and the user gets one line."""
    from pathlib import Path

    from a4d.workspace.files import storage_error

    if storage := storage_error(error, Path("the output")):
        return _fail(str(storage), storage.exit_code, debug=debug)
    return _fail(f"a bug: {type(error).__name__}: {error} (--debug shows where)", ExitCode.BUG, debug=debug)


def _fail(message: str, code: int, *, debug: bool) -> int:
    from a4d.console import harmless

    if debug:
        import traceback

        sys.stderr.write(harmless(traceback.format_exc()))
    if message:
        sys.stderr.write(f"a4d: {harmless(' '.join(message.split()))}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
