"""Photographs of three coloured spots through any lens, so that a camera can be tested by where it projects them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from a4d.io.captures.transforms_json import read_transforms
from a4d.io.pictures.images import read_image

SPOTS = np.array([[-0.5, 0.45, 0.3], [0.5, 0.45, -0.4], [0.1, -0.6, 0.45]])
"""(3, 3) metres in the world of the capture; red, green and blue."""

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
SIZE = 160, 120


@dataclass(frozen=True)
class Photograph:
    """One of them with its truth: OpenCV axes, and intrinsics with pixel centres at halves."""

    path: Path
    world_from_camera: np.ndarray
    intrinsics: tuple[float, float, float, float]

    def entry(self, **values: object) -> dict[str, object]:
        """The frame in a `transforms.json` beside the pictures."""
        matrix = (self.world_from_camera @ OPENGL).tolist()
        return {"file_path": self.path.name, "transform_matrix": matrix, **values}


def look_at_origin(azimuth: float, elevation: float, radius: float) -> np.ndarray:
    """(4, 4) of a camera in a world with +Z up, angles in degrees."""
    a, e = np.radians([azimuth, elevation])
    position = radius * np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    forward = -position / radius
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, position], axis=1)
    return pose


def photograph(
    folder: Path,
    focal: tuple[float, ...] = (150.0, 150.0, 150.0, 150.0),
    distortion: tuple[float, ...] = (),
    suffix: str = ".png",
    **saving: object,
) -> list[Photograph]:
    """Take one picture per focal length from around the spots; `distortion` is OpenCV's k1, k2, p1, p2."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for index, length in enumerate(focal):
        pose = look_at_origin(360 * index / len(focal) + 20, 15 + 10 * (index % 2), 2.0)
        intrinsics = (length, length * 1.05, SIZE[0] / 2 + 3, SIZE[1] / 2 - 2)
        path = folder / f"photo_{index}{suffix}"
        Image.fromarray(np.rint(255 * _picture(pose, intrinsics, distortion)).astype(np.uint8)).save(path, **saving)
        taken.append(Photograph(path, pose, intrinsics))
    return taken


def _picture(pose: np.ndarray, intrinsics: tuple[float, ...], distortion: tuple[float, ...]) -> np.ndarray:
    camera_from_world = np.linalg.inv(pose)
    fx, fy, cx, cy = intrinsics
    rotation, _ = cv2.Rodrigues(camera_from_world[:3, :3])
    # OpenCV puts pixel centres at whole numbers.
    matrix = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    points, _ = cv2.projectPoints(SPOTS, rotation, camera_from_world[:3, 3], matrix, np.array(distortion or (0.0,) * 4))
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.stack([np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in points[:, 0]], axis=-1)


def centres(pixels: np.ndarray) -> np.ndarray:
    """(3, 2) where the spots are in a picture, pixel centres at halves."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    weights = np.where(pixels[..., :3] > 0.2, pixels[..., :3], 0)
    return (
        np.stack([(weights * x[..., None]).sum((0, 1)), (weights * y[..., None]).sum((0, 1))], -1)
        / weights.sum((0, 1))[:, None]
    )


def misses(workspace: str, spots: np.ndarray = SPOTS) -> np.ndarray:
    """Pixels between where the cameras of a workspace project the spots, and where its images show them."""
    document = json.loads((Path(workspace) / "transforms.json").read_text())
    to_world = np.array(document.get("world_from_source", np.eye(4)))
    capture = read_transforms(Path(workspace) / "transforms.json")
    assert not capture.is_distorted
    in_world = spots @ to_world[:3, :3].T + to_world[:3, 3]
    distances = []
    for image, pose, intrinsics in zip(capture.images, capture.world_from_camera, capture.intrinsics, strict=True):
        in_camera = (in_world - pose[:3, 3]) @ pose[:3, :3]
        projected = in_camera[:, :2] / in_camera[:, 2:] * intrinsics[:2] + intrinsics[2:]
        distances.append(np.linalg.norm(projected - centres(read_image(image)), axis=-1))
    return np.array(distances)
