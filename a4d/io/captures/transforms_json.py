"""Captures from and to `transforms.json`: nerfstudio, instant-ngp, Blender NeRF sets, and our own workspaces."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import join, normpath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError, OutsideError
from a4d.geometry.cameras import opencv_from_opengl
from a4d.io.assets.ply import PointCloud, read_point_cloud, write_point_cloud
from a4d.io.captures.capture import CaptureChoice, Lens, PosedCapture, fitted_intrinsics, image_size, missing_images
from a4d.io.containment import contained
from a4d.io.files import read_json, write_text

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL")
FISHEYE_MODEL = "OPENCV_FISHEYE"
LARGEST_NUMBER = 1e15
"""No length, angle or matrix entry of a sound file reaches it; beyond, products overflow."""
RADIAL, TANGENTIAL = ("k1", "k2", "k3", "k4"), ("p1", "p2")


@dataclass(frozen=True)
class _Frame:
    image: Path
    world_from_camera: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    size: tuple[int, int]
    lens: Lens | None
    mask: Path | None
    depth: Path | None
    split: str | None
    time: float | None
    view: str | None
    clip: str | None


def find_transforms(folder: Path) -> list[Path]:
    """The capture's files in a folder: `transforms.json`, or else those of `transforms_{train,val,test}.json`."""
    if (folder / "transforms.json").is_file():
        return [folder / "transforms.json"]
    return [path for split in SPLITS if (path := folder / f"transforms_{split}.json").is_file()]


def nested_transforms(folder: Path) -> Path | None:
    """The only folder in a folder that holds a capture's files, which name what lies beside it; None without one.

    Raises:
        InvalidInputError: there are several.
    """
    places = [place for place in sorted(folder.iterdir()) if place.is_dir() and place.suffix != ".a4d"]
    found = [place for place in places if not place.name.startswith(".") and find_transforms(place)]
    if len(found) > 1:
        raise InvalidInputError(
            f"{folder} holds several captures: {', '.join(place.name for place in found[:3])}",
            "Name one of these folders, or move the others away",
        )
    return found[0] if found else None


def read_transforms(path: Path, choice: CaptureChoice | None = None) -> PosedCapture:
    """Read a capture.

    Axes on disk are OpenGL's. Frames override the file's camera values; what is absent comes from the image itself. An
    `applied_transform` is undone, which leaves the world of the program that estimated the cameras, without a known up
    axis. Times outside [0, 1] are rescaled to it.

    Args:
        path: one file, or a folder with `transforms.json` or with one file per split.
        choice: None takes all images, below the file's own folder. A point cloud that is not there is left out.

    Raises:
        MissingInputError: no such file, or an image that it names is missing.
        OutsideError: it names a file outside of `root`, or one that is a link out of it.
        InvalidInputError: damaged, or a value out of range; the message names file, frame and key.
    """
    choice = choice or CaptureChoice()
    files = find_transforms(path) if path.is_dir() else [path]
    if not files:
        raise MissingInputError(f"{path} holds neither transforms.json nor transforms_train.json")
    frames, missing, points, up_axes = list[_Frame](), list[Path](), None, []
    world_from_source, depth_unit, are_approximate = None, None, False
    for file in files:
        document = _Document(file, choice)
        frames += document.frames(missing)
        points = points or document.points()
        up_axes.append(document.up_axis)
        world_from_source, depth_unit = document.world_from_source, document.depth_unit
        are_approximate |= document.are_approximate
    if missing and not choice.skip_missing:
        raise missing_images(path, missing)
    if not frames:
        raise InvalidInputError(f"{path} has no frames with an image")
    lenses = tuple(frame.lens for frame in frames)
    splits = [frame.split for frame in frames]
    return PosedCapture(
        images=tuple(frame.image for frame in frames),
        world_from_camera=np.stack([frame.world_from_camera for frame in frames]),
        intrinsics=np.stack([frame.intrinsics for frame in frames]),
        sizes=np.array([frame.size for frame in frames], np.int64),
        lenses=lenses if any(lenses) else None,
        masks=_unless_all_none([frame.mask for frame in frames]),
        depths=_unless_all_none([frame.depth for frame in frames]),
        splits=tuple(split or "train" for split in splits) if any(splits) else None,
        times=_times(path, [frame.time for frame in frames]),
        views=_unless_unnamed([frame.view for frame in frames]),
        clips=_unless_unnamed([frame.clip for frame in frames]),
        points=points,
        up_axis=up_axes[0] if len(set(up_axes)) == 1 else None,
        world_from_source=world_from_source,
        depth_unit=depth_unit,
        are_approximate=are_approximate,
    )


