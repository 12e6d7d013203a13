"""Signals at every moment of a process: while it imports, while it works, and of the processes that it started."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from a4d.errors import Interrupted
from a4d.interruption import SIGNALS, StopRequest, held_back

ROOT = Path(__file__).parents[1]
CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)]

SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            print("importing", flush=True)
            for _ in range(3):
                try:
                    time.sleep(20)
                except BaseException as error:
                    raise ImportError("initialization failed") from error

sys.meta_path.insert(0, Slow())
from a4d.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_during_the_imports_ends_the_process_at_once_in_one_line(tmp_path, number, code) -> None:
    command = [sys.executable, "-c", SLOW_IMPORT, "info", "x.a4d"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)
    assert child.stdout.readline() == "importing\n"
    child.send_signal(number)
    _, err = child.communicate(timeout=15)
    assert (child.returncode, len(err.splitlines())) == (code, 1), err
    assert err.startswith("a4d: ")


DROPPING = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
except BaseException:
    dropped = True
whole = True
"""


def listen(act: Callable[[StopRequest], None], *, at_once: bool) -> None:
    stop = StopRequest()
    with pytest.raises(Interrupted), stop.listening(at_once=at_once):
        act(stop)


def test_a_signal_waits_until_an_import_is_over_which_might_drop_it(tmp_path, monkeypatch) -> None:
    (tmp_path / "dropping.py").write_text(DROPPING)
    monkeypatch.syspath_prepend(tmp_path)
    began = time.monotonic()

    def act(stop: StopRequest) -> None:
        importlib.import_module("dropping")
        time.sleep(20)

    listen(act, at_once=True)
    assert time.monotonic() - began < 10
    module = sys.modules.pop("dropping")
    assert module.whole
    assert not hasattr(module, "dropped")


def test_what_takes_every_exception_for_its_own_does_not_take_a_signal() -> None:
    def act(stop: StopRequest) -> None:
        with contextlib.suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        raise AssertionError("the signal was taken for an error")

    listen(act, at_once=True)


def test_the_same_request_passed_on_twice_is_one_and_a_later_one_acts_at_once() -> None:
    def act(stop: StopRequest) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.6)
        assert stop.signal_number == signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the second signal did nothing")

    listen(act, at_once=False)


def test_the_handlers_of_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopRequest().listening():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_signals_that_are_held_back_arrive_afterwards_and_never_in_a_process_that_was_started() -> None:
    code = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    stop = StopRequest()
    with stop.listening():
        with held_back():
            # To this thread: one of the test runner's may take what is sent to the process.
            signal.raise_signal(signal.SIGINT)
            assert stop.signal_number is None
            masked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        time.sleep(0.01)
        assert stop.signal_number == signal.SIGINT
    assert [number.name for number in SIGNALS if number.name in masked] == ["SIGINT", "SIGUSR1"]
