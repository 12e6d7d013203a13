"""Gaussians in the `.ply` layout of the 3D Gaussian Splatting reference software (Kerbl et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, UsageError
from a4d.geometry.assets.file_frames import SPLATS_UP, UpAxis, gaussians_for_files, gaussians_from_files
from a4d.geometry.gaussians import Gaussians
from a4d.io.arrays import numpy_from_tensor, require_finite
from a4d.io.ply.tables import read_ply_header, read_ply_table, write_ply_tables

SH_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}
"""Number of `f_rest_*` properties to the degree of the spherical harmonics."""

UP_NOTES: dict[str, UpAxis] = {f"a4d up {axis}": axis for axis in get_args(UpAxis)}
"""Comments in which a file says its axes. Those of other programs are not believed: some write one that is untrue."""


def gaussian_properties(sh_degree: int) -> list[str]:
    """The property names of a file in the order of the reference software."""
    rest = 3 * ((sh_degree + 1) ** 2 - 1)
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]


def write_gaussian_ply(path: Path, gaussians: Gaussians, up: UpAxis = SPLATS_UP) -> None:
    """Write Gaussians, unconstrained as they are optimised: opacity logits, logarithmic scales, wxyz quaternions.

    The layout stores the higher harmonics channel after channel and demands normals, which are zero.

    Args:
        path: the file.
        gaussians: with +Y up.
        up: axis of the file that points up, which a comment notes.

    Raises:
        InvalidInputError: a value is not finite.
        WorkspaceError: the file cannot be written.
    """
    values = [numpy_from_tensor(part).ravel() for part in vars(gaussians).values()]
    require_finite(path, "Gaussian", np.concatenate(values))
    gaussians, count = gaussians_for_files(gaussians, up), len(gaussians)
    sh = numpy_from_tensor(gaussians.sh)
    columns = np.concatenate(
        [
            numpy_from_tensor(gaussians.means),
            np.zeros((count, 3), np.float32),
            sh[:, 0],
            sh[:, 1:].transpose(0, 2, 1).reshape(count, -1),
            numpy_from_tensor(gaussians.opacity_logits)[:, None],
            numpy_from_tensor(gaussians.log_scales),
            numpy_from_tensor(gaussians.quaternions),
        ],
        axis=1,
    )
    record = np.dtype([(name, "f4") for name in gaussian_properties(gaussians.sh_degree)])
    table = np.ascontiguousarray(columns).view(record).reshape(count)
    write_ply_tables(path, {"vertex": table}, [note for note, axis in UP_NOTES.items() if axis == up])


def read_gaussian_ply(path: Path, up: UpAxis | None = None) -> Gaussians:
    """Read Gaussians by property name: any order, encoding and byte order; normals and other properties are ignored.

    Args:
        path: the file.
        up: axis of the file that points up; None is what its comment notes, else -Y as is the custom.

    Returns:
        with +Y up.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: no PLY, truncated, no Gaussians (a mesh or a point cloud), or not finite.
        UsageError: SuperSplat's compressed variant.
    """
    values = _values(path)
    means = np.stack([values[name] for name in "xyz"], axis=1)
    sh, quaternions = _stacked(values, "f_dc")[:, None], _stacked(values, "rot")
    if "f_rest_0" in values:
        rest = _stacked(values, "f_rest").reshape(len(means), 3, -1).transpose(0, 2, 1)
        sh = np.concatenate([sh, rest], axis=1)
    parts = (means, quaternions, _stacked(values, "scale"), values["opacity"], sh)
    for what, part in zip(("position", "rotation", "scale", "opacity", "colour"), parts, strict=True):
        require_finite(path, what, part)
    quaternions[~quaternions.any(axis=1)] = (1.0, 0.0, 0.0, 0.0)
    gaussians = Gaussians(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))
    return gaussians_from_files(gaussians, up or _noted_up(path))


def _values(path: Path) -> dict[str, NDArray[np.float32]]:
    """The properties of Gaussians, (N,) each, N > 0; what float32 cannot hold is infinite."""
    table = read_ply_table(path, "vertex")
    columns = table.columns
    if "packed_position" in columns:
        raise UsageError(
            f"{path} is a compressed splat PLY, which is not read here", "Convert it: splat-transform IN.ply OUT.ply"
        )
    rest_count = sum(name.startswith("f_rest_") for name in columns)
    if rest_count not in SH_DEGREES:
        raise InvalidInputError(f"{path} has {rest_count} f_rest properties; 0, 9, 24 or 45 make whole harmonics")
    names = [name for name in gaussian_properties(SH_DEGREES[rest_count]) if name not in ("nx", "ny", "nz")]
    missing = [name for name in names if name not in columns]
    if missing:
        raise InvalidInputError(
            f"{path} is a PLY file without Gaussians: no property {missing[0]!r}",
            "A mesh or a point cloud in PLY is a different kind of file",
        )
    if not table.element.count:
        raise InvalidInputError(f"{path} holds no Gaussians")
    with np.errstate(over="ignore", invalid="ignore"):
        return {name: columns[name].astype(np.float32) for name in names}


def _stacked(values: Mapping[str, NDArray[np.float32]], prefix: str) -> NDArray[np.float32]:
    """(N, C) the properties `PREFIX_0`, `PREFIX_1`, and so on."""
    count = sum(name.startswith(f"{prefix}_") for name in values)
    return np.stack([values[f"{prefix}_{index}"] for index in range(count)], axis=1)


def _noted_up(path: Path) -> UpAxis:
    noted = [UP_NOTES[comment] for comment in read_ply_header(path).comments if comment in UP_NOTES]
    return noted[0] if noted else SPLATS_UP
