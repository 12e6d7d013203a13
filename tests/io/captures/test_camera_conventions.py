"""Five projected points for each foreign camera system; every number was worked out by hand from its documentation."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from a4d.geometry.cameras import Cameras
from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
from a4d.io.captures.capture_reader import read_capture


def colmap_cameras(folder) -> Cameras:
    """A quarter turn about y, (x, y, z) to (z, y, -x), then a shift: x right, y down, z forward; f 100 and 120."""
    half = math.sqrt(0.5)
    (folder / "cameras.txt").write_text("1 PINHOLE 100 80 100 120 50 40\n")
    (folder / "images.txt").write_text(f"1 {half} 0 {half} 0 0.5 -0.25 4 1 a.png\n\n")
    (folder / "images").mkdir()
    Image.new("RGB", (100, 80)).save(folder / "images" / "a.png")
    return read_capture(folder).cameras()


def nerfstudio_cameras(folder) -> Cameras:
    """At (1, 2, 10), unturned: x right, y up, looking along -z; f 100."""
    pose = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 10], [0, 0, 0, 1]]
    document = {"fl_x": 100, "fl_y": 100, "cx": 50, "cy": 40, "w": 100, "h": 80}
    document["frames"] = [{"file_path": "a.png", "transform_matrix": pose}]
    return transforms_cameras(folder, document)


def blender_cameras(folder) -> Cameras:
    """Blender's front view: at (0, -5, 0), image right is +X, image up is +Z; a field of view with f 100."""
    pose = [[1, 0, 0, 0], [0, 0, -1, -5], [0, 1, 0, 0], [0, 0, 0, 1]]
    document = {"camera_angle_x": 2 * math.atan(0.5), "frames": [{"file_path": "./a", "transform_matrix": pose}]}
    return transforms_cameras(folder, document)


def transforms_cameras(folder, document) -> Cameras:
    Image.new("RGB", (100, 80)).save(folder / "a.png")
    (folder / "transforms.json").write_text(json.dumps(document))
    return read_capture(folder).cameras()


TABLE = [
    (
        colmap_cameras,
        [(0, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1), (-4, 2, -2.5)],
        [(62.5, 32.5, 4), (60, 34, 5), (62.5, 62.5, 4), (87.5, 32.5, 4), (25, 66.25, 8)],
    ),
    (
        nerfstudio_cameras,
        [(1, 2, 0), (2, 2, 0), (1, 3, 0), (0, 1, 5), (3, 2, 8)],
        [(50, 40, 10), (60, 40, 10), (50, 30, 10), (30, 60, 5), (150, 40, 2)],
    ),
    (
        blender_cameras,
        [(0, 0, 0), (1, 0, 0), (0, 0, 1), (-2, 5, 0), (0, 5, 2)],
        [(50, 40, 5), (70, 40, 5), (50, 20, 5), (30, 40, 10), (50, 20, 10)],
    ),
]


@pytest.mark.parametrize(("make", "points", "expected"), TABLE, ids=[row[0].__name__ for row in TABLE])
def test_five_points(tmp_path, make, points, expected):
    pixels, depth = make(tmp_path).project(torch.tensor(points, dtype=torch.float32))
    found = torch.cat([pixels[0], depth[0, :, None]], dim=1)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-4)


def test_blender_front_becomes_our_front(tmp_path):
    blender_cameras(tmp_path)
    capture = read_capture(tmp_path)
    canonical = transform_capture(capture, canonical_frame(capture))
    position = canonical.world_from_camera[0, :3, 3]
    np.testing.assert_allclose(position / np.linalg.norm(position), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(canonical.world_from_camera[0, :3, 1], [0, -1, 0], atol=1e-6)
