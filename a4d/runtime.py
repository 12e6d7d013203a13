"""The machine a run executes on: device, seed, threads and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from rich.console import Console

from a4d.errors import BackendUnavailableError
from a4d.interruption import StopRequest


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
    # Open3D brings an older TBB, of which numba would find and say that it is of no use.
    os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    import platform

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def release_freed_memory() -> None:
    """Give the system back what this process has freed; nothing happens where the C library cannot.

    Up to version 2.37 glibc leaves splinters behind the aligned blocks of tensors, and what is freed between them is
    hardly ever used again: over hundreds of pictures that are read and compared it adds up to more than the pictures.
    """
    if os.name != "posix":
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
