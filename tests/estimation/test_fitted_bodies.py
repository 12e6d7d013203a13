"""A body fitted to keypoints and masks of films whose truth is known."""

import math
from dataclasses import replace

import pytest
import torch
from body_films import BodyFilm, body_film, joints_apart

from a4d.errors import InvalidInputError, QualityError
from a4d.estimation.bodies.active_body import find_active_joints
from a4d.estimation.bodies.fit import PHASES, Fit, Phase, fit_body
from a4d.estimation.bodies.landmarks import find_landmarks
from a4d.estimation.bodies.shapes import phenotype_of_age, shape_prior
from a4d.estimation.bodies.start import camera_unit, fill_between, find_start
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.smpl_skeleton import mean_smpl
from a4d.io.keypoints import COCO

SHORT = (Phase(100, 0.04, 0.03, 0.03, 20.0), Phase(40, 0.012, 0.01, 0.01, 3.0))


def started(film: BodyFilm) -> torch.Tensor:
    """(F, J, 3, 3) as the fit begins."""
    body = film.truth.body
    landmarks = find_landmarks(body, film.active, film.sightings.names)
    start = find_start(film.sightings, landmarks, body.default_shape)
    rotations = torch.eye(3).repeat(len(film.sightings), len(film.active), 1, 1)
    rotations[:, 0] = start.rotations
    return film.active.whole(rotations)


def fitted(film: BodyFilm, phases=SHORT) -> Fit:
    body = film.truth.body
    return fit_body(body, shape_prior(body, {}), film.sightings, lambda done, loss: None, phases)


