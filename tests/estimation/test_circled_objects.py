"""Cameras around something that moves, out of its silhouettes and colours alone."""

import numpy as np
import pytest
import torch
from circled_creatures import circled_creature, turned_apart

from a4d.errors import QualityError
from a4d.estimation.objects import carving_kernels, fit
from a4d.estimation.objects.courses import Course, Known, standing
from a4d.estimation.objects.crops import look_at_subject
from a4d.estimation.objects.fit import ObjectCameras, find_cameras
from a4d.estimation.objects.search import Appraiser, Effort
from a4d.estimation.objects.turning import borne_out
from a4d.geometry.cameras import orbit
from a4d.geometry.reconstruction.visual_hull import view_weights

NOTHING_KNOWN = Known()
COARSE = (Effort(24, 24, 16, 5, 3),)


def found_in(rgba: np.ndarray, lens: np.ndarray, known: Known = NOTHING_KNOWN) -> ObjectCameras:
    return find_cameras(rgba, lens, np.array([0.0, 0, *rgba.shape[2:0:-1]]), known, lambda share: None, COARSE)


def test_a_camera_that_goes_around_a_walking_creature_is_found_twice_the_same() -> None:
    film = circled_creature(360.0)
    found = found_in(film.rgba, film.lens, Known(azimuth=50.0))
    true = film.cameras.world_from_camera.double().numpy()
    assert turned_apart(found.world_from_camera, true) < 12
    assert not found.is_still
    assert found.turn == pytest.approx(345, abs=30)
    assert 0 < found.elevation < 35
    assert found.confidence > 0.8
    assert found.overlap > 0.65
    position = found.world_from_camera[0, :3, 3]
    assert np.degrees(np.arctan2(position[0], position[2])) == pytest.approx(50, abs=6)
    again = found_in(film.rgba, film.lens, Known(azimuth=50.0))
    assert np.array_equal(found.world_from_camera, again.world_from_camera)


def test_the_object_is_in_the_middle_of_the_world_and_fills_the_unit_ball() -> None:
    film = circled_creature(360.0)
    found = found_in(film.rgba, film.lens)
    apart = np.linalg.norm(found.world_from_camera[:, :3, 3], axis=1)
    assert np.ptp(apart) < 0.25 * apart.mean()
    assert 0.4 < np.linalg.norm(found.shape, axis=1).max() < 1.0
    up = -found.world_from_camera[:, :3, 1]
    assert (up[:, 1] > 0.8).all()


def test_a_camera_before_a_creature_that_walks_on_the_spot_is_found_to_stand_still() -> None:
    film = circled_creature(0.0)
    found = found_in(film.rgba, film.lens, Known(azimuth=30.0, elevation=15.0))
    assert found.is_still
    assert found.turn == 0
    true = film.cameras.world_from_camera.double().numpy()
    assert turned_apart(found.world_from_camera, true) < 3
    turned = np.degrees(np.arccos((true[:, :3, 2] * found.world_from_camera[:, :3, 2]).sum(1).clip(-1, 1)))
    assert turned.max() < 6


def test_a_camera_that_is_known_to_stand_still_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "find_course", None)
    film = circled_creature(0.0)
    found = found_in(film.rgba, film.lens, Known(azimuth=30.0, elevation=15.0, is_still=True))
    assert found.is_still
    assert found.confidence is None
    assert found.overlap > 0.5
    true = film.cameras.world_from_camera.double().numpy()
    assert turned_apart(found.world_from_camera, true) < 3
    turned = np.degrees(np.arccos((true[:, :3, 2] * found.world_from_camera[:, :3, 2]).sum(1).clip(-1, 1)))
    assert turned.max() < 6
    circled = circled_creature(360.0)
    assert found_in(circled.rgba, circled.lens, Known(is_still=True)).overlap < found.overlap - 0.1


def test_a_camera_that_stands_for_long_before_it_turns_is_followed_for_the_few_frames_of_the_turn() -> None:
    film = circled_creature(100.0, stands=0.7)
    found = found_in(film.rgba, film.lens)
    assert not found.is_still
    assert found.turn == pytest.approx(86, abs=30)
    ahead = found.world_from_camera[:, :3, 2]
    turned = np.degrees(np.arccos((ahead @ ahead[0]).clip(-1, 1)))
    assert turned[:17].max() < 30
    assert turned[-1] > 50
    assert found.confidence > 0.8


def test_frames_without_the_subject_or_with_a_part_of_it_are_filled_in() -> None:
    film = circled_creature(360.0)
    whole = found_in(film.rgba, film.lens)
    damaged = film.rgba.copy()
    damaged[5, ..., 3] = 0
    damaged[9, 0, :, 3] = 1
    found = found_in(damaged, film.lens)
    assert np.flatnonzero(~found.is_seen).tolist() == [5]
    assert np.flatnonzero(~found.is_whole).tolist() == [5, 9]
    assert np.isfinite(found.world_from_camera).all()
    ways = [each.world_from_camera[6, :3, :3].T @ each.world_from_camera[5, :3, :3] for each in (whole, found)]
    assert np.degrees(np.arccos((np.trace(ways[0].T @ ways[1]) - 1) / 2)) < 8


def test_a_subject_that_is_whole_in_few_frames_is_refused() -> None:
    film = circled_creature(360.0, frames=7)
    with pytest.raises(QualityError, match="only 7 of 7 frames"):
        found_in(film.rgba, film.lens)


