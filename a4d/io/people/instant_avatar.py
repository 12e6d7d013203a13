"""Sequences as InstantAvatar has them: `images`, `masks`, `cameras.npz` and poses of all frames or by split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.transforms import invert_rigid
from a4d.io.captures.capture import PosedCapture, image_size
from a4d.io.people.people_sequence import PeopleSequence, images_with_masks, pictures_of
from a4d.io.people.splits import PEOPLE_SNAPSHOT, TEST, TRAIN, snapshot_splits
from a4d.io.trackers import instant_avatar
from a4d.io.trackers.person_track import PersonTrack, joined

PREFIXES = ("anim_nerf_", "")
"""Of the files in `poses/` by split, the better first."""


def is_layout(folder: Path) -> bool:
    """Whether a folder is such a sequence."""
    has_poses = instant_avatar.is_folder(folder) or _split_file(folder, TRAIN) is not None
    return (folder / instant_avatar.CAMERAS).is_file() and (folder / "images").is_dir() and has_poses


def read(folder: Path) -> PeopleSequence:
    """Read a sequence; the shape is that of the frames to train on, whatever those for tests say.

    Raises:
        MissingInputError: there are no masks.
        InvalidInputError: there are not as many images, masks and poses as belong together.
    """
    images, masks = images_with_masks(folder)
    chosen = snapshot_splits(folder, len(images))
    track = _track(folder, len(images), chosen)
    camera = track.camera
    assert camera is not None
    assert camera.camera_from_world is not None
    count, frames = len(chosen), [frame for frame, _ in chosen]
    size = image_size(images[0])
    scale = np.array([size[0] / camera.size[0], size[1] / camera.size[1]] * 2)
    capture = PosedCapture(
        images=tuple(images[frame] for frame in frames),
        world_from_camera=invert_rigid(camera.camera_from_world).expand(count, 4, 4).numpy().copy(),
        intrinsics=camera.intrinsics.expand(count, 4).numpy() * scale,
        sizes=np.array([size] * count, np.int64),
        splits=tuple(split for _, split in chosen),
    )
    return PeopleSequence(capture, track, pictures_of(capture.images, [masks[frame] for frame in frames]))


def _split_file(folder: Path, split: str) -> Path | None:
    files = (folder / "poses" / f"{prefix}{split}.npz" for prefix in PREFIXES)
    return next((file for file in files if file.is_file()), None)


def _track(folder: Path, count: int, chosen: list[tuple[int, str]]) -> PersonTrack:
    """The poses of the chosen frames."""
    if instant_avatar.is_folder(folder):
        (whole,) = instant_avatar.read_folder(folder)
        if len(whole) == count:
            return whole.at(torch.tensor([frame for frame, _ in chosen]))
    files = [file for split in (TRAIN, TEST) if (file := _split_file(folder, split)) is not None]
    if folder.name not in PEOPLE_SNAPSHOT or len(files) < len({split for _, split in chosen}):
        raise InvalidInputError(
            f"{folder} has {count} images, and not as many poses in one file",
            f"Poses by split are those of People-Snapshot's subjects: {', '.join(PEOPLE_SNAPSHOT)}",
        )
    parts = [instant_avatar.read_archive(file)[0] for file in files]
    for part, split in zip(parts, (TRAIN, TEST), strict=False):
        wanted = sum(each == split for _, each in chosen)
        if len(part) != wanted:
            raise InvalidInputError(f"{folder} has {len(part)} poses to {split}, for {wanted} of its images")
    return joined(parts)
