"""Keypoints as other programs write them: COCO's JSON, OpenPose's folders, and the landmarks of BlazePose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.documents import parse_json
from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.files import natural_key, read_text
from a4d.io.keypoints import BLAZEPOSE, BODY_25, COCO, COCO_FEET, Landmarks

PIXEL_CENTRE = 0.5
"""What COCO and OpenPose, which number pixels, call 0."""

FLAGS = (0, 1, 2)
"""Of COCO's annotations: not in the picture or unknown, hidden, visible."""

RELATIVE = (1.0, 1.0)
"""The size of a picture in which points are shares of its sides."""

LANDMARK_KEYS = ("poseLandmarks", "pose_landmarks", "landmarks")
WORLD_KEYS = ("poseWorldLandmarks", "pose_world_landmarks", "worldLandmarks", "world_landmarks")
"""What MediaPipe's interfaces call the landmarks of a picture, and those in metres."""

MOST_FRAMES = 100_000
"""Between the first and the last of numbered pictures; those that lie farther apart are no film."""

FARTHEST = 1e6
"""Pixels from the corner of a picture within which all keypoints lie."""

UNEXPECTED = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError)
"""What other contents than the known ones provoke."""

KNOWN = "Known are COCO's JSON, a folder of OpenPose's BODY_25, and BlazePose's landmarks of each frame"


@dataclass(frozen=True)
class ForeignFrame:
    """One picture.

    Args:
        name: of its file without suffix; empty where none is told.
        people: in it, in the file's order; their points are measured in the size.
        size: width and height of the picture; None is that of the picture as it was given.
    """

    name: str
    people: tuple[Landmarks, ...]
    size: tuple[float, float] | None = None


@dataclass(frozen=True)
class ForeignKeypoints:
    """Keypoints of all people in pictures.

    Args:
        names: of the K keypoints.
        frames: in their order.
    """

    names: tuple[str, ...]
    frames: tuple[ForeignFrame, ...]


def read_foreign_keypoints(path: Path) -> ForeignKeypoints:
    """Read keypoints of another program, which their content tells apart.

    Args:
        path: a folder of OpenPose's files, one for each frame, or one of them; annotations or results of COCO, with the
            17 keypoints of the body or also the six of the feet; or a list of what MediaPipe tells of each frame.

    Raises:
        MissingInputError: there is no such file or folder, or the folder has no JSON.
        InvalidInputError: it is damaged, or none of these.
    """
    if path.is_dir():
        return _read_openpose(path)
    content = parse_json(read_text(path), str(path))
    try:
        if isinstance(content, Mapping) and "people" in content:
            return ForeignKeypoints(BODY_25, (_openpose_frame(path, content),))
        if isinstance(content, Mapping) and "annotations" in content:
            return _from_coco(path, content["annotations"], content.get("images", []))
        if isinstance(content, list) and any("keypoints" in each for each in content if isinstance(each, Mapping)):
            return _from_coco(path, content, [])
        frames = content.get("frames") if isinstance(content, Mapping) else content
        if isinstance(frames, list) and any(
            isinstance(each, Mapping) and _first(each, LANDMARK_KEYS) for each in frames
        ):
            return ForeignKeypoints(BLAZEPOSE, tuple(_blazepose_frame(path, each or {}) for each in frames))
    except UNEXPECTED:
        raise _refusal(path, "keypoints that cannot be read") from None
    raise _refusal(path, "no keypoints")


def _read_openpose(folder: Path) -> ForeignKeypoints:
    files = sorted((file for file in folder.glob("*.json") if not file.name.startswith(".")), key=natural_key)
    if not files:
        raise MissingInputError(f"{folder} holds no JSON files", KNOWN)
    frames = []
    for file in files:
        content = parse_json(read_text(file), str(file))
        try:
            frames.append(_openpose_frame(file, content))
        except UNEXPECTED:
            raise _refusal(file, "keypoints that cannot be read") from None
    return ForeignKeypoints(BODY_25, tuple(frames))


def _openpose_frame(path: Path, content: Mapping[str, Any]) -> ForeignFrame:
    people = [_person(path, person["pose_keypoints_2d"], len(BODY_25)) for person in content["people"]]
    return ForeignFrame(path.stem.removesuffix("_keypoints"), tuple(people))


