"""Keypoints of a person in the frames that were taken in: found by a model, or taken over from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from a4d.errors import InvalidInputError, MissingInputError
from a4d.estimation.person.choice import Follower, Place
from a4d.framing import Crop
from a4d.intake.settings import ChannelSettings
from a4d.io.captures.capture import image_size
from a4d.io.films.video import read_video
from a4d.io.foreign_keypoints import ForeignFrame, read_foreign_keypoints
from a4d.io.keypoints import Keypoints, Landmarks, gathered
from a4d.io.pictures.images import list_images, read_image
from a4d.workspace.transaction import Transaction

SEEN = 0.1
"""Visibility from which a keypoint tells where someone is."""


def imported_keypoints(
    work: Transaction, config: ChannelSettings, images: Sequence[Path], films: Sequence[Sequence[int]]
) -> Keypoints:
    """The keypoints of a file, in pixels of the frames.

    They belong to photographs by their names, where it names all of them, else to the frames in their order: those of a
    film are counted from the first that is taken. The person is chosen in each film like by a model.

    Args:
        work: has noted the crop of the frames.
        config: names the file, and the person.
        images: of the frames.
        films: the frames of each film in the order of time.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or has another number of frames.
    """
    path = config.keypoint_file
    assert path is not None
    if not path.exists():
        raise MissingInputError(f"there are no keypoints {path}", "Name blazepose, another model, or a file")
    told = read_foreign_keypoints(path)
    frames = _of_frames(path, told.frames, len(images), work.note("files") or ())
    chosen: list[Landmarks | None] = [None] * len(images)
    for film in films:
        follower = Follower(config.person)
        for index in film:
            people = frames[index].people
            place = follower.choose([_place(person) for person in people])
            chosen[index] = None if place is None else people[place]
    keypoints = gathered(told.names, chosen)
    return replace(keypoints, points=_in_frames(work, keypoints, frames, images))


def _of_frames(path: Path, told: Sequence[ForeignFrame], count: int, names: Sequence[str]) -> list[ForeignFrame]:
    """What is told of each frame, of which there are so many, with names where they are photographs."""
    by_name = {frame.name: frame for frame in told}
    stems = [Path(name).stem for name in names]
    if stems and by_name.keys() >= set(stems):
        return [by_name[stem] for stem in stems]
    if len(told) != count:
        raise InvalidInputError(
            f"{path} tells of {len(told)} frames, and {count} are taken",
            "Give it for the frames that are taken, as --start, --end and --fps choose them",
        )
    return list(told)


def _place(person: Landmarks) -> Place:
    """Where someone is, by the keypoints that are seen."""
    seen = person.points[person.visibility >= SEEN]
    points = seen if len(seen) else person.points
    return Place(points.mean(0), float(np.linalg.norm(np.ptp(points, axis=0))))


def _in_frames(
    work: Transaction, keypoints: Keypoints, frames: Sequence[ForeignFrame], images: Sequence[Path]
) -> np.ndarray:
    """(F, K, 2) the points in pixels of the frames, through the source that their crop was taken from."""
    noted = work.note("crop")
    crop = None if noted is None else Crop.model_validate(noted)
    given = _given_sizes(work, images) if any(frame.size is None for frame in frames) else []
    points = keypoints.points.astype(np.float64)
    for index, frame in enumerate(frames):
        size = np.array(given[index] if frame.size is None else frame.size)
        whole = image_size(images[index]) if crop is None else (crop.source_width, crop.source_height)
        points[index] *= np.array(whole) / size
    return (points if crop is None else crop.frame_from_source(points)).astype(np.float32)


def _given_sizes(work: Transaction, images: Sequence[Path]) -> list[tuple[int, int]]:
    """Width and height of the pictures as they were given; those of several cameras are taken as they have become."""
    source = work.workspace.metadata.source
    kind, path = source.kind if source is not None else "", work.workspace.source_path()
    if kind == "images":
        return [image_size(picture) for picture in list_images(path)]
    if kind not in ("image", "video"):
        return [image_size(image) for image in images]
    picture = read_image(path) if kind == "image" else next(read_video(path, end=1).frames)
    return [(picture.shape[1], picture.shape[0])] * len(images)
