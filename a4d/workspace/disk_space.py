"""Room on the disk, asked for before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from a4d.errors import WorkspaceError

MEBIBYTE = 1 << 20


def require_space(folder: Path, size: int, settings: str) -> None:
    """Check that an existing folder's disk has room for what is about to be written.

    Args:
        folder: where.
        size: bytes.
        settings: that make it less, for the remedy.

    Raises:
        WorkspaceError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise WorkspaceError(
            f"the result needs about {size // MEBIBYTE} MiB and the disk has {free // MEBIBYTE} MiB free",
            f"Take less with {settings}",
        )
