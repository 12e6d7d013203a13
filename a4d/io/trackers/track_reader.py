"""People of any tracker that is read here, told by what is in its files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a4d.errors import BackendUnavailableError, InvalidInputError, MissingInputError
from a4d.io.array_files import array_names
from a4d.io.pickled_arrays import read_pickled_values
from a4d.io.trackers import amass, gaussian_avatar, gvhmr, instant_avatar, phalp, sam_3d_body, tram, wham
from a4d.io.trackers.person_track import PersonTrack, TrackFile
from a4d.io.weight_files import read_weights

SLACK = 1e-2
"""By which the product of a rotation and its transpose may differ from the identity."""

ARCHIVES, LAYOUTS = (instant_avatar, amass), (gvhmr, gaussian_avatar, tram, wham, phalp)
"""Modules of archives of arrays, which are told by the arrays' names, and of files of values."""

KNOWN = (
    "Known are InstantAvatar's and GaussianAvatar's folders, PHALP's, WHAM's and GVHMR's results, TRAM's and SAM 3D "
    "Body's folders, and AMASS's archives"
)


def read_tracks(
    path: Path,
    film: tuple[int, int],  # width, height of the film in pixels
) -> list[PersonTrack]:
    """Read all people that a tracker followed, the longest track first, without running anything that its files say.

    Args:
        path: a file, or the folder of a sequence.
        film: taken where a layout does not say for what picture its camera is.

    Raises:
        MissingInputError: there is no such file, or the camera that belongs to it is not there.
        InvalidInputError: it is damaged, of no layout that is known here, or asks to run something.
    """
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    tracks = _in_folder(path, film) if path.is_dir() else _in_file(path, film)
    if not any(len(track) for track in tracks):
        raise InvalidInputError(f"{path} holds nobody who was seen")
    for track in tracks:
        _require_rotations(path, track)
    return sorted((track.at(torch.argsort(track.frames)) for track in tracks if len(track)), key=len, reverse=True)


def _require_rotations(path: Path, track: PersonTrack) -> None:
    """Refuse matrices that mirror or stretch."""
    squares = track.rotations @ track.rotations.transpose(-1, -2)
    stretched = (squares - torch.eye(3, dtype=squares.dtype)).abs().amax()
    if float(stretched) > SLACK or bool((torch.linalg.det(track.rotations) < 0).any()):
        raise InvalidInputError(f"{path} turns joints by matrices that are no rotations")


def _in_folder(path: Path, film: tuple[int, int]) -> list[PersonTrack]:
    poses = gaussian_avatar.poses_in(path)
    if instant_avatar.is_folder(path):
        return instant_avatar.read_folder(path)
    bodies = sam_3d_body.files_in(path)
    if bodies:
        return sam_3d_body.read_files(bodies, film)
    files = [poses] if poses is not None else tram.files_in(path)
    if not files:
        raise InvalidInputError(f"the folder {path} holds no tracks of people", KNOWN)
    return [track for file in files for track in _in_file(file, film)]


def _in_file(path: Path, film: tuple[int, int]) -> list[PersonTrack]:
    names = array_names(path)
    for archive in ARCHIVES:
        if archive.is_archive(names):
            return archive.read_archive(path)
    if sam_3d_body.is_archive(names):
        return sam_3d_body.read_files([path], film)
    file = TrackFile(path, {} if names else _values(path), film)
    for layout in LAYOUTS:
        if layout.is_layout(file.values):
            try:
                return layout.read(file)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise InvalidInputError(f"{path} is damaged: its tracks are not as their layout has them") from error
    raise InvalidInputError(f"{path} holds no tracks of people that are read here", KNOWN)


def _values(path: Path) -> Mapping[Any, Any]:
    """What is in a file by names: tensors of a checkpoint, else values of a pickle.

    Raises:
        InvalidInputError: it is damaged, or asks to run something.
    """
    if not zipfile.is_zipfile(path):
        values = read_pickled_values(path, "tracks")
        return values if isinstance(values, Mapping) else {}
    try:
        return {name: tensor.double().numpy() for name, tensor in read_weights(path).items()}
    except BackendUnavailableError as error:
        raise InvalidInputError(error.problem, "Use the file as the tracker wrote it") from error
