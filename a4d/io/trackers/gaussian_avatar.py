"""GaussianAvatar's folders: `smpl_parms.pth` beside `cam_parms.npz`, or a camera per frame in `cam_parms/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.io.array_files import read_arrays
from a4d.io.captures.capture import image_size
from a4d.io.files import natural_key
from a4d.io.pictures.images import list_images
from a4d.io.trackers.instant_avatar import extrinsic
from a4d.io.trackers.person_track import (
    LARGEST,
    PersonTrack,
    TrackCamera,
    TrackFile,
    numbers,
    pinhole,
    same_length,
    turned_joints,
)

POSES = ("smpl_parms.pth", "smpl_parms_pred.pth", "smplx_parms.pth", "smplx_parms_pred.pth")
CAMERA = "cam_parms.npz"


def is_layout(values: Mapping[str, Any]) -> bool:
    """Whether what a file holds are poses of this layout."""
    return {"beta", "body_pose", "trans"} <= values.keys()


def poses_in(folder: Path) -> Path | None:
    """The pose file of a folder; None where it has none."""
    return next((folder / name for name in POSES if (folder / name).is_file()), None)


def read(file: TrackFile) -> list[PersonTrack]:
    """Read one person, row i in frame i by the images' names, in the world of the cameras beside the file.

    Raises:
        InvalidInputError: the arrays do not fit one another.
        MissingInputError: there are no cameras, or no images that would tell their size.
    """
    path, values = file.path, file.values
    vectors, translation = numbers(path, values, "body_pose", None, None), numbers(path, values, "trans", None, 3)
    same_length(path, body_pose=vectors, trans=translation)
    shape = numbers(path, values, "beta", None, None)[0]
    rotations = turned_joints(path, vectors)
    root, camera = RootPose(rotations[:, 0], translation), _camera(path, len(vectors))
    return [PersonTrack("0", torch.arange(len(vectors)), rotations, shape, in_world=root, camera=camera)]


def _camera(path: Path, count: int) -> TrackCamera:
    folder = path.absolute().parent
    files = sorted((folder / "cam_parms").glob("*.npz"), key=natural_key)
    files = files or [folder / CAMERA]
    if not files[0].is_file():
        raise MissingInputError(f"there is no {CAMERA} beside {path}", "Put the camera of the sequence there")
    if len(files) not in (1, count):
        raise InvalidInputError(f"{folder / 'cam_parms'} has {len(files)} cameras for {count} poses")
    intrinsics, poses = [], []
    for file in files:
        arrays = read_arrays(file, ("intrinsic", "extrinsic"), "camera", largest=LARGEST)
        intrinsics.append(pinhole(numbers(file, arrays, "intrinsic", 3, 3)))
        poses.append(extrinsic(file, arrays["extrinsic"]))
    size = image_size(list_images(folder / "images")[0])
    return TrackCamera(torch.stack(intrinsics), size, torch.stack(poses))
