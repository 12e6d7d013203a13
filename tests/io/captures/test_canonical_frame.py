from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from a4d.geometry.cameras import orbit
from a4d.io.assets.ply import PointCloud
from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
from a4d.io.captures.capture import PosedCapture


def foreign_capture(seed: int = 0) -> tuple[PosedCapture, np.ndarray]:
    """Twelve views around a unit ball, in a world turned, scaled and moved at random; and source_from_world."""
    azimuth = torch.arange(12) * 30.0
    cameras = orbit(azimuth, torch.tensor([10.0, 35.0, -15.0] * 4), 4.0, 2 * np.rad2deg(np.arcsin(0.25)), 64, 64)
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    source_from_world = np.eye(4)
    source_from_world[:3, :3], source_from_world[:3, 3] = 7.5 * turn, generator.normal(size=3) * 20
    capture = PosedCapture(
        images=tuple(Path(f"{i}.png") for i in range(12)),
        world_from_camera=cameras.world_from_camera.double().numpy(),
        intrinsics=cameras.intrinsics.double().numpy(),
        sizes=np.array([[64, 64]] * 12),
    )
    moved = transform_capture(capture, source_from_world)
    return replace(moved, up_axis=None, world_from_source=None), source_from_world


def masks_of_ball(capture: PosedCapture, centre: np.ndarray, radius: float) -> list[np.ndarray]:
    masks = []
    for pose, (fx, fy, cx, cy) in zip(capture.world_from_camera, capture.intrinsics, strict=True):
        y, x = np.mgrid[:64, :64] + 0.5
        rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        to_centre = (centre - pose[:3, 3]) @ pose[:3, :3]
        along = rays @ to_centre
        masks.append(to_centre @ to_centre - along**2 < radius**2)
    return masks


@pytest.mark.parametrize("seed", range(3))
def test_field_of_view_fills_the_unit_ball(seed):
    capture, source_from_world = foreign_capture(seed)
    world_from_world = canonical_frame(capture) @ source_from_world
    # The mean camera's up is close to ours, and the first camera is the front; scale and centre are exact.
    assert np.cbrt(np.linalg.det(world_from_world[:3, :3])) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(world_from_world[:3, 3], 0, atol=1e-4)
    np.testing.assert_allclose(world_from_world[:3, :3], np.eye(3), atol=0.05)


def test_masks_find_the_subject():
    capture, source_from_world = foreign_capture()
    centre_in_world = np.array([0.2, -0.1, 0.15])
    centre = source_from_world[:3, :3] @ centre_in_world + source_from_world[:3, 3]
    masks = masks_of_ball(capture, centre, 0.4 * 7.5)
    found = canonical_frame(capture, masks)
    assert np.linalg.norm(found[:3, :3] @ centre + found[:3, 3]) < 0.05
    # The subject's radius, 0.4 * 7.5, becomes one, or a little less: the hull is larger than the subject.
    assert 0.85 < 0.4 * 7.5 * np.cbrt(np.linalg.det(found[:3, :3])) <= 1.0


@pytest.mark.parametrize("shared", [12, 2], ids=["all around", "nearly one side"])
def test_a_mask_that_is_not_there_says_nothing_of_the_place(shared: int):
    capture, source_from_world = foreign_capture()
    capture = replace(
        capture,
        images=capture.images[:shared],
        world_from_camera=capture.world_from_camera[:shared],
        intrinsics=capture.intrinsics[:shared],
        sizes=capture.sizes[:shared],
    )
    masks = masks_of_ball(capture, source_from_world[:3, 3], 0.4 * 7.5)
    whole, partial = canonical_frame(capture, masks), canonical_frame(capture, [*masks[:-1], None])
    ratio = np.cbrt(np.linalg.det(partial[:3, :3]) / np.linalg.det(whole[:3, :3]))
    assert ratio == pytest.approx(1, abs=0.1)