def _unless_unnamed(names: list[str | None]) -> tuple[str, ...] | None:
    return tuple(name or "" for name in names) if any(names) else None


def _unless_all_none(paths: list[Path | None]) -> tuple[Path | None, ...] | None:
    return tuple(paths) if any(paths) else None


def _times(path: Path, times: list[float | None]) -> NDArray[np.float64] | None:
    given = [time for time in times if time is not None]
    if not given:
        return None
    if len(given) < len(times):
        raise InvalidInputError(f"{path}: frame {times.index(None)} has no 'time', though others have")
    values = np.array(given)
    if values.min() >= 0 and values.max() <= 1:
        return values
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


class _Document:
    """One file and the meaning of its keys."""

    def __init__(self, path: Path, choice: CaptureChoice) -> None:
        self.path = path
        self._choice = choice
        self._root = choice.root or path.parent
        self._content = read_json(path)
        applied = self._matrix(self._content.get("applied_transform"), "applied_transform", np.eye(4))
        if abs(np.linalg.det(applied[:3, :3])) < 1e-9:
            raise InvalidInputError(f"{path}: 'applied_transform' cannot be undone")
        # nerfstudio first moves the world and then scales it.
        applied = np.diag([*[_positive(self._content, "applied_scale", path, 1.0)] * 3, 1.0]) @ applied
        self._source_from_stored = np.linalg.inv(applied)
        self.up_axis = self._up_axis()
        self.world_from_source = None
        if "world_from_source" in self._content:
            self.world_from_source = self._matrix(self._content["world_from_source"], "world_from_source", None)
        self.are_approximate = self._content.get("approximate") is True
        self.depth_unit = _positive(self._content, "integer_depth_scale", path, 0.0) or None

    def _up_axis(self) -> Any:
        if self._content.get("up_axis") in ("+y", "+z"):
            return self._content["up_axis"]
        return None if "applied_transform" in self._content else "+z"

    def _matrix(self, value: Any, key: str, default: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if value is None and default is not None:
            return default
        try:
            matrix = np.array(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            matrix = np.empty(0)
        if matrix.shape not in ((3, 4), (4, 4)) or not (np.abs(matrix) < LARGEST_NUMBER).all():
            raise InvalidInputError(f"{self.path}: {key!r} is no matrix of 3 or 4 rows and 4 columns of numbers")
        return np.concatenate([matrix[:3], [[0.0, 0.0, 0.0, 1.0]]])

    def points(self) -> PointCloud | None:
        """The point cloud that the file names, in the world of the source."""
        name = self._content.get("ply_file_path")
        if name is None or self._choice.unseen:
            return None
        file = self._sibling(name, "ply_file_path")
        if not file.is_file():
            self._choice.warn(f"{self.path} names the points {name}, which do not exist, and is read without them")
            return None
        cloud = read_point_cloud(file)
        rotation, translation = self._source_from_stored[:3, :3], self._source_from_stored[:3, 3]
        return PointCloud(cloud.positions @ rotation.T + translation, cloud.colours)

    def frames(self, missing: list[Path]) -> list[_Frame]:
        """All frames with an image; the paths of the others are appended to `missing`."""
        entries = self._content.get("frames")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InvalidInputError(f"{self.path} has no list 'frames' of objects", "It is no NeRF capture")
        frames = []
        for index, entry in enumerate(entries):
            where = f"frame {index}: "
            image = self._image(entry, where)
            if image.is_file() or (self._choice.unseen and {"w", "h"} <= (self._content | entry).keys()):
                frames.append(self._frame(entry, image, where))
            else:
                missing.append(image)
        return frames

    def _image(self, entry: Mapping[str, Any], where: str) -> Path:
        """Where a frame's image lies, or would."""
        name = entry.get("file_path")
        try:
            image = self._sibling(name, where + "file_path")
        except OutsideError:
            if not self._choice.unseen:
                raise
            return Path(name) if isinstance(name, str) else self.path
        return _with_suffix(image) or image

    def _frame(self, entry: dict[str, Any], image: Path, where: str) -> _Frame:
        settings = self._content | entry
        intrinsics, size = self._intrinsics(settings, image, where)
        stored = self._matrix(entry.get("transform_matrix"), where + "transform_matrix", None)
        pose = self._rigid(self._source_from_stored @ stored, where)
        mask, depth = entry.get("mask_path"), entry.get("depth_file_path")
        return _Frame(
            image=image,
            world_from_camera=opencv_from_opengl(torch.from_numpy(pose)).numpy(),
            intrinsics=intrinsics,
            size=size,
            lens=self._lens(settings, where),
            mask=None if mask is None else self._sibling(mask, where + "mask_path"),
            depth=None if depth is None else self._sibling(depth, where + "depth_file_path"),
            split=self._split(entry),
            time=None if "time" not in entry else _number(entry, "time", self.path, 0.0, where),
            view=_text(entry, "view"),
            clip=_text(entry, "clip"),
        )

    def _rigid(self, pose: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        """The pose with its rotation free of scale and rounding."""
        u, scales, v = np.linalg.svd(pose[:3, :3])
        if scales[2] <= 0.99 * scales[0] or np.linalg.det(pose[:3, :3]) <= 0:
            raise InvalidInputError(f"{self.path}: {where}'transform_matrix' is no rotation and translation")
        rigid = pose.copy()
        rigid[:3, :3] = u @ v
        return rigid

    def _intrinsics(
        self, settings: Mapping[str, Any], image: Path, where: str
    ) -> tuple[NDArray[np.float64], tuple[int, int]]:
        actual = image_size(image) if image.is_file() else (0, 0)
        width = _positive(settings, "w", self.path, actual[0], where)
        height = _positive(settings, "h", self.path, actual[1], where)
        angles: list[float | None] = []
        for key, extent in (("camera_angle_x", width), ("camera_angle_y", height)):
            angle = _number(settings, key, self.path, 0.0, where)
            if not 0 <= angle < math.pi:
                raise InvalidInputError(f"{self.path}: {where}{key!r} is no angle between 0 and pi radians")
            angles.append(0.5 * extent / math.tan(0.5 * angle) if angle else None)
        fx = _positive(settings, "fl_x", self.path, angles[0] or angles[1] or 0.0, where)
        fy = _positive(settings, "fl_y", self.path, angles[1] or fx, where)
        if not fx:
            raise InvalidInputError(f"{self.path}: {where}neither 'fl_x' nor 'camera_angle_x' gives a focal length")
        cx = _number(settings, "cx", self.path, width / 2, where)
        cy = _number(settings, "cy", self.path, height / 2, where)
        pinhole, declared = np.array([fx, fy, cx, cy]), (max(round(width), 1), max(round(height), 1))
        return fitted_intrinsics(pinhole, declared, image) if image.is_file() else (pinhole, declared)

    def _lens(self, settings: Mapping[str, Any], where: str) -> Lens | None:
        model = settings.get("camera_model", "OPENCV")
        is_fisheye = model == FISHEYE_MODEL or settings.get("is_fisheye") is True
        if not is_fisheye and model not in PINHOLE_MODELS:
            raise InvalidInputError(
                f"{self.path}: {where}'camera_model' {model!r} is not read here", "Reproject it to pinhole images"
            )
        k1, k2, k3, k4 = (_number(settings, key, self.path, 0.0, where) for key in RADIAL)
        p1, p2 = (_number(settings, key, self.path, 0.0, where) for key in TANGENTIAL)
        is_straight = not is_fisheye and not any((k1, k2, k3, k4, p1, p2))
        return None if is_straight else Lens((k1, k2, k3, k4), (p1, p2), is_fisheye)

    def _split(self, entry: Mapping[str, Any]) -> str | None:
        if isinstance(entry.get("split"), str):
            return entry["split"]
        named = self.path.stem.removeprefix("transforms_")
        if named in SPLITS:
            return named
        for split in SPLITS:
            names = self._content.get(f"{split}_filenames")
            if isinstance(names, list) and entry.get("file_path") in names:
                return split
        return None

    def _sibling(self, name: Any, key: str) -> Path:
        if not isinstance(name, str) or not name or "\0" in name:
            raise InvalidInputError(f"{self.path}: {key} is missing or no text")
        place = os.path.relpath(self.path.parent, self._root)
        try:
            return contained(self._root, normpath(join(place, name.replace("\\", "/"))))
        except OutsideError as error:
            raise OutsideError(
                f"{self.path}: {key} {name!r} leads out of {self._root}",
                "What it names must lie below the folder that is named: name one that holds both, or copy it there",
            ) from error


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    return entry[key] if isinstance(entry.get(key), str) else None


def _with_suffix(path: Path) -> Path | None:
    """The file itself, or with the suffix that Blender's NeRF sets leave out."""
    for candidate in (path, *(path.with_name(path.name + suffix) for suffix in IMAGE_SUFFIXES if path.name)):
        if candidate.is_file():
            return candidate
    return None


def _number(settings: Mapping[str, Any], key: str, path: Path, default: float, where: str = "") -> float:
    value = settings.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
        raise InvalidInputError(f"{path}: {where}{key!r} is no finite number")
    return float(value)


def _positive(settings: Mapping[str, Any], key: str, path: Path, default: float, where: str = "") -> float:
    value = _number(settings, key, path, default, where)
    if value <= 0 and settings.get(key) is not None:
        raise InvalidInputError(f"{path}: {where}{key!r} is not positive")
    return value


def write_transforms(path: Path, capture: PosedCapture) -> None:
    """Write a capture as nerfstudio and instant-ngp read it; more keys of our own stand in FORMAT.md.

    Camera values that all images share stand once at the top. Points go to `points.ply` beside the file.

    Args:
        path: the `.json` file; paths inside are relative to its folder.
        capture: written in its own world.

    Raises:
        WorkspaceError: a file cannot be written.
    """
    stored = opencv_from_opengl(torch.from_numpy(capture.world_from_camera)).tolist()
    cameras = [_camera_values(capture, i) for i in range(len(capture))]
    shared = cameras[0] if cameras and all(camera == cameras[0] for camera in cameras) else {}
    document: dict[str, Any] = dict(shared)
    if capture.up_axis is not None:
        document["up_axis"] = capture.up_axis
    if capture.world_from_source is not None:
        document["world_from_source"] = capture.world_from_source.tolist()
    if capture.are_approximate:
        document["approximate"] = True
    if capture.depth_unit is not None:
        document["integer_depth_scale"] = capture.depth_unit
    if capture.points is not None:
        points_path = path.with_name("points.ply")
        write_point_cloud(points_path, capture.points)
        document["ply_file_path"] = points_path.name
    document["frames"] = []
    for i, image in enumerate(capture.images):
        frame: dict[str, Any] = {"file_path": _relative(image, path.parent), **({} if shared else cameras[i])}
        for key, files in (("mask_path", capture.masks), ("depth_file_path", capture.depths)):
            if files is not None and (file := files[i]) is not None:
                frame[key] = _relative(file, path.parent)
        if capture.times is not None:
            frame["time"] = float(capture.times[i])
        for key, names in (("split", capture.splits), ("view", capture.views), ("clip", capture.clips)):
            if names is not None and names[i]:
                frame[key] = names[i]
        frame["transform_matrix"] = stored[i]
        document["frames"].append(frame)
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _camera_values(capture: PosedCapture, index: int) -> dict[str, Any]:
    lens = None if capture.lenses is None else capture.lenses[index]
    width, height = capture.sizes[index].tolist()
    model = FISHEYE_MODEL if lens is not None and lens.is_fisheye else "OPENCV"
    values: dict[str, Any] = {"camera_model": model, "w": width, "h": height}
    values |= dict(zip(("fl_x", "fl_y", "cx", "cy"), capture.intrinsics[index].tolist(), strict=True))
    if lens is not None:
        values |= dict(zip((*RADIAL, *TANGENTIAL), (*lens.radial, *lens.tangential), strict=True))
    return values


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
