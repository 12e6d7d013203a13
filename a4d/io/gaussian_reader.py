"""Gaussians from a file of any kind that is read here."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import UsageError
from a4d.geometry.assets.file_frames import UpAxis
from a4d.geometry.gaussians import Gaussians
from a4d.io.gaussian_ply import read_gaussian_ply
from a4d.io.splat import read_splat

READERS = {".ply": read_gaussian_ply, ".splat": read_splat}
CONVERTED_ELSEWHERE = {
    ".spz": "splat-transform IN.spz OUT.ply",
    ".ksplat": "splat-transform IN.ksplat OUT.ply",
    ".sog": "splat-transform IN.sog OUT.ply",
}


def read_gaussians(path: Path, up: UpAxis | None = None) -> Gaussians:
    """Read Gaussians from `.ply` or `.splat`, chosen by suffix.

    Args:
        path: the file.
        up: axis of the file that points up; None is what it says itself, else -Y as is the custom.

    Returns:
        with +Y up.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: the file is damaged or holds no Gaussians.
        UsageError: a format that another program converts.
    """
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix](path, up)
    remedy = CONVERTED_ELSEWHERE.get(suffix)
    raise UsageError(
        f"{path}: {suffix or 'a file without a suffix'} is not a Gaussian format that is read here",
        f"Convert it: {remedy}" if remedy else "Use .ply or .splat",
    )
