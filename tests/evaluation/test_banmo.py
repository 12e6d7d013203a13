"""BANMo's figures against closed forms: what a camera cannot know costs nothing, and a known offset is what it is."""

import math

import pytest
import torch

from a4d.evaluation import banmo
from a4d.evaluation.banmo import banmo_scores, centimetres_per_unit, nearest_views
from a4d.evaluation.motion import MovingShape
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, creature, icosphere
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle

SUBJECT = creature(resolution=24)
VIEWS = orbit(torch.tensor([0.0, 40.0]), torch.tensor([10.0, 10.0]), 3.0, 40.0, 32, 32).camera_from_world


def seen_otherwise(mesh: Mesh, view: torch.Tensor, factor: float, degrees: float, aside: float) -> Mesh:
    """A mesh rolled about the view, shifted across it, and farther and larger, so that it looks of the same size."""
    roll = rotation_from_axis_angle(torch.tensor([0.0, 0.0, math.radians(degrees)]).double())
    moved = factor * rigid_from_parts(roll, torch.tensor([aside, 0.0, 0.0]).double())
    moved[3, 3] = 1.0
    matrix = torch.linalg.inv(view.double()) @ moved @ view.double()
    return mesh.with_vertices(mesh.vertices.double() @ matrix[:3, :3].T + matrix[:3, 3])


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banmo, "SAMPLES", 2000)


def test_size_turn_and_place_cost_nothing() -> None:
    surfaces = tuple(seen_otherwise(SUBJECT, view, 1.7, 6.0, 0.05) for view in VIEWS)
    facts = banmo_scores(MovingShape(surfaces), MovingShape((SUBJECT, SUBJECT)), VIEWS, 100.0)
    assert facts["banmo_chamfer_percent"] < 1e-3
    assert facts["banmo_chamfer_cm"] < 1e-3
    assert (facts["banmo_f1"], facts["banmo_f2"], facts["banmo_f5"]) == (100, 100, 100)


def test_a_known_offset_is_itself() -> None:
    inner, outer = (Mesh(icosphere(radius, 4).vertices, icosphere(radius, 4).faces) for radius in (0.485, 0.5))
    facts = banmo_scores(MovingShape((inner,)), MovingShape((outer,)), VIEWS[:1], 100.0)
    assert facts["banmo_chamfer_cm"] == pytest.approx(2 * 1.5, rel=0.05)
    assert facts["banmo_chamfer_percent"] == pytest.approx(2 * 1.5, rel=0.05)
    assert facts["banmo_f1"] < 1
    assert facts["banmo_f2"] == facts["banmo_f5"] == 100


def test_another_shape_stays_another() -> None:
    facts = banmo_scores(MovingShape((box(),)), MovingShape((SUBJECT,)), VIEWS[:1], None)
    assert "banmo_chamfer_cm" not in facts
    assert facts["banmo_chamfer_percent"] > 5
    assert facts["banmo_f1"] < facts["banmo_f2"] < facts["banmo_f5"] < 100


def test_cameras_are_those_of_the_nearest_moments_and_units_those_of_the_truth() -> None:
    found = nearest_views(VIEWS, torch.tensor([0.0, 1.0]), [0.1, 0.9, 0.6])
    assert torch.equal(found, VIEWS[[0, 1, 1]])
    placed = torch.diag(torch.tensor([0.02, 0.02, 0.02, 1.0]))
    assert centimetres_per_unit(placed, is_metric=True) == pytest.approx(100 / 0.02, rel=1e-6)
    assert centimetres_per_unit(None, is_metric=True) == 100
    assert centimetres_per_unit(placed, is_metric=False) is None
