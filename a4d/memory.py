"""What settings ask of memory at the least, held against what the machine has left before any work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from a4d.errors import OutOfMemoryError

TRAINED_NUMBER = 16
"""Bytes of a single-precision parameter with its gradient and Adam's two moments."""

PICTURE_PIXEL = 16
"""Bytes of a pixel of a picture in memory: red, green, blue and alpha in single precision."""


@dataclass(frozen=True)
class Demand:
    """Memory that is needed at one time with all other demands of a run.

    Args:
        setting: what asks for it, such as `scene`, or `views.novel`.
        bytes: at the least.
        on_device: of the device that the run computes on; otherwise of the machine.
    """

    setting: str
    bytes: int
    on_device: bool = True


def require_memory(work: str, demands: Iterable[Demand], device: str = "cpu", knobs: Iterable[str] = ()) -> None:
    """Refuse work that cannot fit, before it begins.

    Args:
        work: what would run, named in the message.
        demands: all of its demands.
        device: that it computes on, `cpu` or `cuda`.
        knobs: the settings that reduce them; of a section such as `scene`, those that begin with its name.

    Raises:
        OutOfMemoryError: more is needed than there is; names the largest demand, both numbers and its knobs.
    """
    asked = list(demands)
    on_card = [demand for demand in asked if demand.on_device and device != "cpu"]
    on_machine = [demand for demand in asked if demand not in on_card]
    for part, place in ((on_card, device), (on_machine, "cpu")):
        needed = sum(demand.bytes for demand in part)
        # Nothing is refused over less than what every process takes anyhow; asking the machine costs time, too.
        free = available_bytes(place) if needed > 1 << 28 else None
        if free is not None and needed > free:
            largest = max(part, key=lambda demand: demand.bytes)
            section = largest.setting.split(".")[0]
            fitting = [knob for knob in knobs if knob.split(".")[0] == section] or list(knobs) or [largest.setting]
            raise OutOfMemoryError(
                f"{work} needs at least {in_words(needed)} of memory, most of it for '{largest.setting}', "
                f"and {in_words(free)} are free on {'this machine' if place == 'cpu' else place}",
                f"Lower {' or '.join(fitting)}",
            )


def in_words(count: int) -> str:
    """A number of bytes as people say it."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.3g} {units[0]}" if size < 1000 else f"{size:,.0f} {units[0]}"


def available_bytes(device: str = "cpu") -> int | None:
    """What a process may still take of a device's memory; None where nobody tells."""
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    limits = [_free_on_system(), *_free_in_groups(), _free_of_address_space()]
    return min((limit for limit in limits if limit is not None), default=None)


def _free_on_system() -> int | None:
    """The kernel's own estimate, or all there is where the kernel gives none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        return values["MemAvailable"] + values.get("SwapFree", 0)
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_groups() -> list[int]:
    """What the control groups of this process leave it, as containers and schedulers set them."""
    try:
        entries = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    free = []
    for _, controllers, path in (entry for entry in entries if len(entry) == 3):
        if controllers == "":
            root, limit, usage, cache = Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"
        elif controllers == "memory":
            root, limit, usage = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        # Within a container the path may be that of the host, and the root be the container's own group.
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(root):
                break
            try:
                most, used = int((group / limit).read_text()), int((group / usage).read_text())
                counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            free.append(max(most - used + int(counts.get(cache, 0)), 0))
    return free


def _free_of_address_space() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return max(soft - pages * resource.getpagesize(), 0)
    except (ImportError, OSError, ValueError):
        return None
