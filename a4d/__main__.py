"""The entry point: every way in which a command can end becomes an exit code and at most one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from a4d.errors import A4DError, ExitCode
from a4d.runtime import prepare_process


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    prepare_process()
    from a4d.cli import app

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        app(args=arguments, prog_name="a4d")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else ExitCode.DONE
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.CTRL_C, debug=debug)
    except BrokenPipeError:
        # Whoever read the output has enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except A4DError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except Exception as error:  # the last resort
        return _fail_unexpectedly(error, debug=debug)
    return ExitCode.DONE


def _fail_unexpectedly(error: Exception, *, debug: bool) -> int:
    """What a disk can do to any command is said as such; whatever else happens is a bug, and the user gets one line."""
    from a4d.workspace.files import storage_error

    if storage := storage_error(error, Path.cwd()):
        return _fail(str(storage), storage.exit_code, debug=debug)
    return _fail(f"a bug: {type(error).__name__}: {error} (--debug shows where)", ExitCode.BUG, debug=debug)


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"a4d: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
