"""Signals that ask a process to stop, once it has something to leave in order."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from a4d.errors import ExitCode, stopped_by

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
ECHO_SECONDS = 0.5
"""A terminal, a scheduler and a recipe may each pass the same request on: what follows so soon is no second one."""
RETRY_SECONDS = 0.02

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Whether a signal asked the run to stop; long loops look at it between two steps."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._when = 0.0

    @contextmanager
    def listening(self, at_once: bool = False) -> Iterator[StopRequest]:
        """Take SIGINT, SIGTERM and SIGUSR1 as requests while the block runs; a second signal acts at once.

        Args:
            at_once: nothing in the block looks at the request, so that already the first signal ends the block.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the block.
            Interrupted: the scheduler did.
        """

        def request(number: int, frame: FrameType | None) -> None:
            """Note the signal; end the block where it is to end at once, or was asked for twice."""
            is_first = self.signal_number is None
            if not (is_first or self._is_second()):
                return
            if (at_once or not is_first) and (_blocks or _swallows(frame)):
                _send_again(number)
                return
            self.signal_number, self._when = number, time.monotonic()
            if at_once or not is_first:
                # No `Exception`, which whatever is being called might take for a failure of its own.
                raise KeyboardInterrupt

        with _handling(request):
            try:
                yield self
            except KeyboardInterrupt:
                self.raise_if_requested()
                raise

    def raise_if_requested(self) -> None:
        """Leave the run; call it only after a checkpoint is written.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
            Interrupted: the scheduler asked to stop.
        """
        if self.signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal_number is not None:
            raise stopped_by(self.signal_number)

    def _is_second(self) -> bool:
        return time.monotonic() - self._when > ECHO_SECONDS


_blocks: list[object] = []
"""One entry for each block that holds signals back."""


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait while the block runs; processes that it starts never get any but SIGTERM.

    A terminal and a scheduler send theirs to every process, of which one alone has to answer. Here SIGTERM waits too,
    which ends a started process, and so does what another thread of this process receives in spite of the mask.
    """
    has_masks = hasattr(signal, "pthread_sigmask")
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS} - {signal.SIGTERM}) if has_masks else set()
    _blocks.append(former)
    try:
        yield
    finally:
        _blocks.pop()
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)


def end_with(parent: Connection) -> None:
    """End this process when the other end of a pipe is closed, as it is by the end of its holder, however sudden.

    Args:
        parent: the end that is read; nothing is ever sent.
    """

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            parent.recv()
        os._exit(ExitCode.INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _handling(handler: Handler) -> Iterator[None]:
    former = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in former.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)


def _swallows(frame: FrameType | None) -> bool:
    """Whether an exception would get lost on its way: in an import, whose native code drops it, or in a finaliser."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    timer = threading.Timer(RETRY_SECONDS, _send, (number,))
    timer.daemon = True
    timer.start()


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # raised in this thread it would not wake the main one
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
