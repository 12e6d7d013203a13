"""Sequences of People-Snapshot as they are published: a film, masks and poses in HDF5, and a camera with a lens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import BackendUnavailableError, InvalidInputError, MissingInputError
from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.transforms import invert_rigid, rigid_from_parts, rotation_from_axis_angle
from a4d.io.captures.capture import Lens, PosedCapture
from a4d.io.files import require_file
from a4d.io.films.video import read_video
from a4d.io.people.people_sequence import PeopleSequence, scaled_mask
from a4d.io.people.splits import snapshot_splits
from a4d.io.pickled_arrays import read_pickled_values
from a4d.io.trackers.person_track import PersonTrack, numbers, same_length, turned_joints
from a4d.pixels import Array

CAMERA, MASKS, POSES = "camera.pkl", "masks.hdf5", "reconstructed_poses.hdf5"


def is_layout(folder: Path) -> bool:
    """Whether a folder is such a sequence."""
    return all((folder / name).is_file() for name in (CAMERA, MASKS, POSES))


def read(folder: Path) -> PeopleSequence:
    """Read a sequence; the film is that called like the folder, or the only one.

    Raises:
        BackendUnavailableError: h5py is not installed.
        MissingInputError: there is no film.
        InvalidInputError: a file is damaged, or they are not of equally many frames.
    """
    poses = _datasets(folder / POSES, ("pose", "trans", "betas"))
    masks = _datasets(folder / MASKS, ("masks",))["masks"]
    path = folder / POSES
    vectors, translation = numbers(path, poses, "pose", None, 72), numbers(path, poses, "trans", None, 3)
    same_length(path, pose=vectors, trans=translation, masks=torch.zeros(len(masks), 0))
    chosen = snapshot_splits(folder, len(vectors))
    frames = torch.tensor([frame for frame, _ in chosen])
    rotations = turned_joints(path, vectors[frames])
    track = PersonTrack(
        person="0",
        frames=torch.arange(len(frames)),
        rotations=rotations,
        shape=numbers(path, {"betas": np.ravel(poses["betas"])[:10]}, "betas", 10),
        in_world=RootPose(rotations[:, 0], translation[frames]),
    )
    film = _film(folder)
    capture = _capture(folder / CAMERA, film, [split for _, split in chosen])

    def pictures() -> Iterator[tuple[Array, Array]]:
        """The chosen frames of the film and their masks, in one pass."""
        wanted = iter(frames.tolist())
        frame = next(wanted, None)
        for index, picture in enumerate(read_video(film).frames):
            # Two parts may share their border: its frame is then wanted twice.
            while frame == index:
                yield picture, scaled_mask(folder / MASKS, masks[index])
                frame = next(wanted, None)
        if frame is not None:
            raise InvalidInputError(f"{film} is shorter than its poses: it has no frame {frame}")

    return PeopleSequence(capture, track, pictures)


def _film(folder: Path) -> Path:
    films = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv"))
    named = [film for film in films if film.stem == folder.name]
    if not films or (len(films) > 1 and not named):
        raise MissingInputError(f"there is no film {folder.name}.mp4 in {folder}", "Put the sequence's film there")
    return (named or films)[0]


def _capture(path: Path, film: Path, splits: list[str]) -> PosedCapture:
    """The one camera for all frames; its lens has OpenCV's five numbers, pixel centres at whole numbers."""
    camera = read_pickled_values(path, "camera")
    if not isinstance(camera, dict):
        raise InvalidInputError(f"{path} is no camera of People-Snapshot")
    focal, centre = numbers(path, camera, "camera_f", 2), numbers(path, camera, "camera_c", 2) + 0.5
    k1, k2, p1, p2, k3 = numbers(path, camera, "camera_k", 5).tolist()
    turn, place = numbers(path, camera, "camera_rt", 3), numbers(path, camera, "camera_t", 3)
    size = int(numbers(path, camera, "width")), int(numbers(path, camera, "height"))
    camera_from_world, count = rigid_from_parts(rotation_from_axis_angle(turn), place), len(splits)
    lens = Lens((k1, k2, k3, 0.0), (p1, p2)) if any((k1, k2, p1, p2, k3)) else None
    return PosedCapture(
        images=(film,) * count,
        world_from_camera=invert_rigid(camera_from_world).expand(count, 4, 4).numpy().copy(),
        intrinsics=np.tile(torch.cat([focal, centre]).numpy(), (count, 1)),
        sizes=np.array([size] * count, np.int64),
        lenses=(lens,) * count,
        splits=tuple(splits),
    )


def _datasets(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Arrays of an HDF5 file.

    Raises:
        BackendUnavailableError: h5py is not installed.
        InvalidInputError: the file is damaged, or lacks an array of numbers.
    """
    try:
        import h5py
    except ImportError:
        raise BackendUnavailableError(
            f"{path} is read by h5py, which is not installed", "Run `pip install a4d[person]`"
        ) from None
    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            # Links may lead into other files: only what lies in this one is taken.
            found = {name: file.get(name, getlink=True) for name in names}
            missing = [name for name, link in found.items() if not isinstance(link, h5py.HardLink)]
            if not missing:
                return {name: np.asarray(file[name]) for name in names}
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path} is damaged: it is no HDF5 file that can be read") from error
    raise InvalidInputError(f"{path} has no '{missing[0]}'")
