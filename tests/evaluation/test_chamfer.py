"""ActionBench's distances against closed forms: shapes that shift, clips played backwards, what stands still."""

import pytest
import torch

from a4d.evaluation import alignment
from a4d.evaluation.chamfer import motion_distances
from a4d.evaluation.motion import MovingShape
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion

SPHERE = icosphere(0.5, 4)
SHIFTS = [0.0, 0.1, 0.2, 0.3]


def shifted(shifts: list[float], mesh: Mesh = SPHERE) -> MovingShape:
    right = torch.tensor([1.0, 0.0, 0.0])
    return MovingShape(tuple(mesh.with_vertices(mesh.vertices + shift * right) for shift in shifts))


def turned(degrees: list[float]) -> MovingShape:
    half = torch.deg2rad(torch.tensor(degrees)) / 2
    zero = torch.zeros_like(half)
    turns = rotation_from_quaternion(torch.stack([half.cos(), zero, half.sin(), zero], dim=1))
    return MovingShape(tuple(SPHERE.with_vertices(SPHERE.vertices @ turn.T) for turn in turns))


def test_what_is_equal_has_no_distance() -> None:
    assert set(motion_distances(shifted(SHIFTS), shifted(SHIFTS)).values()) == {0.0}


def test_a_still_sphere_lags_by_twice_the_shift() -> None:
    figures = motion_distances(shifted([0.0] * 4), shifted(SHIFTS))
    assert figures["cd_m"] == pytest.approx(2 * sum(SHIFTS) / 4, rel=1e-6)
    # The mean over a sphere of the shift's part along the normal is half of it, in both directions.
    assert figures["cd_3d"] == figures["cd_4d"] == pytest.approx(sum(SHIFTS) / 4, rel=0.06)


def test_a_turning_sphere_shows_in_the_motion_alone() -> None:
    angles = [0.0, 20.0, 40.0, 60.0]
    figures = motion_distances(turned([-angle for angle in angles]), turned(angles))
    spacing = (torch.pi / 10_000) ** 0.5
    assert figures["cd_3d"] < 2 * spacing
    # A chord of twice the angle at the mean distance from the axis, pi / 4 of the radius.
    chords = [2 * 0.5 * torch.pi / 4 * torch.sin(torch.deg2rad(torch.tensor(angle))) for angle in angles]
    assert figures["cd_m"] == pytest.approx(float(2 * sum(chords) / 4), rel=0.02)


def test_a_clip_played_backwards_has_its_shapes_but_not_its_motion() -> None:
    angles = [0.0, 30.0, 60.0, 90.0]
    backwards = motion_distances(turned(angles[::-1]), turned(angles))
    assert backwards["cd_3d"] < 2 * (torch.pi / 10_000) ** 0.5
    # Points that meet at the first moment are 0, 60, 120 and 180 degrees apart after it.
    chords = [torch.sin(torch.deg2rad(torch.tensor(angle))) * torch.pi / 4 for angle in angles]
    assert backwards["cd_m"] == pytest.approx(float(2 * sum(chords) / 4), rel=0.02)


def test_cd_3d_is_aligned_moment_by_moment_and_the_others_as_the_first_is(monkeypatch) -> None:
    monkeypatch.setattr(alignment, "FINE", 800)
    bar = SPHERE.with_vertices(SPHERE.vertices * torch.tensor([1.0, 0.5, 0.3]))
    figures = motion_distances(shifted([0.0, 0.0], bar), shifted([0.0, 0.2], bar), "rigid")
    assert figures["cd_3d"] < 0.01
    assert figures["cd_4d"] > 0.04
    assert figures["cd_m"] == pytest.approx(0.2, rel=1e-6)


def test_a_surface_that_is_extracted_anew_is_followed_by_its_points_or_not_at_all() -> None:
    coarse = icosphere(0.5, 3)
    anew = MovingShape((SPHERE, coarse))
    assert "cd_m" not in motion_distances(anew, shifted([0.0, 0.1]))
    points = SPHERE.vertices
    tracked = MovingShape(anew.surfaces, torch.stack([points, points]))
    assert motion_distances(tracked, shifted([0.0, 0.1]))["cd_m"] == pytest.approx(0.1, abs=0.02)


def test_points_keep_their_place_on_a_face_that_moves() -> None:
    matrix = rigid_from_parts(torch.eye(3), torch.tensor([0.0, 0.2, 0.0]))
    truth = MovingShape((SPHERE, SPHERE)).moved(matrix)
    shape = MovingShape((truth.surfaces[0], SPHERE))
    assert motion_distances(shape, truth)["cd_m"] == pytest.approx(0.2, rel=1e-5)
