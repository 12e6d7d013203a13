"""Gaussians at rest, and the joints that move them: what another program needs to pose an avatar by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a4d.errors import QualityError
from a4d.export.splats import write_compared
from a4d.export.subject import Subject
from a4d.geometry.assets.file_frames import frame_of_files, gaussians_for_files
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import transform_points
from a4d.io.array_files import read_arrays, write_arrays
from a4d.io.arrays import numpy_from_tensor

ARRAYS = (
    "joint_names", "joint_parents", "joints", "influences", "weights", "posed_from_rest", "seconds_per_frame",
)  # fmt: skip

CHECKED_MOMENTS = 3

LARGEST_DEVIATION = 1e-4
"""Of the first moment's Gaussians, as a share of their extent: after single precision."""


def write_canonical(path: Path, subject: Subject) -> dict[str, Any]:
    """A PLY file of the Gaussians at rest, and beside it an `.npz` of what moves them, in the same axes; see FORMAT.md.

    Returns:
        `canonical_psnr` in dB of the PLY file; and `canonical_deviation`, metres from where the scene has the
        Gaussians to where the files take them, mean over some moments: more than rounding only where their looks
        depend on the pose.

    Raises:
        UsageError: the scene's Gaussians hang on no joints.
        QualityError: what is read back differs, or does not move as the scene does.
    """
    skinned, posable = subject.skinned_gaussians(), subject.posable
    assert posable is not None
    motion, rest = posable.motion(subject.moments.times), posable.skeleton.rest_world.double().cpu()
    file_from_world = frame_of_files(subject.splats_up)
    if subject.frame_from_world is not None:
        file_from_world = file_from_world @ subject.frame_from_world
    moved = motion.world_from_joint.double() @ torch.linalg.inv(rest)
    influences = Influences.strongest(skinned.weights, int((skinned.weights > 0).sum(1).max()))
    table = path.with_suffix(".npz")
    write_arrays(
        table,
        {
            "joint_names": np.array(motion.skeleton.names, np.str_),
            "joint_parents": numpy_from_tensor(motion.skeleton.parents, np.int64),
            "joints": numpy_from_tensor(transform_points(file_from_world, rest[:, :3, 3])),
            "influences": numpy_from_tensor(influences.joints, np.int64),
            "weights": numpy_from_tensor(influences.weights),
            "posed_from_rest": numpy_from_tensor(file_from_world @ moved @ torch.linalg.inv(file_from_world)),
            "seconds_per_frame": np.array(subject.moments.seconds_per_frame),
        },
    )
    quality = write_compared(path, skinned.gaussians, subject.splats_up)
    deviation = _deviation(table, gaussians_for_files(skinned.gaussians, subject.splats_up), subject)
    return {"canonical_psnr": quality, "canonical_deviation": deviation}


def _deviation(table: Path, gaussians: Gaussians, subject: Subject) -> float:
    """Metres, mean, after moving the Gaussians at rest by what is read back.

    Raises:
        QualityError: they are elsewhere at the first moment.
    """
    arrays = read_arrays(table, ARRAYS, "skin")
    weights, joints, moved = (torch.from_numpy(arrays[name]) for name in ("weights", "influences", "posed_from_rest"))
    count = len(subject.moments.times)
    apart: list[Tensor] = []
    for moment in sorted({0, count // 2, count - 1}):
        truth = gaussians_for_files(subject.gaussians(subject.moments.times[moment]), subject.splats_up).means
        apart.append((linear_blend_skinning(gaussians.means, weights, moved[moment], joints) - truth).norm(dim=1))
    size = float((gaussians.means.amax(0) - gaussians.means.amin(0)).norm())
    if float(apart[0].max()) > LARGEST_DEVIATION * size:
        raise QualityError(f"{table.name} moves Gaussians to {float(apart[0].max()):.2g} from their places")
    return float(torch.cat(apart).mean())
