"""AMASS's archives of motion capture, and the like: poses in a world with +Z up, without a film."""

from __future__ import annotations

from pathlib import Path

import torch

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.io.array_files import array_names, read_arrays
from a4d.io.trackers.person_track import LARGEST, PersonTrack, numbers, same_length, turned_joints

RATES = ("mocap_framerate", "mocap_frame_rate")

USUAL_RATE = 30.0
"""Frames per second where a file does not say them."""


def is_archive(names: list[str]) -> bool:
    """Whether an archive with arrays of these names holds poses of this layout."""
    return {"poses", "trans"} <= set(names)


def read_archive(path: Path) -> list[PersonTrack]:
    """Read one person, with gravity along -Z.

    Raises:
        InvalidInputError: the arrays do not fit one another.
    """
    rate = [name for name in RATES if name in array_names(path)]
    arrays = read_arrays(path, ("poses", "trans"), "poses", ("betas", *rate), LARGEST)
    vectors, translation = numbers(path, arrays, "poses", None, None), numbers(path, arrays, "trans", None, 3)
    same_length(path, poses=vectors, trans=translation)
    fps = float(numbers(path, {"rate": arrays[rate[0]].reshape(-1)[:1]}, "rate", 1)) if rate else USUAL_RATE
    if fps <= 0:
        raise InvalidInputError(f"{path} tells a rate of {fps:g} frames per second")
    rotations = turned_joints(path, vectors)
    return [
        PersonTrack(
            person="0",
            frames=torch.arange(len(vectors)),
            rotations=rotations,
            shape=numbers(path, arrays, "betas", None) if "betas" in arrays else torch.zeros(0, dtype=torch.float64),
            in_world=RootPose(rotations[:, 0], translation),
            up=torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64),
            seconds_per_frame=1 / fps,
        )
    ]
