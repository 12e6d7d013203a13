"""The machine a run executes on: device, seed, threads, memory and the wish to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from rich.console import Console

from a4d.errors import BackendUnavailableError, Interrupted


@dataclass
class StopRequest:
    """Whether a signal asked the run to stop; long loops look at it between two steps."""

    signal_number: int | None = None

    @contextmanager
    def listening(self, at_once: bool = False) -> Iterator[StopRequest]:
        """Take SIGINT, SIGTERM and SIGUSR1 as requests while the block runs; a second signal acts at once.

        Args:
            at_once: nothing in the block looks at the request, so that already the first signal raises.
        """
        names = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
        former = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}

        def request(number: int, frame: FrameType | None) -> None:
            if self.signal_number is not None:
                raise KeyboardInterrupt
            self.signal_number = number
            if at_once:
                self.raise_if_requested()

        for number in former:
            signal.signal(number, request)
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def raise_if_requested(self) -> None:
        """Leave the run; call it only after a checkpoint is written.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
            Interrupted: the scheduler asked to stop.
        """
        if self.signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal_number is not None:
            raise Interrupted("stopped on request", "Run the same command again to go on")


@dataclass
class Runtime:
    """What a stage may know about its surroundings.

    Args:
        device: `cpu`, `cuda` or `cuda:N`, resolved.
        seed: every random number of a run is a function of it and of the step.
        console: standard error; results alone go to standard output.
        stop: whether to stop at the next opportunity.
    """

    device: str = "cpu"
    seed: int = 0
    console: Console = field(default_factory=lambda: Console(stderr=True))
    stop: StopRequest = field(default_factory=StopRequest)


def resolve_device(device: str) -> str:
    """`auto` becomes `cuda` where a GPU works, else `cpu`.

    Raises:
        BackendUnavailableError: CUDA was asked for and is not there.
    """
    if device == "cpu":
        return device
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device.startswith("cuda") and not available:
        raise BackendUnavailableError("no CUDA device is available", "Use --device cpu, or see `a4d doctor`")
    return device


def prepare_process() -> None:
    """Set the environment that libraries read when they are first loaded; call it before torch or numba."""
    # Two thread pools share the cores: a waiting one that spins would take them from the other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.join(cache_folder(), "kernels"))  # noqa: PTH118


def cache_folder() -> str:
    """The user's cache for compiled kernels, `$XDG_CACHE_HOME/a4d` or `~/.cache/a4d`."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return os.path.join(base, "a4d")  # noqa: PTH118


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    import platform

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
