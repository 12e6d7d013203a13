"""`a4d doctor`: what this machine has, what is missing and why, and the kernels compiled ahead."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from a4d import __version__
from a4d.console import format_size, make_console, print_json, print_result, print_table
from a4d.kernel_cache import cache_folder
from a4d.workspace.files import files_below

LIBRARIES = (
    "torch",
    "numpy",
    "numba",
    "scipy",
    "opencv-python-headless",
    "trimesh",
    "safetensors",
    "pydantic",
    "typer",
)
BACKENDS = {
    "gsplat": "Gaussian rasterisation on CUDA",
    "tinycudann": "hash-grid encoding on CUDA",
    "nvdiffrast": "visibility of meshes on CUDA; plain torch without it",
    "h5py": "preprocess of a sequence of People-Snapshot",
    "pycolmap": "estimate-pose --method colmap",
    "open3d": "export --surface poisson",
    "rembg": "preprocess --matting rembg",
    "ai_edge_litert": "preprocess --matting person",
}
WARM_UPS = (
    "a4d.render.gaussians_numba:warm_up",
    "a4d.render.ssim:warm_up",
    "a4d.render.mesh:warm_up",
    "a4d.render.encoding_numba:warm_up",
    "a4d.geometry.reconstruction.fusion:warm_up",
    "a4d.geometry.reconstruction.visual_hull:warm_up",
)
"""Functions that compile the kernels of a module, or load them from the cache."""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    warm_up: Annotated[bool, typer.Option("--warm-up", help="Compile all kernels into the cache now.")] = False,
) -> None:
    """Show versions, devices, optional backends with the reason where one is missing, and caches."""
    facts: dict[str, Any] = {}
    if warm_up:
        with make_console().status("compiling kernels"):
            facts["warm_up_seconds"] = warm_up_kernels()
    facts = {**gather(), **facts}
    if json:
        print_json(facts)
    else:
        _print(facts)


def warm_up_kernels() -> dict[str, float]:
    """Compile every kernel, or load it from the cache; seconds by function."""
    seconds = {}
    for target in WARM_UPS:
        module, _, function = target.partition(":")
        began = time.monotonic()
        getattr(importlib.import_module(module), function)()
        seconds[target] = round(time.monotonic() - began, 2)
    return seconds


def gather() -> dict[str, Any]:
    """Everything that `a4d doctor` tells, as plain values."""
    return {
        "a4d": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": _cores(),
        "memory_bytes": _memory(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "devices": _devices(),
        "backends": {name: probe(name) for name in BACKENDS},
        "ffmpeg": _ffmpeg(),
        "caches": _caches(),
    }


def probe(module: str) -> dict[str, Any]:
    """Whether an optional backend can be imported: its version, or the reason why not.

    Some of them raise `OSError` where a driver or system library is missing.
    """
    try:
        imported = importlib.import_module(module)
    except (ImportError, OSError) as error:
        return {"available": False, "reason": str(error).splitlines()[0]}
    return {"available": True, "version": str(getattr(imported, "__version__", "") or _version(module))}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    """Physical memory in bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _devices() -> list[dict[str, Any]]:
    import torch

    devices: list[dict[str, Any]] = [{"device": "cpu", "name": platform.processor() or platform.machine()}]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        devices.append({"device": f"cuda:{index}", "name": facts.name, "memory_bytes": facts.total_memory})
    return devices


def _ffmpeg() -> dict[str, Any]:
    import imageio_ffmpeg

    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        first = subprocess.run([path, "-version"], capture_output=True, text=True, check=True, timeout=20).stdout
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return {"available": False, "reason": str(error).splitlines()[0]}
    return {"available": True, "path": path, "version": first.split()[2]}


def _caches() -> dict[str, dict[str, Any]]:
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")  # noqa: PTH111, PTH118
    folders = {"kernels": cache_folder(), "weights": Path(home)}
    return {
        name: {"path": str(folder), "bytes": sum(file.stat().st_size for file in files_below(folder))}
        if folder
        else {"path": "", "bytes": 0}
        for name, folder in folders.items()
    }


def _print(facts: dict[str, Any]) -> None:
    memory = format_size(facts["memory_bytes"])
    print_result(f"a4d {facts['a4d']}, Python {facts['python']}, {facts['platform']}")
    print_result(f"{facts['cores']} cores, {memory} of memory\n")
    print_table(("library", "version"), [(name, version or "missing") for name, version in facts["libraries"].items()])
    devices = [
        (item["device"], item["name"], format_size(item["memory_bytes"]) if "memory_bytes" in item else "")
        for item in facts["devices"]
    ]
    print_result("")
    print_table(("device", "name", "memory"), devices)
    rows = [(name, _availability(item), BACKENDS[name]) for name, item in facts["backends"].items()]
    rows.append(("ffmpeg", _availability(facts["ffmpeg"]), "videos in and out"))
    print_result("")
    print_table(("optional", "state", "for"), rows)
    print_result("")
    print_table(
        ("cache", "size", "path"),
        [(k, format_size(v["bytes"]), v["path"] or "nowhere") for k, v in facts["caches"].items()],
    )
    for target, seconds in facts.get("warm_up_seconds", {}).items():
        print_result(f"\nwarmed up {target} in {seconds:.2f} s")


def _availability(item: dict[str, Any]) -> str:
    if not item["available"]:
        return f"no: {item['reason']}"
    return " ".join(filter(None, ("yes", item["version"], item.get("path", ""))))
