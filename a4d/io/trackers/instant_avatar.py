"""InstantAvatar's pose files, `cameras.npz` beside them: the format in which people datasets are exchanged."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.io.array_files import array_names, read_arrays
from a4d.io.trackers.person_track import (
    LARGEST,
    PersonTrack,
    TrackCamera,
    numbers,
    pinhole,
    same_length,
    turned_joints,
)

CAMERAS = "cameras.npz"

POSES = ("poses_optimized.npz", "poses.npz")
"""Of a whole sequence, the better first."""


def is_archive(names: list[str]) -> bool:
    """Whether an archive with arrays of these names holds poses of this layout."""
    return "transl" in names and ("thetas" in names or {"global_orient", "body_pose"} <= set(names))


def is_folder(folder: Path) -> bool:
    """Whether a folder holds poses of a whole sequence."""
    return any((folder / name).is_file() for name in POSES)


def read_folder(folder: Path) -> list[PersonTrack]:
    """Read the poses of a whole sequence; see `read_archive`."""
    return read_archive(next(folder / name for name in POSES if (folder / name).is_file()))


def read_archive(path: Path) -> list[PersonTrack]:
    """Read one person, row i in frame i, in the world of `cameras.npz` beside the file or a folder above.

    Raises:
        InvalidInputError: the arrays do not fit one another.
        MissingInputError: there are no cameras.
    """
    names = array_names(path)
    wanted = ["transl", *(("thetas",) if "thetas" in names else ("global_orient", "body_pose"))]
    arrays = read_arrays(path, wanted, "poses", ("betas",), LARGEST)
    if "thetas" in arrays:
        vectors = numbers(path, arrays, "thetas", None, None)
    else:
        parts = numbers(path, arrays, "global_orient", None, 3), numbers(path, arrays, "body_pose", None, None)
        same_length(path, global_orient=parts[0], body_pose=parts[1])
        vectors = torch.cat(parts, dim=1)
    translation = numbers(path, arrays, "transl", None, 3)
    same_length(path, poses=vectors, transl=translation)
    shape = torch.zeros(0, dtype=torch.float64)
    if "betas" in arrays:
        arrays["betas"] = arrays["betas"].reshape(-1, arrays["betas"].shape[-1])
        shape = numbers(path, arrays, "betas", None, None)
    rotations = turned_joints(path, vectors)
    root = RootPose(rotations[:, 0], translation)
    return [PersonTrack("0", torch.arange(len(vectors)), rotations, shape, in_world=root, camera=_camera(path))]


def _camera(path: Path) -> TrackCamera:
    for folder in path.absolute().parents[:2]:
        if (folder / CAMERAS).is_file():
            return read_camera(folder / CAMERAS)
    raise MissingInputError(f"there is no {CAMERAS} beside {path}", "Put the camera of the sequence there")


def read_camera(path: Path) -> TrackCamera:
    """Read the one camera of a sequence: intrinsic, extrinsic (world to camera, OpenCV), height and width.

    Raises:
        InvalidInputError: it is no camera.
    """
    arrays = read_arrays(path, ("intrinsic", "extrinsic", "height", "width"), "camera", largest=LARGEST)
    intrinsic = numbers(path, arrays, "intrinsic", 3, 3)
    size = int(numbers(path, arrays, "width")), int(numbers(path, arrays, "height"))
    return TrackCamera(pinhole(intrinsic)[None], size, extrinsic(path, arrays["extrinsic"])[None])


def extrinsic(path: Path, matrix: object) -> Tensor:
    """(4, 4) camera_from_world of a matrix in a file.

    Raises:
        InvalidInputError: it is no rotation and translation.
    """
    values = numbers(path, {"extrinsic": matrix}, "extrinsic", 4, 4)
    rotation = values[:3, :3]
    if not torch.allclose(rotation @ rotation.T, torch.eye(3).double(), atol=1e-3) or torch.linalg.det(rotation) < 0:
        raise InvalidInputError(f"{path}: 'extrinsic' is no rotation and translation")
    return values
