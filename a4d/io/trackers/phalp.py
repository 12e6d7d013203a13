"""4D-Humans' tracks, as PHALP stores them: a dictionary by frame, each with a list of people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.io.trackers.person_track import PersonTrack, TrackCamera, TrackFile, numbers

FOCAL_RATIO = 5000 / 256
"""Focal length over the longer side of the film: the network's own camera, of 5000 pixels in a square of 256."""


def is_layout(values: Mapping[Any, Any]) -> bool:
    """Whether what a file holds are tracks of this layout."""
    frames = [frame for frame in values.values() if isinstance(frame, Mapping)]
    return bool(frames) and len(frames) == len(values) and all({"smpl", "camera", "tid"} <= f.keys() for f in frames)


def read(file: TrackFile) -> list[PersonTrack]:
    """Read all people, each by its `tid`; moments at which one was not seen but foretold are left out.

    Raises:
        InvalidInputError: the frames hold no people, or damaged ones.
    """
    path, values, film = file.path, file.values, file.film
    people: dict[str, list[tuple[int, Any, Any]]] = defaultdict(list)
    for index, name in enumerate(sorted(values, key=str)):
        frame = values[name]
        for place, person in enumerate(frame["tid"]):
            foretold = frame.get("tracked_time", [])
            if place < len(foretold) and foretold[place]:
                continue
            try:
                people[str(int(person))].append((index, frame["smpl"][place], frame["camera"][place]))
            except (IndexError, KeyError, TypeError, ValueError):
                raise InvalidInputError(f"{path}: frame {name!s:.60} tells less of a person than it names") from None
        sizes = frame.get("size")
        if sizes is not None and len(sizes):
            height, width = numbers(path, {"size": sizes[0]}, "size", 2).tolist()
            film = int(width), int(height)
    focal = FOCAL_RATIO * max(film)
    camera = TrackCamera(torch.tensor([[focal, focal, film[0] / 2, film[1] / 2]], dtype=torch.float64), film)
    return [_person(path, person, seen, camera) for person, seen in people.items()]


def _person(path: Path, person: str, seen: list[tuple[int, Any, Any]], camera: TrackCamera) -> PersonTrack:
    rotations, shapes, places = [], [], []
    for _, smpl, place in seen:
        if not isinstance(smpl, Mapping):
            raise InvalidInputError(f"{path}: a person has no pose of SMPL")
        parts = numbers(path, smpl, "global_orient", 1, 3, 3), numbers(path, smpl, "body_pose", 23, 3, 3)
        rotations.append(torch.cat(parts))
        shapes.append(numbers(path, smpl, "betas", None))
        places.append(numbers(path, {"camera": place}, "camera", 3))
    frames, joints = torch.tensor([index for index, _, _ in seen]), torch.stack(rotations)
    pose = RootPose(joints[:, 0], torch.stack(places))
    return PersonTrack(person, frames, joints, torch.stack(shapes), in_camera=pose, camera=camera)
