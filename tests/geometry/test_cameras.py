import math

import pytest
import torch

from a4d.geometry.cameras import (
    Y_UP_FROM_Z_UP,
    Cameras,
    look_at,
    opencv_from_colmap,
    opencv_from_opengl,
    orbit,
    turntable,
)


def camera(azimuth: float, elevation: float, size: int = 100, fov: float = 90.0, radius: float = 2.0) -> Cameras:
    return orbit(torch.tensor([azimuth]), torch.tensor([elevation]), radius, fov, size, size)


# With a 90 degree field of view and 100 pixels the focal length is 50 pixels; the camera is 2 m from the origin.
@pytest.mark.parametrize(
    ("azimuth", "elevation", "point", "pixel", "depth"),
    [
        (0, 0, (0, 0, 0), (50, 50), 2.0),
        (0, 0, (1, 0, 0), (75, 50), 2.0),
        (0, 0, (0, 1, 0), (50, 25), 2.0),
        (0, 0, (0, 0, 1), (50, 50), 1.0),
        (90, 0, (0, 0, 1), (25, 50), 2.0),
        (90, 0, (1, 0, 0), (50, 50), 1.0),
        (180, 0, (1, 0, 0), (25, 50), 2.0),
        (0, 90, (0, 0, 1), (50, 75), 2.0),
        (0, 30, (0, 1, 0), (50, 50 - 50 * math.cos(math.radians(30)) / 1.5), 1.5),
    ],
)
def test_projected_points(azimuth: float, elevation: float, point: tuple, pixel: tuple, depth: float) -> None:
    pixels, depths = camera(azimuth, elevation).project(torch.tensor([point], dtype=torch.float32))
    assert pixels[0, 0].tolist() == pytest.approx(pixel, abs=1e-4)
    assert float(depths[0, 0]) == pytest.approx(depth, abs=1e-5)


def test_positive_azimuth_is_toward_plus_x_and_positive_elevation_above() -> None:
    assert camera(90, 0).positions[0].tolist() == pytest.approx([2, 0, 0], abs=1e-6)
    assert camera(0, 45).positions[0].tolist() == pytest.approx([0, math.sqrt(2), math.sqrt(2)], abs=1e-6)


def test_rays_meet_the_points_that_project_to_their_pixels() -> None:
    cameras = orbit(torch.tensor([20.0, 200.0]), torch.tensor([10.0, -30.0]), 3.0, 50.0, 32, 24)
    origins, directions = cameras.rays()
    points = origins + 2.5 * directions
    pixels, depth = cameras.project(points.flatten(1, 2))
    assert torch.allclose(depth, torch.full_like(depth, 2.5), atol=1e-5)
    column, row = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(24) + 0.5, indexing="xy")
    expected = torch.stack([column, row], dim=-1).flatten(0, 1).expand(2, -1, 2)
    assert torch.allclose(pixels, expected, atol=1e-3)


def test_resizing_scales_pixels_about_the_corner_not_the_centre_of_the_first_pixel() -> None:
    points = torch.randn(5, 3) * 0.3
    small, _ = camera(30, 10).project(points)
    large, _ = camera(30, 10).resized(200, 300).project(points)
    assert torch.allclose(large, small * torch.tensor([2.0, 3.0]), atol=1e-3)


def test_looking_straight_down_has_no_singularity() -> None:
    for height in (2.0, -2.0):
        pose = look_at(torch.tensor([[0.0, height, 0.0]]))[0, :3, :3]
        assert torch.allclose(pose.T @ pose, torch.eye(3), atol=1e-6)
        assert float(torch.linalg.det(pose)) == pytest.approx(1, abs=1e-6)


def test_a_turntable_starts_at_the_front_and_turns_toward_plus_x() -> None:
    positions = turntable(4, 0.0, 2.0, 40.0, 64).positions
    expected = torch.tensor([[0.0, 0, 2], [2, 0, 0], [0, 0, -2], [-2, 0, 0]])
    assert torch.allclose(positions, expected, atol=1e-5)


# Each foreign system describes the same camera: at (0, 0, 2), looking at the origin, +Y up in the image.
FIVE_POINTS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, -0.5, 1], [-1, 0.25, -1]])
FIVE_PIXELS = torch.tensor([[50.0, 50], [75, 50], [50, 25], [75, 75], [100 / 3, 50 - 12.5 / 3]])


def foreign_poses() -> dict[str, torch.Tensor]:
    opengl = torch.eye(4)
    opengl[2, 3] = 2
    colmap = opencv_from_colmap(torch.tensor([0.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 2.0]))
    blender = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]])
    return {
        "opengl": opencv_from_opengl(opengl),
        "colmap": colmap,
        "blender": opencv_from_opengl(Y_UP_FROM_Z_UP @ blender),
    }


@pytest.mark.parametrize("system", ["opengl", "colmap", "blender"])
def test_foreign_conventions_project_the_same_five_points(system: str) -> None:
    cameras = Cameras(foreign_poses()[system][None], torch.tensor([[50.0, 50, 50, 50]]), 100, 100)
    assert torch.allclose(cameras.project(FIVE_POINTS)[0][0], FIVE_PIXELS, atol=1e-3)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="intrinsics"):
        Cameras(torch.eye(4)[None], torch.zeros(2, 4), 8, 8)
