"""Checkpoints of PyTorch kept as safetensors in the user's cache, from where they are read without a copy in memory."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from a4d.errors import BackendUnavailableError, WorkspaceError
from a4d.io.tensor_files import write_tensors
from a4d.io.weight_files import map_checkpoint, read_weights

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


def read_converted(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name; a checkpoint is converted when it is first read, and its copy from then on.

    Args:
        path: as `a4d.io.weight_files.read_weights` takes it.

    Raises:
        BackendUnavailableError: the file is missing, damaged, or holds Python objects besides tensors.
    """
    if path.suffix == ".safetensors" or not path.is_file():
        return read_weights(path)
    copy = _copy(path)
    if copy.is_file():
        try:
            return read_weights(copy)
        except BackendUnavailableError:
            logger.warning("%s is damaged and is made anew", copy)
    try:
        # Nothing holds on to the checkpoint when its copy is opened.
        write_tensors(copy, map_checkpoint(path))
    except WorkspaceError as error:
        logger.warning("%s; %s is converted anew in every run", error.problem, path)
        return map_checkpoint(path)
    return read_weights(copy)


def _copy(path: Path) -> Path:
    """Where the copy of a file lies, by the file's place, size and time."""
    status = path.stat()
    identity = repr((str(path.resolve()), status.st_size, status.st_mtime_ns)).encode("utf-8", "surrogateescape")
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "a4d" / "weights" / f"{path.stem}-{hashlib.sha256(identity).hexdigest()[:16]}.safetensors"