def off_course(film: BodyFilm, whole: torch.Tensor) -> torch.Tensor:
    """(F,) degrees by which the whole is turned away from the truth."""
    apart = whole.mT @ film.seen_from_world @ film.truth.rotations[:, film.active.joints[0]]
    return ((apart.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos().rad2deg()


def test_the_open_body_and_smpl_move_by_the_same_parts() -> None:
    body = open_body()
    active = find_active_joints(body)
    names = [body.names[joint] for joint in active.joints.tolist()]
    assert {"spine05", "spine03", "spine01", "neck01", "head", "clavicle.L", "wrist.R", "foot.L"} < set(names)
    assert len(active) == 20
    assert names[int(active.carriers[body.names.index("finger3-2.L")])] == "wrist.L"
    assert sorted(active.parts) == sorted(find_active_joints(mean_smpl()).parts)


def test_landmarks_of_a_body_are_where_their_names_say() -> None:
    body = open_body()
    names = ("nose", "left_ear", "right_ear", "left_heel", "left_foot_index", "left_hip", "neck", "left_index")
    landmarks = find_landmarks(body, find_active_joints(body), names)
    assert landmarks.names == tuple(name for name in names if name != "neck")
    nose, left_ear, right_ear, heel, toe, hip, index = landmarks.body.rest()[0]
    torch.testing.assert_close(left_ear * torch.tensor([-1.0, 1.0, 1.0]), right_ear, atol=2e-3, rtol=0)
    assert abs(nose[0]) < 0.005
    assert nose[2] - left_ear[2] > 0.08
    assert 0.18 < toe[2] - heel[2] < 0.32
    assert abs(toe[1] - heel[1]) < 0.06
    torch.testing.assert_close(hip, body.rest()[1][body.names.index("upperleg01.L")])
    torch.testing.assert_close(index, body.rest()[1][body.names.index("finger2-1.L")])


def test_a_reduced_body_moves_its_points_as_the_whole_does() -> None:
    film = body_film(4, masked=False)
    landmarks = find_landmarks(film.truth.body, film.active, film.sightings.names)
    turned = film.truth.rotations[:, film.active.joints]
    posed = landmarks.body.posed(turned, film.truth.shape, film.truth.translation)
    whole = film.truth.posed()
    torch.testing.assert_close(posed.joints, whole.joints[:, film.active.joints])
    vertices = whole.vertices[:, None] - posed.vertices[:, landmarks.indices(("left_foot_index", "nose")), None]
    assert float(vertices.norm(dim=-1).amin(-1).max()) < 1e-4


def test_the_trunk_begins_turned_as_keypoints_in_space_say() -> None:
    film = body_film(16)
    whole = started(film)[:, film.active.joints[0]]
    assert float(off_course(film, whole).max()) < 6


def test_without_keypoints_in_space_the_trunk_turns_by_its_width_and_the_nose() -> None:
    film = body_film(16, names=COCO, masked=False)
    assert film.sightings.space is None
    whole = started(film)[:, film.active.joints[0]]
    assert float(off_course(film, whole).median()) < 20
    assert float(off_course(film, whole).max()) < 60


def test_joints_turn_to_where_they_are() -> None:
    film = body_film(24, turn=120.0, noise=0.01, masked=False)
    before = started(film)
    fit = fitted(film)
    assert film.turned_joints(fit.rotations) < 0.5 * film.turned_joints(before)
    assert joints_apart(film, fit.shape, fit.rotations) < 60
    assert fit.unit == 1.0


def test_a_character_of_one_shape_turns_its_own_joints() -> None:
    film = body_film(24, turn=60.0, masked=False, body=mean_smpl())
    fit = fitted(film)
    assert fit.shape.shape == (0,)
    assert joints_apart(film, fit.shape, fit.rotations) < 0.3 * joints_apart(film, fit.shape, started(film))


def test_cameras_that_move_are_given_the_unit_of_the_body() -> None:
    film = body_film(24, turn=60.0, masked=False)
    poses = film.cameras.world_from_camera.clone()
    poses[:, 0, 3] += torch.linspace(-0.4, 0.4, 24)
    moving = replace(film.cameras, world_from_camera=poses)
    landmarks = find_landmarks(film.truth.body, film.active, film.sightings.names)
    turned = film.truth.rotations[:, film.active.joints]
    points = landmarks.body.posed(turned, film.truth.shape, film.truth.translation).vertices
    smaller = poses.clone()
    smaller[:, :3, 3] *= 0.8
    sightings = replace(
        film.sightings,
        cameras=replace(moving, world_from_camera=smaller),
        points=moving.project(points)[0],
    )
    start = find_start(sightings, landmarks, film.truth.shape)
    unit = camera_unit(sightings.cameras, start.places, sightings.is_seen)
    assert unit == pytest.approx(1 / 0.8, rel=0.1)
    still = film.sightings
    assert camera_unit(still.cameras, start.places, still.is_seen) == 1.0


def test_frames_without_the_body_say_nothing() -> None:
    film = body_film(12, turn=60.0, masked=False)
    sightings = film.sightings
    sightings.confidence[5] = 0
    sightings.points[5] = 0
    sightings.space[5] = 0
    fit = fitted(film, SHORT[:1])
    assert fit.rotations.isfinite().all()
    assert fit.translation.isfinite().all()
    sightings.confidence[:] = 0
    with pytest.raises(QualityError, match="shoulders"):
        fitted(film, SHORT[:1])


@pytest.mark.slow
def test_masks_bring_the_outline() -> None:
    film = body_film(16, turn=120.0, noise=0.01)
    fit = fitted(film, PHASES)
    assert joints_apart(film, fit.shape, fit.rotations) < 60


def test_gaps_are_filled_steadily() -> None:
    filling = fill_between(torch.tensor([False, True, False, False, True, False]))
    values = torch.tensor([[1.0], [4.0]])
    torch.testing.assert_close(filling.places(values)[:, 0], torch.tensor([1.0, 1.0, 2.0, 3.0, 4.0, 4.0]))


def test_gender_and_age_are_what_is_said() -> None:
    known = [phenotype_of_age(years) for years in (0, 1, 10, 25, 57.5, 120)]
    assert known == pytest.approx([0, 0, 1 / 3, 2 / 3, 5 / 6, 1])
    body = open_body()
    prior = shape_prior(body, {"gender": 1.0, "age": phenotype_of_age(10)})
    shape = prior.shape(torch.ones(6))
    assert shape[0] == pytest.approx(0.98)
    assert shape[1] == pytest.approx(1 / 3)
    assert shape[2] == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_body_without_limbs_is_refused() -> None:
    body = mean_smpl()
    nameless = replace(body, names=tuple(f"joint{place}" for place in range(len(body.names))))
    with pytest.raises(InvalidInputError, match="left thigh"):
        find_active_joints(nameless)
