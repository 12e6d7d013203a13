import pytest
import torch

from a4d.geometry.deformation.arap import (
    ABSENT,
    Neighbourhoods,
    arap_residuals,
    deformation_energy,
    edge_neighbourhoods,
    nearest_neighbourhoods,
)
from a4d.geometry.primitives import icosphere
from a4d.geometry.transforms import rotation_from_quaternion


def cloud(count: int = 40) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def brute_force(rest: torch.Tensor, moved: torch.Tensor, around: Neighbourhoods) -> float:
    """Every neighbourhood on its own, its rotation searched by the definition of the Kabsch algorithm in numpy."""
    import numpy as np

    total = 0.0
    for frame in moved.numpy():
        for node, neighbours in zip(around.nodes.tolist(), around.neighbours.tolist(), strict=True):
            present = [j for j in neighbours if j != ABSENT]
            before = np.array([rest[j].numpy() - rest[node].numpy() for j in present])
            after = np.array([frame[j] - frame[node] for j in present])
            u, _, vt = np.linalg.svd(before.T @ after)
            flip = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
            total += ((after - before @ (vt.T @ flip @ u.T).T) ** 2).sum()
    return total


def test_the_energy_is_that_of_every_neighbourhood_by_itself() -> None:
    rest, around = cloud(), nearest_neighbourhoods(cloud(), 4)
    moved = rest + 0.3 * torch.randn(3, 40, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    around.neighbours[::3, -1] = ABSENT
    assert float(arap_residuals(rest, moved, around).sum()) == pytest.approx(brute_force(rest, moved, around), rel=1e-9)


def test_a_rigid_motion_costs_nothing_and_a_reflection_does() -> None:
    rest, around = cloud(), nearest_neighbourhoods(cloud(), 5)
    turn = rotation_from_quaternion(torch.tensor([[0.3, -0.5, 0.7, 0.2]], dtype=torch.float64))[0]
    moved = torch.stack([rest @ turn.T + torch.tensor([1.0, -2.0, 3.0]), rest * torch.tensor([-1.0, 1.0, 1.0])])
    by_frame = arap_residuals(rest, moved, around).sum(dim=(1, 2))
    assert float(by_frame[0]) < 1e-20
    assert float(by_frame[1]) > 1.0


def test_the_gradient_is_that_of_finite_differences_though_rotations_carry_none() -> None:
    rest, around = cloud(12), nearest_neighbourhoods(cloud(12), 4)
    moved = rest + 0.2 * torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    moved.requires_grad_()
    assert torch.autograd.gradcheck(lambda points: arap_residuals(rest, points, around).sum(), (moved,), atol=1e-7)


def test_nearest_neighbours_are_others_even_where_points_coincide() -> None:
    points = torch.cat([cloud(6), cloud(6)])
    around = nearest_neighbourhoods(points, 3)
    assert not (around.neighbours == around.nodes[:, None]).any()
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    expected = distances.topk(3, largest=False).values
    torch.testing.assert_close(distances.gather(1, around.neighbours), expected)
    few = nearest_neighbourhoods(cloud(3), 4).neighbours
    assert (few[:, 2:] == ABSENT).all()
    assert few[:, :2].sort(1).values.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_neighbours_along_edges_are_those_of_the_faces() -> None:
    sphere = icosphere(subdivisions=1)
    around = edge_neighbourhoods(sphere.faces, 8, torch.Generator().manual_seed(0))
    assert torch.equal(around.nodes, torch.arange(len(sphere.vertices)))
    for node, neighbours in zip(around.nodes.tolist(), around.neighbours.tolist(), strict=True):
        faces = sphere.faces[(sphere.faces == node).any(1)]
        assert {j for j in neighbours if j != ABSENT} == set(faces.flatten().tolist()) - {node}
    few = edge_neighbourhoods(sphere.faces, 3, torch.Generator().manual_seed(0)).neighbours
    assert (few != ABSENT).all()
    assert all(set(row) <= set(whole) for row, whole in zip(few.tolist(), around.neighbours.tolist(), strict=True))


def test_only_points_that_take_part_are_kept_when_neighbourhoods_are_compacted() -> None:
    points, around = cloud(), nearest_neighbourhoods(cloud(), 4)
    around.neighbours[1, 2:] = ABSENT
    some = around[torch.tensor([1, 5, 5])]
    used, compact = some.compact()
    assert len(used) <= 11
    torch.testing.assert_close(compact.edges(points[used]), some.edges(points))


def test_the_energy_reported_is_the_mean_squared_strain_whatever_size_and_number_of_points() -> None:
    stretch = torch.tensor([1.1, 1.1, 1.1], dtype=torch.float64)
    for ball in (icosphere(0.5, 2), icosphere(3.0, 4)):
        rest = ball.vertices.double()
        turn = rotation_from_quaternion(torch.tensor([[0.3, -0.5, 0.7, 0.2]], dtype=torch.float64))[0]
        rigid = torch.stack([rest, rest @ turn.T + 1.0])
        assert deformation_energy(rigid, ball.faces) < 1e-12
        # An even strain of a tenth, at one of two moments.
        strained = torch.stack([rest, rest, rest * stretch])
        assert deformation_energy(strained, ball.faces) == pytest.approx(0.005, rel=1e-3)
        assert deformation_energy(strained, None) == pytest.approx(0.005, rel=1e-3)


def test_seams_do_not_hide_that_a_surface_comes_apart() -> None:
    ball = icosphere(0.5, 2)
    corners, faces = ball.vertices[ball.faces].flatten(0, 1), torch.arange(3 * len(ball.faces)).view(-1, 3)
    whole, cut = (torch.stack([points, points * torch.tensor([1.0, 1.0, 1.3])]) for points in (ball.vertices, corners))
    assert deformation_energy(cut, faces) == pytest.approx(deformation_energy(whole, ball.faces), rel=1e-4)