def test_a_course_turns_as_orbits_do() -> None:
    azimuth, elevation = np.array([0.0, 70.0, 500.0]), np.array([10.0, -20.0, 60.0])
    course = Course(azimuth, elevation, np.log([3.0, 2.0, 1.0]))
    for index, distance in enumerate((3.0, 2.0, 1.0)):
        true = orbit(torch.tensor(azimuth[[index]]), torch.tensor(elevation[[index]]), distance, 40.0, 8, 8)
        np.testing.assert_allclose(course.camera_from_object[index], true.camera_from_world[0, :3].numpy(), atol=1e-6)
    other = Course(azimuth + 90, elevation, course.log_distance)
    assert course.distance_to(other) < 1e-5
    assert course.distance_to(Course(-azimuth, elevation, course.log_distance)) > 60


def test_a_view_weighs_the_same_however_many_frames_show_it() -> None:
    azimuth = np.concatenate([np.zeros(6), [120.0, 240.0]])
    course = Course(azimuth, np.zeros(8), np.zeros(8))
    assert not course.is_still
    weights = view_weights(course.camera_from_object)
    np.testing.assert_allclose(weights, [1 / 6] * 6 + [1, 1], rtol=1e-3)
    still = Course(azimuth / 20, np.zeros(8), np.zeros(8))
    assert still.is_still
    assert np.ptp(view_weights(still.camera_from_object)) < 0.01


def test_flow_is_explained_by_a_surface_that_moves_alike_and_by_no_other() -> None:
    points, nearest = np.array([[0.0, 0, 0]]), np.zeros((1, 4, 4), np.int64)
    masks, flows = np.ones((1, 4, 4), np.bool_), np.tile(np.float32([2, 0]), (1, 4, 4, 1))
    poses = np.concatenate([np.eye(3), [[0.0], [0], [2]]], axis=1)[None]

    def explained(right: float) -> float:
        later = poses.copy()
        later[0, 0, 3] = right
        return carving_kernels.follow(points, nearest, masks, flows, poses, later, 10.0)

    shares = [explained(right) for right in (0.4, 0.2, 0.0, -0.1, -4.0)]
    assert shares == pytest.approx([1.0, 0.75, 0.0, -0.5625, -1.0], abs=1e-6)


def test_flow_bears_out_a_turn_that_the_camera_takes_and_none_that_gestures_look_like() -> None:
    time, level = np.linspace(0, 1, 24), np.zeros(24)
    shares = []
    for turned, assumed in ((90.0, 90.0), (90.0, -90.0), (0.0, 90.0)):
        film = circled_creature(turned, cycles=2.0)
        crops = look_at_subject(film.rgba, film.lens, np.array([0.0, 0.0, 64.0, 64.0]))
        course = Course(assumed * time, level + 15, level)
        appraiser = Appraiser(crops, crops.flows(), COARSE[0])
        shares.append(borne_out(crops, course, appraiser.surface(course), appraiser.spacing))
    assert shares[0] > 0.25
    assert max(shares[1:]) < 0.05
    assert borne_out(crops, standing(24), np.zeros((1, 3)), 0.1) == 0


def test_a_crop_sees_what_the_frame_sees_along_its_rays() -> None:
    film = circled_creature(0.0, frames=8)
    crops = look_at_subject(film.rgba, film.lens, np.array([0.0, 0.0, 64.0, 64.0]))
    middle = crops.camera_from_crop[0] @ [0.0, 0.0, 1.0]
    column, row = (middle[:2] / middle[2] * film.lens[:2] + film.lens[2:]).tolist()
    inside = np.argwhere(film.rgba[0, ..., 3] > 0.5) + 0.5
    assert np.allclose(inside.mean(0), [row, column], atol=1e-3)
    covered = np.argwhere(crops.rgba[0, ..., 3] > 0.5) + 0.5
    assert np.allclose(covered.mean(0), crops.rgba.shape[1] / 2, atol=1.0)
    grown = (crops.focal / film.lens[0]) ** 2
    assert len(covered) == pytest.approx(grown * len(inside), rel=0.08)


def test_a_carved_ball_is_drawn_as_it_was_seen_and_has_its_colours() -> None:
    side, focal = 32, 40.0
    course = Course(np.arange(0.0, 360.0, 30.0), np.full(12, 20.0), np.full(12, np.log(2.5)))
    rows, columns = np.indices((side, side)) + 0.5
    disc = np.hypot(rows - side / 2, columns - side / 2) < focal * 0.5 / np.sqrt(2.5**2 - 0.25)
    masks = np.repeat(disc[None], 12, 0)
    colours = np.full((12, side, side, 3), 0.3, np.float32)
    full, nearest = np.zeros((20,) * 3, np.bool_), np.zeros(masks.shape, np.int64)
    figures, weights, poses = np.zeros((12, 2)), np.ones(12), course.camera_from_object
    carving_kernels.appraise(masks, colours, weights, poses, focal, 0.7, 0.0, full, nearest, figures)
    radius = np.linalg.norm(carving_kernels.surface(full, 0.7), axis=1)
    assert radius.max() < 0.62
    assert radius.min() > 0.36
    assert figures[:, 0].min() > 0.85
    assert figures[:, 1].max() < 1e-6
    colours[3] = 0.8
    carving_kernels.appraise(masks, colours, weights, poses, focal, 0.7, 0.0, full, nearest, figures)
    assert figures[3, 1] == pytest.approx(0.5 * np.sqrt(3), rel=0.15)
    assert figures[[0, 6, 9], 1].max() < 0.4
