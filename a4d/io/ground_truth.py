"""What is known exactly of the subject of rendered frames: its surface and its joints at every moment."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import deform, pose
from a4d.io.files import atomic_path, require_file

ARRAYS = ("seconds", "vertices", "faces", "joint_names", "joint_parents", "world_from_joint")


@dataclass(frozen=True)
class GroundTruth:
    """A subject at T moments.

    Args:
        seconds: (T,) float64 in the clip's own time.
        vertices: (T, V, 3) float32 world, metres; row v is the same material point at all times.
        faces: (F, 3) int64, counter-clockwise from outside.
        joint_names: (J,) text.
        joint_parents: (J,) int64 index of each joint's parent, -1 for a root.
        world_from_joint: (T, J, 4, 4) float32 affine; metres.
    """

    seconds: NDArray[np.float64]
    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    joint_names: NDArray[np.str_]
    joint_parents: NDArray[np.int64]
    world_from_joint: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: two arrays disagree on the number of moments or joints.
        """
        count, joints = len(self.seconds), len(self.joint_names)
        if self.vertices.shape[:1] != (count,) or self.vertices.ndim != 3:
            raise ValueError(f"expected vertices ({count}, V, 3), got {self.vertices.shape}")
        if self.joint_parents.shape != (joints,) or self.world_from_joint.shape != (count, joints, 4, 4):
            raise ValueError(f"{joints} joint names do not fit world_from_joint {self.world_from_joint.shape}")


def ground_truth(
    asset: Asset,  # placed in the world
    clip: Clip | None,  # None is the rest pose
    seconds: Tensor,  # (T,) float64 in the clip's own time
) -> GroundTruth:
    """Surface and joints of an asset at T moments."""
    nodes = asset.shown_joints()
    skeleton = asset.skeleton_of(nodes) if nodes else None
    surfaces = [deform(asset, clip, second) for second in seconds.tolist()]
    poses = [pose(asset, clip, second).world_from_node[nodes].float() for second in seconds.tolist()]
    return GroundTruth(
        seconds=seconds.numpy(),
        vertices=torch.stack([surface.vertices for surface in surfaces]).numpy(),
        faces=surfaces[0].faces.numpy(),
        joint_names=np.array(skeleton.names if skeleton else [], dtype=np.str_),
        joint_parents=(skeleton.parents if skeleton else torch.zeros(0, dtype=torch.int64)).numpy(),
        world_from_joint=torch.stack(poses).numpy(),
    )


def write_ground_truth(path: Path, truth: GroundTruth) -> None:
    """Write an uncompressed `.npz`, whole or not at all.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: getattr(truth, name) for name in ARRAYS})


def read_ground_truth(path: Path) -> GroundTruth:
    """Read what `write_ground_truth` wrote.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, holds Python objects, or lacks an array.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return GroundTruth(**{name: _read_array(archive, name) for name in ARRAYS})
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} holds no ground truth that can be read: {error.problem}") from None
    except Exception as error:  # a damaged archive provokes nearly every type there is
        raise InvalidInputError(f"{path} is damaged: it is no archive of arrays that can be read") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array of an `.npz`, of which no more is taken than the archive stores.

    Raises:
        InvalidInputError: it is missing, compressed, damaged, of Python objects or without the numbers it promises.
    """
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise InvalidInputError(f"it has no '{name}'") from None
    if member.compress_type != zipfile.ZIP_STORED:
        raise InvalidInputError(f"'{name}' is compressed")
    with archive.open(member) as stream:
        read_header = (
            np.lib.format.read_array_header_1_0
            if np.lib.format.read_magic(stream) == (1, 0)
            else (np.lib.format.read_array_header_2_0)
        )
        shape, is_fortran, dtype = read_header(stream)
        if dtype.hasobject or dtype.names:
            raise InvalidInputError(f"'{name}' holds Python objects")
        content = stream.read()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise InvalidInputError(f"'{name}' of shape {shape!s:.60} has {len(content)} bytes")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
    return values.copy()
