import pytest
import torch

from a4d.evaluation import alignment
from a4d.evaluation.alignment import align
from a4d.evaluation.comparison import compare_shapes
from a4d.evaluation.motion import MovingShape
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import creature
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion, transform_points


@pytest.mark.parametrize(("kind", "scale"), [("rigid", 1.0), ("similarity", 37.0)])
def test_a_turned_shifted_and_scaled_copy_comes_back(kind, scale):
    truth = creature(resolution=48)
    # Up and front exchanged, and a quarter radian off.
    turn = rotation_from_quaternion(torch.tensor([0.6, -0.7, 0.1, 0.05]).double())
    copy_from_truth = rigid_from_parts(scale * turn, torch.tensor([3.0, -2.0, 5.0]).double())
    copy = Mesh(transform_points(copy_from_truth, truth.vertices.double()).float(), truth.faces)
    found = align(copy, truth, kind)
    back = MovingShape((copy,)).moved(found)
    diagonal = MovingShape((truth,)).diagonal
    assert float((back.surfaces[0].vertices - truth.vertices).norm(dim=1).mean()) < 0.01 * diagonal
    facts = compare_shapes(back, MovingShape((truth,)), threshold=0.02)
    assert facts["f_score"] > 0.97


def test_a_rigid_alignment_keeps_the_size():
    truth = creature(resolution=32)
    matrix = align(truth.with_vertices(1.3 * truth.vertices), truth, "rigid")
    assert float(torch.linalg.det(matrix[:3, :3])) == pytest.approx(1, abs=1e-9)


def test_each_axis_may_have_a_size_of_its_own(monkeypatch):
    monkeypatch.setattr(alignment, "FINE", 1200)
    monkeypatch.setattr(alignment, "STRETCH_STEPS", 80)
    truth = creature(resolution=32)
    sizes = torch.tensor([1.25, 1.0, 0.85])
    copy = truth.with_vertices(truth.vertices * sizes + torch.tensor([0.3, 0.0, 0.0]))
    shape, aim = MovingShape((copy,)), MovingShape((truth,))
    found = {kind: align(copy, truth, kind) for kind in ("similarity", "axes")}
    scores = {kind: compare_shapes(shape.moved(matrix), aim, 0.02) for kind, matrix in found.items()}
    assert scores["axes"]["chamfer"] < 0.35 * scores["similarity"]["chamfer"]
    assert torch.linalg.svdvals(found["axes"][:3, :3]).max() == pytest.approx(1 / 0.85, rel=0.03)
