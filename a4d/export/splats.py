"""Gaussians for splat viewers, re-rendered from their files before these count as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from a4d.errors import QualityError
from a4d.export.subject import Subject
from a4d.geometry.assets.file_frames import UpAxis
from a4d.geometry.cameras import Cameras, turntable
from a4d.geometry.gaussians import Gaussians
from a4d.io.assets.sequences import write_gaussian_sequence
from a4d.io.gaussian_ply import write_gaussian_ply
from a4d.io.gaussian_reader import read_gaussians
from a4d.io.splat import write_splat
from a4d.metrics import psnr
from a4d.render.gaussians import render_gaussians

LOWEST_PSNR = {".ply": 40.0, ".splat": 30.0}
"""dB that a file must keep when it is read back and rendered."""

WRITERS: dict[str, Callable[[Path, Gaussians, UpAxis], None]] = {".ply": write_gaussian_ply, ".splat": write_splat}


def write_gaussian_file(path: Path, subject: Subject) -> dict[str, Any]:
    """One file of the first moment.

    Returns:
        the `gaussians` and the `psnr` in dB of the file's renders against the scene's.

    Raises:
        UsageError: the scene has no Gaussians.
        QualityError: the file does not look like the scene.
    """
    gaussians = subject.gaussians(subject.moments.times[0])
    quality = write_compared(path, gaussians, subject.splats_up)
    return {"gaussians": len(gaussians), f"{path.suffix[1:]}_psnr": quality}


def write_compared(path: Path, gaussians: Gaussians, up: UpAxis) -> float:
    """Write one file, and render it beside what it was made of.

    Returns:
        PSNR in dB.

    Raises:
        QualityError: the file does not look like them.
    """
    WRITERS[path.suffix](path, gaussians, up)
    return _compare(path, gaussians, up)


def write_gaussian_files(folder: Path, subject: Subject) -> dict[str, Any]:
    """A PLY file per moment, which SuperSplat plays.

    Raises:
        UsageError: the scene has no Gaussians.
        QualityError: a file does not look like the scene.
    """
    times, up = subject.moments.times, subject.splats_up
    paths = write_gaussian_sequence(folder, map(subject.gaussians, times), up)
    quality = min(_compare(paths[index], subject.gaussians(times[index]), up) for index in {0, len(times) - 1})
    return {"ply_frames": len(paths), "ply_sequence_psnr": quality}


def _compare(path: Path, gaussians: Gaussians, up: UpAxis) -> float:
    """PSNR in dB of four views, from what is read back."""
    cameras = _cameras(gaussians)
    degree = 0 if path.suffix == ".splat" else None
    with torch.no_grad():
        before = render_gaussians(gaussians, cameras, sh_degree=degree).rgb
        after = render_gaussians(read_gaussians(path, up), cameras, sh_degree=degree).rgb
    quality = psnr(after, before)
    lowest = LOWEST_PSNR[path.suffix]
    if quality < lowest:
        raise QualityError(f"{path.name} re-renders at {quality:.1f} dB, less than {lowest:.0f} dB")
    return min(quality, 99.0)


def _cameras(gaussians: Gaussians) -> Cameras:
    """Four views of Gaussians wherever they are."""
    centre = gaussians.means.median(dim=0).values
    distances = (gaussians.means - centre).norm(dim=1)
    radius = float(distances.quantile(0.95)) if len(distances) else 1.0
    cameras = turntable(4, 15.0, max(4.0 * radius, 1e-6), 30.0, 256)
    shifted = cameras.world_from_camera.clone()
    shifted[:, :3, 3] += centre.to(shifted)
    return Cameras(shifted, cameras.intrinsics, cameras.width, cameras.height)
