"""Gaussians in `.splat` files, the headerless 32-byte records of antimatter15's viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.assets.file_frames import SPLATS_UP, UpAxis, gaussians_for_files, gaussians_from_files
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.io.arrays import numpy_from_tensor, require_finite
from a4d.io.files import read_bytes, write_bytes

RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
"""Position and linear scale in metres, sRGB and opacity, quaternion wxyz as `128 + 128 q`."""

SMALLEST_SCALE = 1e-9
"""Metres; a file may say zero, whose logarithm is not finite."""


def write_splat(path: Path, gaussians: Gaussians, up: UpAxis = SPLATS_UP) -> None:
    """Write Gaussians, the largest and most opaque first as streaming viewers want; only their constant colour is kept.

    Args:
        path: the file.
        gaussians: with +Y up.
        up: axis of the file that points up, which it cannot note.

    Raises:
        InvalidInputError: a value is not finite.
        WorkspaceError: the file cannot be written.
    """
    require_finite(path, "position", numpy_from_tensor(gaussians.means))
    gaussians = gaussians_for_files(gaussians.detach().to("cpu"), up)
    importance = gaussians.log_scales.sum(-1).exp() * gaussians.opacities
    gaussians = gaussians[torch.argsort(importance, descending=True, stable=True)]
    quaternions = torch.nn.functional.normalize(gaussians.quaternions, dim=-1)
    rgba = torch.cat([gaussians.colours, gaussians.opacities[:, None]], dim=-1)
    records = np.empty(len(gaussians), RECORD)
    records["position"] = numpy_from_tensor(gaussians.means)
    records["scale"] = numpy_from_tensor(gaussians.scales)
    require_finite(path, "scale", records["scale"])
    for what, values in (("rotation", quaternions), ("colour", rgba)):
        require_finite(path, what, numpy_from_tensor(values))
    records["rgba"] = numpy_from_tensor((rgba * 255).round(), np.uint8)
    records["rotation"] = numpy_from_tensor((quaternions * 128 + 128).round().clamp(0, 255), np.uint8)
    write_bytes(path, records.tobytes())


def read_splat(path: Path, up: UpAxis | None = None) -> Gaussians:
    """Read Gaussians of degree 0.

    Opacities 0 and 1 are moved half a quantum inward, so that their logits are finite.

    Args:
        path: the file.
        up: axis of the file that points up; None is -Y as is the custom.

    Returns:
        with +Y up.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: no whole number of records, or values that no splat has.
    """
    content = read_bytes(path)
    if not content or len(content) % RECORD.itemsize:
        raise InvalidInputError(f"{path} is no .splat file: {len(content)} bytes are not whole 32-byte records")
    records = np.frombuffer(content, RECORD)
    for field in ("position", "scale"):
        require_finite(path, field, records[field])
    if (records["scale"] < 0).any():
        raise InvalidInputError(f"{path} is no .splat file: it has negative scales")
    rgba = torch.from_numpy(records["rgba"].astype(np.float32) / 255)
    quaternions = (records["rotation"].astype(np.float32) - 128) / 128
    quaternions[~quaternions.any(axis=1)] = (1.0, 0.0, 0.0, 0.0)
    gaussians = Gaussians(
        means=torch.from_numpy(records["position"].astype(np.float32)),
        quaternions=torch.nn.functional.normalize(torch.from_numpy(quaternions), dim=-1),
        log_scales=torch.from_numpy(np.log(np.maximum(records["scale"].astype(np.float32), SMALLEST_SCALE))),
        opacity_logits=torch.logit(rgba[:, 3].clamp(0.5 / 255, 254.5 / 255)),
        sh=sh_from_colours(rgba[:, :3])[:, None],
    )
    return gaussians_from_files(gaussians, up or SPLATS_UP)
