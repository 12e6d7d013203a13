"""Moving Gaussians as a sequence of files, one per frame, whatever changes between frames."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.assets.file_frames import SPLATS_UP, UpAxis
from a4d.io.gaussian_ply import write_gaussian_ply

if TYPE_CHECKING:
    from a4d.geometry.gaussians import Gaussians

NUMBERED = re.compile(r"(.*?)(\d+)(\.compressed)?\.(ply|obj)", re.IGNORECASE)
"""How SuperSplat and Blender's importers recognise the frames of a sequence: by the number at the end."""


def write_gaussian_sequence(folder: Path, frames: Iterable[Gaussians], up: UpAxis = SPLATS_UP) -> list[Path]:
    """Write Gaussians as `frame_00000.ply` and so on, which SuperSplat plays when the folder is dropped on it.

    Args:
        folder: without frames yet.
        frames: with +Y up, written as they come.
        up: axis of the files that points up.

    Returns:
        The files, in order.

    Raises:
        UsageError: the folder already holds frames, among which those of a shorter sequence would be lost.
        InvalidInputError: there is no frame, or a value is not finite.
        WorkspaceError: a file cannot be written.
    """
    if sequence_files(folder):
        raise UsageError(f"{folder} already holds the frames of a sequence", "Choose an empty folder")
    paths = []
    for number, frame in enumerate(frames):
        paths.append(folder / f"frame_{number:05d}.ply")
        write_gaussian_ply(paths[-1], frame, up)
    if not paths:
        raise InvalidInputError(f"there is no frame to write into {folder}")
    return paths


def sequence_files(folder: Path) -> list[Path]:
    """The frames of a sequence in the order in which players show them: by the number that ends their names.

    Args:
        folder: may be missing, and then holds none.
    """
    if not folder.is_dir():
        return []
    numbered = [(NUMBERED.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    return [path for _, path in sorted((int(match[2]), path) for match, path in numbered if match is not None)]
