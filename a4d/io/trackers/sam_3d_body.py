"""SAM 3D Body's results, an archive per picture and person: the keypoints of its body, in the camera's frame."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path

import torch

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.pose_of_points import pose_of_points
from a4d.io.array_files import array_names, read_arrays
from a4d.io.bodies.smpl_skeleton import mean_smpl
from a4d.io.files import natural_key
from a4d.io.trackers.person_track import LARGEST, PersonTrack, TrackCamera, numbers

KEYPOINTS = {
    "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4, "left_shoulder": 5, "right_shoulder": 6,
    "left_elbow": 7, "right_elbow": 8, "left_hip": 9, "right_hip": 10, "left_knee": 11, "right_knee": 12,
    "left_ankle": 13, "right_ankle": 14, "left_big_toe": 15, "right_big_toe": 18, "right_wrist": 41, "left_wrist": 62,
}  # fmt: skip
"""Places of the body's joints among the 70 keypoints."""

NAME = re.compile(r"(?P<picture>.+?)(?:_(?:subj|person)?(?P<person>\d+))?")
"""How a file is called: like its picture, and by the person's number where it has one."""

NEEDED = ("pred_keypoints_3d", "pred_cam_t")


def files_in(folder: Path) -> list[Path]:
    """The results in a folder, told by the first archive in it."""
    files = sorted(folder.glob("*.npz"), key=natural_key)
    return files if files and is_archive(array_names(files[0])) else []


def is_archive(names: list[str]) -> bool:
    """Whether an archive with arrays of these names holds a result of this layout."""
    return set(NEEDED) <= set(names)


def read_files(files: list[Path], film: tuple[int, int]) -> list[PersonTrack]:
    """Read all people; pictures in the order of their names are the frames of the film.

    The pose is that of SMPL's joints that has the limbs where the keypoints are. Where the focal length is not told it
    is the diagonal of the film.

    Args:
        files: each of one person in one picture.
        film: width, height in pixels.

    Raises:
        InvalidInputError: an array has another shape than it should.
    """
    people: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in files:
        told = NAME.fullmatch(file.stem)
        assert told is not None
        people[told["person"] or "0"][told["picture"]] = file
    pictures = sorted(
        {picture for seen in people.values() for picture in seen}, key=lambda name: natural_key(Path(name))
    )
    return [_person(person, seen, pictures, film) for person, seen in people.items()]


def _person(person: str, seen: dict[str, Path], pictures: list[str], film: tuple[int, int]) -> PersonTrack:
    frames = [frame for frame, picture in enumerate(pictures) if picture in seen]
    places, focals = [], []
    for frame in frames:
        path = seen[pictures[frame]]
        arrays = read_arrays(path, NEEDED, "body", ("focal_length",), LARGEST)
        points = numbers(path, arrays, "pred_keypoints_3d", 70, 3)
        places.append(points + numbers(path, {"pred_cam_t": arrays["pred_cam_t"].reshape(-1)}, "pred_cam_t", 3))
        focal = (
            numbers(path, {"focal": arrays["focal_length"].reshape(-1)}, "focal", 1)
            if "focal_length" in arrays
            else None
        )
        focals.append(math.hypot(*film) if focal is None else float(focal))
    whole = torch.stack(places)
    rotations, root, size = pose_of_points(mean_smpl(), {name: whole[:, place] for name, place in KEYPOINTS.items()})
    if not (bool(torch.isfinite(rotations).all()) and size > 0):
        raise InvalidInputError(f"{seen[pictures[frames[0]]]} has keypoints that lie on one another")
    lens = torch.tensor([[focal, focal, film[0] / 2, film[1] / 2] for focal in focals], dtype=torch.float64)
    return PersonTrack(
        person=person,
        frames=torch.tensor(frames),
        rotations=rotations,
        shape=torch.zeros(0, dtype=torch.float64),
        in_camera=root,
        camera=TrackCamera(lens, film),
        size=size,
    )
