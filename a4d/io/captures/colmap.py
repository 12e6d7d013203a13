"""Captures from and to COLMAP's sparse models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.cameras import opencv_from_colmap
from a4d.geometry.transforms import invert_rigid, quaternion_from_rotation
from a4d.io.captures.capture import CaptureChoice, Lens, PosedCapture, fitted_intrinsics, missing_images
from a4d.io.captures.colmap_model import (
    CAMERA_MODELS,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    read_colmap_model,
    write_colmap_model,
)
from a4d.io.containment import contained
from a4d.io.files import natural_key

UNREADABLE_MODELS = ("FOV", "THIN_PRISM_FISHEYE")
MODEL_FOLDERS = ("", "sparse", "colmap/sparse")
"""Where a project's models lie, or the folders `0`, `1`, ... of several."""
IMAGE_FOLDERS = ("images", "input", "images_2", "images_4", "images_8", "")
"""Where the images lie that a model's names are relative to: as taken, undistorted, shrunk, or named with a folder."""


def find_colmap_models(folder: Path) -> list[Path]:
    """The folders with sparse models: `folder` itself, or those in the usual places below it."""
    for name in MODEL_FOLDERS:
        place = folder / name
        numbered = sorted((path for path in place.glob("*") if path.name.isdigit()), key=natural_key)
        found = [path for path in (place, *numbered) if _has_model(path)]
        if found:
            return found[:1] if found[0] == place else found
    return []


