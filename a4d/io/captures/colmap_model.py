"""COLMAP's sparse model as it lies on disk, in text and in binary: cameras, images and points3D."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.assets.ply import PointCloud
from a4d.io.complaints import quoted
from a4d.io.files import read_bytes, read_text, write_bytes, write_text

CAMERA_MODELS = {
    "SIMPLE_PINHOLE": (0, "f cx cy"),
    "PINHOLE": (1, "fx fy cx cy"),
    "SIMPLE_RADIAL": (2, "f cx cy k1"),
    "RADIAL": (3, "f cx cy k1 k2"),
    "OPENCV": (4, "fx fy cx cy k1 k2 p1 p2"),
    "OPENCV_FISHEYE": (5, "fx fy cx cy k1 k2 k3 k4"),
    "FULL_OPENCV": (6, "fx fy cx cy k1 k2 p1 p2 k3 divisor_1 divisor_2 divisor_3"),
    "FOV": (7, "fx fy cx cy omega"),
    "SIMPLE_RADIAL_FISHEYE": (8, "f cx cy k1"),
    "RADIAL_FISHEYE": (9, "f cx cy k1 k2"),
    "THIN_PRISM_FISHEYE": (10, "fx fy cx cy k1 k2 p1 p2 k3 k4 prism_x prism_y"),
}
"""Number of each camera model in binary files, and its parameters in order."""


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics shared by images: the name of a camera model and its parameters in COLMAP's order."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """One registered image: camera_from_world as a wxyz quaternion and a translation."""

    name: str
    camera_id: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class ColmapModel:
    """Cameras by id, images, and the points with their sRGB colours."""

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: PointCloud | None = None


def read_colmap_model(folder: Path) -> ColmapModel:
    """The model in a folder; the binary files are preferred, the points may be absent.

    Raises:
        MissingInputError: there is no model.
        InvalidInputError: a file is truncated or breaks the format.
    """
    for suffix, readers in ((".bin", BINARY_READERS), (".txt", TEXT_READERS)):
        if (folder / f"cameras{suffix}").is_file() and (folder / f"images{suffix}").is_file():
            read_cameras, read_images, read_points = readers
            points = folder / f"points3D{suffix}"
            try:
                return ColmapModel(
                    read_cameras(folder / f"cameras{suffix}"),
                    read_images(folder / f"images{suffix}"),
                    read_points(points) if points.is_file() else None,
                )
            except OverflowError as error:
                raise InvalidInputError(f"{folder} holds a COLMAP model with a number out of range") from error
    raise MissingInputError(f"{folder} holds no COLMAP model", "It needs cameras and images as .bin or .txt")


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = read_bytes(path)
        self._position = 0

    def read(self, layout: str) -> tuple:
        """The next values, as `struct` lays them out, little-endian."""
        size = struct.calcsize("<" + layout)
        values = self._content[self._position : self._position + size]
        if len(values) < size:
            raise InvalidInputError(f"{self._path} is truncated", "Copy it again")
        self._position += size
        return struct.unpack("<" + layout, values)

    def read_name(self) -> str:
        """The text up to the next zero byte."""
        end = self._content.find(b"\0", self._position)
        if end < 0:
            raise InvalidInputError(f"{self._path} is truncated", "Copy it again")
        name = self._content[self._position : end]
        self._position = end + 1
        return name.decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        self._position += count
        if self._position > len(self._content):
            raise InvalidInputError(f"{self._path} is truncated", "Copy it again")


def _read_cameras_binary(path: Path) -> dict[int, ColmapCamera]:
    cursor = _Cursor(path)
    models = {number: (name, len(params.split())) for name, (number, params) in CAMERA_MODELS.items()}
    cameras = {}
    for _ in range(cursor.read("Q")[0]):
        camera_id, number, width, height = cursor.read("IiQQ")
        if number not in models:
            raise InvalidInputError(f"{path} has a camera of the unknown model {number}")
        name, count = models[number]
        cameras[camera_id] = ColmapCamera(name, width, height, cursor.read(f"{count}d"))
    return cameras


def _read_images_binary(path: Path) -> tuple[ColmapImage, ...]:
    cursor = _Cursor(path)
    images = []
    for _ in range(cursor.read("Q")[0]):
        values = cursor.read("I7dI")
        images.append(ColmapImage(cursor.read_name(), values[8], values[1:5], values[5:8]))
        cursor.skip(24 * cursor.read("Q")[0])
    return tuple(images)


def _read_points_binary(path: Path) -> PointCloud:
    cursor = _Cursor(path)
    rows = []
    for _ in range(cursor.read("Q")[0]):
        values = cursor.read("Q3d3BdQ")
        rows.append(values[1:7])
        cursor.skip(8 * values[8])
    return _point_cloud(path, rows)


def _point_cloud(path: Path, rows: list[tuple[float, ...]]) -> PointCloud:
    table = np.array(rows, np.float64).reshape(-1, 6)
    if not np.isfinite(table).all():
        raise InvalidInputError(f"{path} holds points that are not finite numbers")
    return PointCloud(table[:, :3], (table[:, 3:] / 255).clip(0.0, 1.0).astype(np.float32))


def _records(path: Path) -> Iterator[list[str]]:
    for line in read_text(path).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.split()


def _broken_line(path: Path, words: Iterable[str]) -> InvalidInputError:
    return InvalidInputError(f"{path} has a line that makes no sense: {quoted(' '.join(words))}")


def _read_cameras_text(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for words in _records(path):
        try:
            camera_id, model, width, height, *params = words
            camera = ColmapCamera(model, int(width), int(height), tuple(map(float, params)))
            cameras[int(camera_id)] = camera
        except ValueError as error:
            raise _broken_line(path, words) from error
        if model not in CAMERA_MODELS or len(params) != len(CAMERA_MODELS[model][1].split()):
            raise _broken_line(path, words)
    return cameras


def _read_images_text(path: Path) -> tuple[ColmapImage, ...]:
    images = []
    lines = iter([line for line in read_text(path).splitlines() if not line.lstrip().startswith("#")])
    for line in lines:
        if not line.strip():
            continue
        try:
            _, qw, qx, qy, qz, tx, ty, tz, camera_id, name = line.split(maxsplit=9)
            quaternion, translation = (qw, qx, qy, qz), (tx, ty, tz)
            images.append(
                ColmapImage(name.strip(), int(camera_id), tuple(map(float, quaternion)), tuple(map(float, translation)))
            )
        except ValueError as error:
            raise _broken_line(path, [line]) from error
        # Every image has a second line, of its keypoints, which may be empty.
        next(lines, None)
    return tuple(images)


def _read_points_text(path: Path) -> PointCloud:
    rows = []
    for words in _records(path):
        try:
            rows.append(tuple(map(float, words[1:7])))
            if len(words) < 8:
                raise _broken_line(path, words)
        except ValueError as error:
            raise _broken_line(path, words) from error
    return _point_cloud(path, rows)


BINARY_READERS = (_read_cameras_binary, _read_images_binary, _read_points_binary)
TEXT_READERS = (_read_cameras_text, _read_images_text, _read_points_text)


def write_colmap_model(folder: Path, model: ColmapModel, is_binary: bool = True) -> None:
    """Write a model without keypoints and tracks: what other programs need to start from known cameras.

    Raises:
        WorkspaceError: a file cannot be written.
    """
    points = model.points or PointCloud(np.zeros((0, 3)))
    grey = np.full((len(points), 3), 0.5)
    rgb = np.rint((grey if points.colours is None else points.colours) * 255).astype(np.uint8)
    (_write_binary if is_binary else _write_text)(folder, model, points.positions, rgb)


def _write_binary(folder: Path, model: ColmapModel, positions: np.ndarray, rgb: np.ndarray) -> None:
    cameras = [struct.pack("<Q", len(model.cameras))]
    for camera_id, camera in model.cameras.items():
        layout = f"<IiQQ{len(camera.params)}d"
        number = CAMERA_MODELS[camera.model][0]
        cameras.append(struct.pack(layout, camera_id, number, camera.width, camera.height, *camera.params))
    images = [struct.pack("<Q", len(model.images))]
    for i, image in enumerate(model.images, start=1):
        images.append(struct.pack("<I7dI", i, *image.quaternion, *image.translation, image.camera_id))
        images.append(image.name.encode("utf-8") + b"\0" + struct.pack("<Q", 0))
    record = [("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")]
    table = np.zeros(len(positions), record)
    table["id"], table["xyz"], table["rgb"] = np.arange(1, len(positions) + 1), positions, rgb
    write_bytes(folder / "cameras.bin", *cameras)
    write_bytes(folder / "images.bin", *images)
    write_bytes(folder / "points3D.bin", struct.pack("<Q", len(table)), table.tobytes())


def _write_text(folder: Path, model: ColmapModel, positions: np.ndarray, rgb: np.ndarray) -> None:
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    for camera_id, camera in model.cameras.items():
        params = " ".join(map(repr, camera.params))
        cameras.append(f"{camera_id} {camera.model} {camera.width} {camera.height} {params}")
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of keypoints"]
    for i, image in enumerate(model.images, start=1):
        pose = " ".join(map(repr, (*image.quaternion, *image.translation)))
        images += [f"{i} {pose} {image.camera_id} {image.name}", ""]
    points = ["# POINT3D_ID X Y Z R G B ERROR TRACK[]"]
    for i, (position, colour) in enumerate(zip(positions.tolist(), rgb.tolist(), strict=True), start=1):
        points.append(" ".join([str(i), *map(repr, position), *map(str, colour), "0"]))
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        write_text(folder / f"{name}.txt", "\n".join(lines) + "\n")
