"""The entry point: every way in which a command can end becomes an exit code and at most one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

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
    except Exception as error:  # the last resort: whatever else happens is a bug, and the user gets one line
        return _fail(f"a bug: {type(error).__name__}: {error} (--debug shows where)", ExitCode.BUG, debug=debug)
    return ExitCode.DONE


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"a4d: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
