"""Radiance pictures (.hdr): linear light without an upper bound."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from a4d.errors import InvalidInputError
from a4d.io.files import muted_terminal, read_bytes
from a4d.io.pictures.images import check_size
from a4d.pixels import Array

SIGNATURES = (b"#?RADIANCE", b"#?RGBE")


def read_hdr(path: Path | str) -> Array:
    """Read a Radiance picture.

    Returns:
        (H, W, 3) float32 linear RGB, not negative.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no Radiance picture, damaged, or far too large.
    """
    path = Path(path)
    content = read_bytes(path)
    if not content.startswith(SIGNATURES):
        raise InvalidInputError(f"{path} is no Radiance picture", "Give an .hdr file with an environment")
    rest = content.partition(b"\n\n")[2]
    size = rest.split(b"\n", 1)[0].split()
    try:
        height, width = int(size[1]), int(size[3])
    except (IndexError, ValueError):
        raise InvalidInputError(f"{path} is damaged: its header gives no size") from None
    check_size(path, width, height)
    try:
        with muted_terminal():
            decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    if decoded is None or decoded.ndim != 3 or not np.isfinite(decoded).all():
        raise InvalidInputError(f"{path} is damaged: it cannot be decoded")
    return np.ascontiguousarray(decoded[..., ::-1], dtype=np.float32)
