"""WHAM's `wham_output.pkl`: people by their ids, each in the camera's frame and in a world with +Y up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a4d.geometry.bodies.root_pose import RootPose
from a4d.io.bodies.smpl_skeleton import PLACES
from a4d.io.trackers.person_track import PersonTrack, TrackCamera, TrackFile, numbers, same_length, turned_joints


def is_layout(values: Mapping[Any, Any]) -> bool:
    """Whether what a file holds are tracks of this layout."""
    people = [person for person in values.values() if isinstance(person, Mapping)]
    return bool(people) and all({"pose", "trans", "frame_ids"} <= person.keys() for person in people)


def read(file: TrackFile) -> list[PersonTrack]:
    """Read all people; a track that was lost and found again stands under several ids.

    `trans` is SMPL's own: what WHAM centres its bodies by has been taken off already. `trans_world` is not, and is read
    as the place between the hips of the mean shape. The focal length is the diagonal of the film.

    Raises:
        InvalidInputError: arrays do not fit one another.
    """
    path, values, film = file.path, file.values, file.film
    focal = math.hypot(*film)
    camera = TrackCamera(torch.tensor([[focal, focal, film[0] / 2, film[1] / 2]], dtype=torch.float64), film)
    return [_person(path, str(person), arrays, camera) for person, arrays in values.items()]


def _person(path: Path, person: str, arrays: Mapping[str, Any], camera: TrackCamera) -> PersonTrack:
    pose, translation = numbers(path, arrays, "pose", None, 72), numbers(path, arrays, "trans", None, 3)
    frames, shape = numbers(path, arrays, "frame_ids", None).long(), numbers(path, arrays, "betas", None, None)
    same_length(path, pose=pose, trans=translation, frame_ids=frames, betas=shape)
    rotations = turned_joints(path, pose)
    seen = RootPose(rotations[:, 0], translation)
    if not {"pose_world", "trans_world"} <= arrays.keys():
        return PersonTrack(person, frames, rotations, shape, in_camera=seen, camera=camera)
    world, hips = numbers(path, arrays, "pose_world", None, 72), numbers(path, arrays, "trans_world", None, 3)
    same_length(path, pose=pose, pose_world=world, trans_world=hips)
    turn, pelvis = turned_joints(path, world)[:, 0], torch.tensor(PLACES[0], dtype=torch.float64)
    below = torch.tensor(PLACES[1:3], dtype=torch.float64).mean(0) - pelvis
    place = RootPose(turn, hips - turn @ below - pelvis)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return PersonTrack(person, frames, rotations, shape, in_world=place, in_camera=seen, camera=camera, up=up)