def test_points_find_the_subject_among_strays():
    capture, source_from_world = foreign_capture()
    generator = np.random.default_rng(1)
    ball = generator.normal(size=(2000, 3))
    ball = 0.5 * ball / np.linalg.norm(ball, axis=1, keepdims=True) + [0.1, 0, 0]
    strays = generator.normal(size=(300, 3)) * 50
    points = np.concatenate([ball, strays]) @ source_from_world[:3, :3].T + source_from_world[:3, 3]
    found = canonical_frame(replace(capture, points=PointCloud(points))) @ source_from_world
    assert np.cbrt(np.linalg.det(found[:3, :3])) == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose(found[:3, :3] @ [0.1, 0, 0] + found[:3, 3], 0, atol=0.05)


def test_the_way_back_is_recorded():
    capture, _ = foreign_capture()
    capture = replace(capture, points=PointCloud(np.random.default_rng(2).normal(size=(9, 3))))
    first = transform_capture(capture, canonical_frame(capture))
    second = transform_capture(first, np.diag([3.0, 3.0, 3.0, 1.0]))
    assert second.up_axis == "+y"
    back = transform_capture(second, np.linalg.inv(second.world_from_source))
    np.testing.assert_allclose(back.world_from_camera, capture.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(back.points.positions, capture.points.positions, atol=1e-9)
    np.testing.assert_allclose(back.world_from_source, np.eye(4), atol=1e-9)
    # What a camera sees does not depend on the world it is told in.
    pixels, _ = capture.cameras().project(torch.from_numpy(capture.points.positions).float())
    moved_pixels, _ = second.cameras().project(torch.from_numpy(second.points.positions).float())
    torch.testing.assert_close(moved_pixels, pixels, rtol=1e-3, atol=0.05)


def test_one_camera_is_enough():
    capture, _ = foreign_capture()
    one = transform_capture(capture.subset([4]), canonical_frame(capture.subset([4])))
    position, forward = one.world_from_camera[0, :3, 3], one.world_from_camera[0, :3, 2]
    np.testing.assert_allclose(forward, -position / np.linalg.norm(position), atol=1e-6)
    assert np.linalg.norm(position) == pytest.approx(4.0, rel=1e-4)
    assert position[0] == pytest.approx(0, abs=1e-6)
    assert position[2] > 0


def test_masks_of_a_film_find_all_that_moves():
    capture, source_from_world = foreign_capture()
    places = np.array([[0.3 * np.sin(index), 0.0, 0.3 * np.cos(index)] for index in range(12)])
    centres = places @ source_from_world[:3, :3].T + source_from_world[:3, 3]
    parts = [masks_of_ball(capture, centre, 0.3 * 7.5)[index] for index, centre in enumerate(centres)]
    still = 0.3 * 7.5 * np.cbrt(np.linalg.det(canonical_frame(capture, parts)[:3, :3]))
    film = replace(capture, times=np.linspace(0, 1, 12))
    moving = 0.3 * 7.5 * np.cbrt(np.linalg.det(canonical_frame(film, parts)[:3, :3]))
    # What all frames share is smaller than the ball, and would leave it outside of the unit ball.
    assert still > 1.2
    assert 0.5 < moving < 1.0


@pytest.mark.parametrize("swing", [0.0, 45.0])
def test_a_film_from_one_side_frames_its_subject_as_large_as_it_looks(swing):
    times = np.arange(12) / 12
    azimuth = torch.cat([torch.from_numpy(swing * np.sin(2 * np.pi * times)), torch.tensor([120.0, 240.0])]).float()
    cameras = orbit(azimuth, torch.full((14,), 15.0), 2.8, 40.0, 64, 64)
    capture = PosedCapture(
        images=tuple(Path(f"{i}.png") for i in range(14)),
        world_from_camera=cameras.world_from_camera.double().numpy(),
        intrinsics=cameras.intrinsics.double().numpy(),
        sizes=np.array([[64, 64]] * 14),
        splits=("train",) * 12 + ("test",) * 2,
        times=np.append(times, [0.0, 0.5]),
        up_axis="+y",
    )
    world_from_source = canonical_frame(capture, masks_of_ball(capture, np.zeros(3), 0.6))
    # The hull of such masks is as long as the box that it is looked for in.
    np.testing.assert_allclose(world_from_source[:3, 3], 0, atol=0.1)
    assert 0.6 * world_from_source[0, 0] == pytest.approx(0.75, abs=0.1)
