"""Sequences as GaussianAvatar has them: `train` and `test`, each with `images`, `masks`, cameras and poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a4d.errors import InvalidInputError
from a4d.geometry.transforms import invert_rigid
from a4d.io.captures.capture import PosedCapture, image_size
from a4d.io.people.people_sequence import PeopleSequence, images_with_masks, pictures_of
from a4d.io.people.splits import TEST, TRAIN
from a4d.io.trackers import gaussian_avatar
from a4d.io.trackers.person_track import PersonTrack, joined
from a4d.io.trackers.track_reader import read_tracks


def is_layout(folder: Path) -> bool:
    """Whether a folder is such a sequence, or one of its two parts."""
    return any(gaussian_avatar.poses_in(part) is not None for part in (folder / TRAIN, folder))


def read(folder: Path) -> PeopleSequence:
    """Read a sequence, frames for tests last; the shape is that of the frames to train on.

    Raises:
        MissingInputError: there are no masks or cameras.
        InvalidInputError: there are not as many images, masks and poses as belong together.
    """
    parts = {split: folder / split for split in (TRAIN, TEST) if gaussian_avatar.poses_in(folder / split) is not None}
    images, masks, tracks, splits = list[Path](), list[Path](), list[PersonTrack](), list[str]()
    for split, part in (parts or {TRAIN: folder}).items():
        own_images, own_masks = images_with_masks(part)
        (track,) = read_tracks(part, image_size(own_images[0]))
        if len(track) != len(own_images):
            raise InvalidInputError(f"{part} has {len(own_images)} images and {len(track)} poses")
        images, masks, tracks = [*images, *own_images], [*masks, *own_masks], [*tracks, track]
        splits += [split] * len(own_images)
    whole = joined(tracks)
    camera = whole.camera
    assert camera is not None
    assert camera.camera_from_world is not None
    capture = PosedCapture(
        images=tuple(images),
        world_from_camera=invert_rigid(camera.camera_from_world).numpy().copy(),
        intrinsics=camera.intrinsics.numpy().copy(),
        sizes=np.array([image_size(image) for image in images], np.int64),
        splits=tuple(splits),
    )
    return PeopleSequence(capture, whole, pictures_of(images, masks))
