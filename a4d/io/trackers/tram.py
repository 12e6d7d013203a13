"""TRAM's `hps_track_*.npy`, a file per person, and `camera.npy` beside or above them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.transforms import invert_rigid, rigid_from_parts
from a4d.io.files import natural_key
from a4d.io.pickled_arrays import read_pickled_values
from a4d.io.trackers.person_track import PersonTrack, TrackCamera, TrackFile, numbers, same_length

CAMERA = "camera.npy"


def files_in(folder: Path) -> list[Path]:
    """The tracks in a folder of results, or in its `hps`."""
    places = (folder, folder / "hps")
    return sorted((file for place in places for file in place.glob("hps_track_*.npy")), key=natural_key)


def is_layout(values: Mapping[Any, Any]) -> bool:
    """Whether what a file holds is a track of this layout."""
    return {"pred_rotmat", "pred_shape", "pred_trans", "frame"} <= values.keys()


def read(file: TrackFile) -> list[PersonTrack]:
    """Read one person, in the camera's frame of each moment; a camera that moves does so in a world without gravity.

    Raises:
        InvalidInputError: arrays do not fit one another.
        MissingInputError: there is no camera.
    """
    path, values = file.path, file.values
    rotations, shape = (
        numbers(path, values, "pred_rotmat", None, 24, 3, 3),
        numbers(path, values, "pred_shape", None, 10),
    )
    places = np.asarray(values["pred_trans"])
    translation = numbers(path, {"pred_trans": places.reshape(len(places), -1)}, "pred_trans", None, 3)
    frames = numbers(path, values, "frame", None).long()
    same_length(path, pred_rotmat=rotations, pred_shape=shape, pred_trans=translation, frame=frames)
    seen, person = RootPose(rotations[:, 0], translation), path.stem.rpartition("_")[2]
    return [PersonTrack(person, frames, rotations, shape, in_camera=seen, camera=_camera(path, frames))]


def _camera(path: Path, frames: torch.Tensor) -> TrackCamera:
    file = next((folder / CAMERA for folder in path.absolute().parents[:2] if (folder / CAMERA).is_file()), None)
    if file is None:
        raise MissingInputError(f"there is no {CAMERA} beside {path} or above it", "Put TRAM's camera there")
    values = read_pickled_values(file, "camera")
    if not isinstance(values, Mapping) or "img_focal" not in values:
        raise InvalidInputError(f"{file} is no camera of TRAM: it has no 'img_focal'")
    focal = float(numbers(file, {"img_focal": np.ravel(values["img_focal"])[:1]}, "img_focal", 1))
    centre = numbers(file, values, "img_center", 2)
    intrinsics = torch.cat([torch.tensor([focal, focal], dtype=torch.float64), centre])[None]
    width, height = (2 * centre).round().long().tolist()
    rotation, position = numbers(file, values, "pred_cam_R", None, 3, 3), numbers(file, values, "pred_cam_T", None, 3)
    same_length(file, pred_cam_R=rotation, pred_cam_T=position)
    if int(frames.max()) >= len(rotation) or int(frames.min()) < 0:
        raise InvalidInputError(f"{path} speaks of frame {int(frames.max())}, and {file} has {len(rotation)} cameras")
    return TrackCamera(intrinsics, (width, height), invert_rigid(rigid_from_parts(rotation, position))[frames])