def _has_model(folder: Path) -> bool:
    return any((folder / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt"))


def read_colmap(folder: Path, choice: CaptureChoice | None = None) -> PosedCapture:
    """Read a sparse model and find its images.

    Args:
        folder: of the model or of the project around it (`sparse/0` and the like are found).
        choice: None takes the largest model, with its images as they are found.

    Returns:
        the images in the order of their names. COLMAP's world has no fixed up axis.

    Raises:
        MissingInputError: no such model, no images folder, or images missing.
        OutsideError: an image's name leads out of the images' folder.
        InvalidInputError: damaged files, or a camera model without a counterpart here.
    """
    choice = choice or CaptureChoice()
    model_folder, model = _chosen_model(folder, choice)
    entries = sorted(model.images, key=lambda image: image.name)
    images_folder = choice.images_folder or _find_images_folder(model_folder, entries, choice)
    files = {entry.name: _image_file(images_folder, entry.name) for entry in entries}
    missing = [file for file in files.values() if not file.is_file()]
    if missing and not choice.skip_missing and not choice.unseen:
        raise missing_images(model_folder, missing)
    if not choice.unseen:
        entries = [entry for entry in entries if files[entry.name].is_file()]
    if not entries:
        raise InvalidInputError(f"{model_folder} has no images with cameras")
    return _capture(model_folder, model, entries, files)


def _chosen_model(folder: Path, choice: CaptureChoice) -> tuple[Path, ColmapModel]:
    found = find_colmap_models(folder)
    if choice.model is not None:
        named = contained(folder, choice.model)
        if not _has_model(named):
            known = ", ".join(path.relative_to(folder).as_posix() for path in found)
            raise MissingInputError(f"{folder} has no COLMAP model {choice.model}", f"It has {known}" if known else "")
        found = [named]
    if not found:
        raise MissingInputError(f"{folder} holds no COLMAP model", "It needs cameras and images as .bin or .txt")
    models = [read_colmap_model(path) for path in found]
    largest = max(range(len(models)), key=lambda index: len(models[index].images))
    if len(models) > 1:
        others = [
            f"{path.relative_to(folder).as_posix()} has {len(model.images)}"
            for path, model in zip(found, models, strict=True)
            if model is not models[largest]
        ]
        choice.warn(
            f"of {len(models)} COLMAP models {found[largest].relative_to(folder).as_posix()} is taken, which has most "
            f"images, {len(models[largest].images)}; {', '.join(others)}; --model names another"
        )
    return found[largest], models[largest]


def _find_images_folder(model_folder: Path, entries: list[ColmapImage], choice: CaptureChoice) -> Path:
    """The folder below which most of a model's images are found."""
    parents = [model_folder.absolute(), *model_folder.absolute().parents][:4]
    if choice.root is not None:
        parents = [parent for parent in parents if parent.is_relative_to(choice.root.absolute())]
    places = [place for parent in parents for name in IMAGE_FOLDERS if (place := parent / name).is_dir()]
    found = [sum(_image_file(place, entry.name).is_file() for entry in entries) for place in places]
    if any(found):
        return places[found.index(max(found))]
    named = [place for place in places if place.name == IMAGE_FOLDERS[0]]
    if not named and not choice.unseen:
        raise MissingInputError(
            f"no folder {' or '.join(IMAGE_FOLDERS[:2])} beside or above {model_folder} has its images",
            "Name the folder that holds both the model and the images",
        )
    return named[0] if named else model_folder


def _image_file(folder: Path, name: str) -> Path:
    """Where an image lies, also if its name repeats that of the folder, or of one that was renamed since."""
    file, first = contained(folder, name), PurePosixPath(name).parts[0]
    if not file.is_file() and first in IMAGE_FOLDERS and first != name:
        return contained(folder, name.removeprefix(f"{first}/"))
    return file


def _capture(
    model_folder: Path, model: ColmapModel, entries: list[ColmapImage], files: Mapping[str, Path]
) -> PosedCapture:
    intrinsics, sizes, lenses = [], [], []
    for entry in entries:
        camera = model.cameras.get(entry.camera_id)
        if camera is None:
            raise InvalidInputError(f"{model_folder}: {entry.name} names camera {entry.camera_id}, which is not there")
        pinhole, lens = _pinhole_and_lens(model_folder, camera)
        fitted, size = pinhole, (camera.width, camera.height)
        if files[entry.name].is_file():
            fitted, size = fitted_intrinsics(pinhole, size, files[entry.name])
        intrinsics.append(fitted)
        sizes.append(size)
        lenses.append(lens)
    quaternions = torch.tensor([entry.quaternion for entry in entries], dtype=torch.float64)
    translations = torch.tensor([entry.translation for entry in entries], dtype=torch.float64)
    world_from_camera = opencv_from_colmap(quaternions, translations)
    if not world_from_camera.isfinite().all() or not (quaternions.norm(dim=1) > 0.5).all():
        raise InvalidInputError(f"{model_folder} has an image whose pose is no rotation and translation")
    return PosedCapture(
        images=tuple(files[entry.name] for entry in entries),
        world_from_camera=world_from_camera.numpy(),
        intrinsics=np.stack(intrinsics),
        sizes=np.array(sizes, np.int64),
        lenses=tuple(lenses) if any(lenses) else None,
        points=model.points if model.points is not None and len(model.points) else None,
    )


def _pinhole_and_lens(model_folder: Path, camera: ColmapCamera) -> tuple[NDArray[np.float64], Lens | None]:
    """(4,) fx, fy, cx, cy and the lens of a COLMAP camera."""
    named = dict(zip(CAMERA_MODELS[camera.model][1].split(), camera.params, strict=True))
    if camera.model in UNREADABLE_MODELS or any(named.get(f"divisor_{i}") for i in (1, 2, 3)):
        raise InvalidInputError(
            f"{model_folder} has a {camera.model} camera, which is not read here",
            "Run `colmap image_undistorter` and use its output",
        )
    fx, fy = named.get("fx", named.get("f", 0.0)), named.get("fy", named.get("f", 0.0))
    is_finite = all(math.isfinite(value) for value in camera.params)
    if not is_finite or fx <= 0 or fy <= 0 or camera.width <= 0 or camera.height <= 0:
        raise InvalidInputError(f"{model_folder} has a camera with an impossible size or focal length")
    k1, k2, k3, k4, p1, p2 = (named.get(name, 0.0) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    lens = Lens((k1, k2, k3, k4), (p1, p2), is_fisheye="FISHEYE" in camera.model)
    is_straight = not lens.is_fisheye and not any((*lens.radial, *lens.tangential))
    return np.array([fx, fy, named["cx"], named["cy"]]), None if is_straight else lens


def write_colmap(folder: Path, capture: PosedCapture, images_folder: Path, is_binary: bool = True) -> None:
    """Write a capture's cameras and points as a sparse model; the images stay where they are.

    Args:
        folder: for cameras, images and points3D.
        capture: its cameras become PINHOLE, FULL_OPENCV or OPENCV_FISHEYE.
        images_folder: that image names are made relative to; an image outside goes by its file name.
        is_binary: `.bin` rather than `.txt`.

    Raises:
        WorkspaceError: a file cannot be written.
    """
    camera_from_world = invert_rigid(torch.from_numpy(capture.world_from_camera))
    quaternions = quaternion_from_rotation(camera_from_world[:, :3, :3]).tolist()
    translations = camera_from_world[:, :3, 3].tolist()
    ids: dict[ColmapCamera, int] = {}
    images = []
    for i, path in enumerate(capture.images):
        camera = _colmap_camera(capture, i)
        is_inside = path.is_relative_to(images_folder)
        name = path.relative_to(images_folder).as_posix() if is_inside else path.name
        camera_id = ids.setdefault(camera, len(ids) + 1)
        images.append(ColmapImage(name, camera_id, tuple(quaternions[i]), tuple(translations[i])))
    cameras = {camera_id: camera for camera, camera_id in ids.items()}
    write_colmap_model(folder, ColmapModel(cameras, tuple(images), capture.points), is_binary)


def _colmap_camera(capture: PosedCapture, index: int) -> ColmapCamera:
    width, height = capture.sizes[index].tolist()
    pinhole = tuple(capture.intrinsics[index].tolist())
    lens = None if capture.lenses is None else capture.lenses[index]
    if lens is None:
        return ColmapCamera("PINHOLE", width, height, pinhole)
    if lens.is_fisheye:
        return ColmapCamera("OPENCV_FISHEYE", width, height, (*pinhole, *lens.radial))
    k1, k2, k3, _ = lens.radial
    return ColmapCamera("FULL_OPENCV", width, height, (*pinhole, k1, k2, *lens.tangential, k3, 0.0, 0.0, 0.0))
