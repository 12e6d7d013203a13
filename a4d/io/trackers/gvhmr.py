"""GVHMR's `hmr4d_results.pt`: one person in the camera's frame and in a world with +Y up, of SMPL-X without hands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.trackers.person_track import (
    PersonTrack,
    TrackCamera,
    TrackFile,
    numbers,
    pinhole,
    same_length,
    turned_joints,
)

IN_CAMERA, IN_WORLD = "smpl_params_incam", "smpl_params_global"


def is_layout(values: Mapping[Any, Any]) -> bool:
    """Whether what a file holds is a track of this layout."""
    return f"{IN_CAMERA}.body_pose" in values and "K_fullimg" in values


def read(file: TrackFile) -> list[PersonTrack]:
    """Read the one person; the images are twice as large as their principal point is far from the corner.

    Raises:
        InvalidInputError: tensors do not fit one another.
    """
    path, values = file.path, file.values
    joints, root, translation = _pose(path, values, IN_CAMERA)
    intrinsics = pinhole(numbers(path, values, "K_fullimg", len(joints), 3, 3))
    width, height = (2 * intrinsics[0, 2:]).round().long().tolist()
    shape = numbers(path, values, f"{IN_CAMERA}.betas", None, None)
    camera, frames = TrackCamera(intrinsics, (width, height)), torch.arange(len(joints))
    rotations = turned_joints(path, torch.cat([root, joints], 1))
    seen = RootPose(rotations[:, 0], translation)
    if f"{IN_WORLD}.global_orient" not in values:
        return [PersonTrack("0", frames, rotations, shape, in_camera=seen, camera=camera)]
    others, turn, place = _pose(path, values, IN_WORLD)
    same_length(path, incam=joints, **{"global": others})
    root_in_world = RootPose(rotation_from_axis_angle(turn), place)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return [PersonTrack("0", frames, rotations, shape, root_in_world, seen, camera, up)]


def _pose(path: Path, values: Mapping[str, Any], frame: str) -> tuple[Tensor, Tensor, Tensor]:
    """(T, 63) joints, (T, 3) root and (T, 3) translation in one of the two frames."""
    joints = numbers(path, values, f"{frame}.body_pose", None, 63)
    root, place = (numbers(path, values, f"{frame}.{name}", None, 3) for name in ("global_orient", "transl"))
    same_length(path, body_pose=joints, global_orient=root, transl=place)
    return joints, root, place
