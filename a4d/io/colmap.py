"""Captures from and to COLMAP's sparse models."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.cameras import opencv_from_colmap
from a4d.geometry.transforms import invert_rigid, quaternion_from_rotation
from a4d.io.capture import Lens, PosedCapture, fitted_intrinsics, missing_images
from a4d.io.colmap_model import (
    CAMERA_MODELS,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    read_colmap_model,
    write_colmap_model,
)
from a4d.io.containment import contained

UNREADABLE_MODELS = ("FOV", "THIN_PRISM_FISHEYE")
MODEL_FOLDERS = ("", "sparse/0", "sparse", "colmap/sparse/0", "0")


def find_colmap_model(folder: Path) -> Path | None:
    """The folder with the sparse model, which is `folder` or one of the usual places below it; None without one."""
    for name in MODEL_FOLDERS:
        candidate = folder / name
        if any((candidate / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return candidate
    return None


def read_colmap(folder: Path, images_folder: Path | None = None, skip_missing: bool = False) -> PosedCapture:
    """Read a sparse model and find its images.

    Args:
        folder: of the model or of the project around it (`sparse/0` and the like are found).
        images_folder: that the model's image names are relative to; if absent `images` beside the model or above it,
            but within `folder`.
        skip_missing: leave out images that are not on disk instead of refusing.

    Returns:
        the images in the order of their names. COLMAP's world has no fixed up axis.

    Raises:
        MissingInputError: no model, no images folder, or images missing.
        OutsideError: an image's name leads out of the images' folder.
        InvalidInputError: damaged files, or a camera model without a counterpart here.
    """
    model_folder = find_colmap_model(folder)
    if model_folder is None:
        raise MissingInputError(f"{folder} holds no COLMAP model", "It needs cameras and images as .bin or .txt")
    model = read_colmap_model(model_folder)
    images_folder = images_folder or _find_images_folder(model_folder, folder)
    entries = sorted(model.images, key=lambda image: image.name)
    files = [contained(images_folder, entry.name) for entry in entries]
    missing = [file for file in files if not file.is_file()]
    if missing and not skip_missing:
        raise missing_images(model_folder, missing)
    entries = [entry for entry, file in zip(entries, files, strict=True) if file.is_file()]
    if not entries:
        raise InvalidInputError(f"{model_folder} has no images with cameras")
    return _capture(model_folder, model, entries, images_folder)


def _find_images_folder(model_folder: Path, root: Path) -> Path:
    for parent in (model_folder, *model_folder.parents):
        if parent.is_relative_to(root) and (parent / "images").is_dir():
            return contained(root, (parent / "images").relative_to(root).as_posix())
    raise MissingInputError(f"no folder `images` beside or above {model_folder}", "Name the folder of the images")


def _capture(model_folder: Path, model: ColmapModel, entries: list[ColmapImage], images_folder: Path) -> PosedCapture:
    intrinsics, sizes, lenses = [], [], []
    for entry in entries:
        camera = model.cameras.get(entry.camera_id)
        if camera is None:
            raise InvalidInputError(f"{model_folder}: {entry.name} names camera {entry.camera_id}, which is not there")
        pinhole, lens = _pinhole_and_lens(model_folder, camera)
        fitted, size = fitted_intrinsics(pinhole, (camera.width, camera.height), images_folder / entry.name)
        intrinsics.append(fitted)
        sizes.append(size)
        lenses.append(lens)
    quaternions = torch.tensor([entry.quaternion for entry in entries], dtype=torch.float64)
    translations = torch.tensor([entry.translation for entry in entries], dtype=torch.float64)
    world_from_camera = opencv_from_colmap(quaternions, translations)
    if not world_from_camera.isfinite().all() or not (quaternions.norm(dim=1) > 0.5).all():
        raise InvalidInputError(f"{model_folder} has an image whose pose is no rotation and translation")
    return PosedCapture(
        images=tuple(images_folder / entry.name for entry in entries),
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