def _from_coco(path: Path, annotations: Sequence[Any], images: Sequence[Any]) -> ForeignKeypoints:
    """The people of COCO's annotations, or of results that name their pictures by numbers alone."""
    told = [each for each in annotations if each.get("keypoints")]
    flat = [[*each["keypoints"], *each.get("foot_kpts", [])] for each in told]
    lengths = {len(values) for values in flat}
    names = {3 * len(each): each for each in (COCO, (*COCO, *COCO_FEET))}
    if len(lengths) != 1 or not lengths <= names.keys():
        raise _refusal(
            path, f"{' and '.join(str(length // 3) for length in sorted(lengths)) or 'no'} keypoints a person"
        )
    count = lengths.pop() // 3
    are_flags = bool(images) and all(value in FLAGS for values in flat for value in values[2::3])
    people: dict[Any, list[Landmarks]] = {}
    for each, values in zip(told, flat, strict=True):
        people.setdefault(each["image_id"], []).append(_person(path, values, count, max(FLAGS) if are_flags else 1))
    if not images:
        images = [{"id": number} for number in _numbers(people)]
    frames = [
        ForeignFrame(
            Path(str(image.get("file_name", ""))).stem,
            tuple(people.get(image["id"], ())),
            _size(path, image),
        )
        for image in sorted(images, key=lambda image: natural_key(Path(str(image.get("file_name", image["id"])))))
    ]
    return ForeignKeypoints(names[3 * count], tuple(frames))


def _size(path: Path, image: Mapping[str, Any]) -> tuple[float, float] | None:
    """Width and height of a picture, where they are told."""
    if "width" not in image or "height" not in image:
        return None
    width, height = _rows(path, [image["width"], image["height"]], (2,)).tolist()
    if min(width, height) <= 0:
        raise _refusal(path, f"a picture of {width:g}x{height:g} pixels")
    return width, height


def _numbers(people: Mapping[Any, Any]) -> Sequence[Any]:
    """The pictures of results: those without anybody are missing from them, where pictures are numbered."""
    if all(isinstance(number, int) for number in people) and max(people) - min(people) < MOST_FRAMES:
        return range(min(people), max(people) + 1)
    return sorted(people)


def _blazepose_frame(path: Path, told: Mapping[str, Any]) -> ForeignFrame:
    """What MediaPipe tells of a picture: the landmarks of one person, or lists of those of several."""
    places, metres = _several(_first(told, LANDMARK_KEYS)), _several(_first(told, WORLD_KEYS))
    people = []
    for index, person in enumerate(places):
        values = _rows(path, [_coordinates(landmark) for landmark in person], (len(BLAZEPOSE), 4))
        world = None
        if index < len(metres):
            told_metres = [_coordinates(landmark) for landmark in metres[index]]
            world = _rows(path, told_metres, (len(BLAZEPOSE), 4))[:, :3]
        people.append(_landmarks(values[:, :2], values[:, 3], world))
    return ForeignFrame(Path(str(told.get("image", ""))).stem, tuple(people), RELATIVE)


def _person(path: Path, values: Sequence[float], count: int, most: float = 1) -> Landmarks:
    """Someone told by x, y and a confidence of at most so much for each of so many keypoints."""
    rows = _rows(path, values, (3 * count,)).reshape(count, 3)
    return _landmarks(rows[:, :2] + PIXEL_CENTRE, rows[:, 2] / most)


def _rows(path: Path, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers of a shape, which lie in or about a picture."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != shape:
        raise _refusal(path, f"keypoints of the shape {numbers.shape} in place of {shape}")
    if not (np.abs(numbers) < FARTHEST).all():
        raise _refusal(path, f"a keypoint beyond {FARTHEST:g} pixels, or at no number")
    return numbers


def _refusal(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError(f"{path} holds {what}", KNOWN)


def _landmarks(
    points: NDArray[np.float64],  # (K, 2)
    visibility: NDArray[np.float64],  # (K,)
    world: NDArray[np.float64] | None = None,  # (K, 3)
) -> Landmarks:
    metres = None if world is None else world.astype(np.float32)
    return Landmarks(points.astype(np.float32), visibility.clip(0, 1).astype(np.float32), metres)


def _first(told: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((told[key] for key in keys if told.get(key)), None)


def _several(landmarks: Any) -> list[Any]:
    """A list of people, of the landmarks of one or of several."""
    if not landmarks:
        return []
    is_one = isinstance(landmarks[0], Mapping) or not isinstance(landmarks[0][0], (Mapping, list))
    return [landmarks] if is_one else list(landmarks)


def _coordinates(landmark: Any) -> list[float]:
    """x, y, z and visibility."""
    if isinstance(landmark, Mapping):
        return [landmark["x"], landmark["y"], landmark.get("z", 0), landmark.get("visibility", 1)]
    return [*landmark, 1][:4] if len(landmark) == 3 else list(landmark[:4])
