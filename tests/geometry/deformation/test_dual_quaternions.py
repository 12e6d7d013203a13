"""Dual quaternions: they are the transforms that they stand for, and their blends neither shrink nor flip."""

import pytest
import torch

from a4d.geometry.deformation.dual_quaternions import (
    blend_dual_quaternions,
    dual_quaternion_from_rigid,
    rigid_from_dual_quaternion,
)
from a4d.geometry.deformation.skinning import dual_quaternion_skinning, linear_blend_skinning
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion


def rigid(count: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    rotations = rotation_from_quaternion(torch.randn(count, 4, generator=draws, dtype=torch.float64))
    return rigid_from_parts(rotations, torch.randn(count, 3, generator=draws, dtype=torch.float64))


def turn_about_x(degrees: float) -> torch.Tensor:
    half = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)) / 2
    quaternion = torch.stack([half.cos(), half.sin(), torch.zeros_like(half), torch.zeros_like(half)])
    return rigid_from_parts(rotation_from_quaternion(quaternion), torch.zeros(3, dtype=torch.float64))


def test_they_are_the_transforms_that_they_stand_for():
    transforms = rigid(50)
    pairs = dual_quaternion_from_rigid(transforms)
    torch.testing.assert_close(rigid_from_dual_quaternion(pairs), transforms)
    torch.testing.assert_close(rigid_from_dual_quaternion(-3.0 * pairs), transforms)
    # Unit length, and the two halves are perpendicular.
    torch.testing.assert_close(pairs[:, :4].norm(dim=1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close((pairs[:, :4] * pairs[:, 4:]).sum(1), torch.zeros(50, dtype=torch.float64))


def test_one_bone_alone_moves_as_a_matrix_does():
    bones, points = rigid(4), torch.rand(9, 3, dtype=torch.float64)
    weights = torch.eye(4, dtype=torch.float64)[torch.arange(9) % 4]
    torch.testing.assert_close(
        dual_quaternion_skinning(points, weights, bones), linear_blend_skinning(points, weights, bones)
    )


@pytest.mark.parametrize("degrees", [30.0, 90.0, 170.0])
def test_a_twist_keeps_the_radius_that_matrices_lose(degrees):
    bones = torch.stack([turn_about_x(0.0), turn_about_x(degrees)])
    ring = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    weights = torch.full((3, 2), 0.5, dtype=torch.float64)
    blended = dual_quaternion_skinning(ring, weights, bones)
    torch.testing.assert_close(blended.norm(dim=1), torch.ones(3, dtype=torch.float64))
    expected = dual_quaternion_skinning(ring, torch.ones(3, 1, dtype=torch.float64), turn_about_x(degrees / 2)[None])
    torch.testing.assert_close(blended, expected)
    shrunk = linear_blend_skinning(ring, weights, bones).norm(dim=1)
    torch.testing.assert_close(shrunk, torch.full_like(shrunk, float(torch.deg2rad(torch.tensor(degrees / 2)).cos())))


def test_equal_rotations_of_opposite_sign_do_not_cancel():
    # Turns of 179 and 181 degrees have quaternions on opposite sides.
    bones = torch.stack([turn_about_x(179.0), turn_about_x(181.0)])
    point = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    blended = dual_quaternion_skinning(point, torch.full((1, 2), 0.5, dtype=torch.float64), bones)
    torch.testing.assert_close(blended, -point)


def test_sparse_weights_are_dense_ones_with_zeros():
    bones = torch.stack([rigid(5, seed) for seed in range(3)])
    draws = torch.Generator().manual_seed(1)
    joints = torch.stack([torch.randperm(5, generator=draws)[:3] for _ in range(11)])
    sparse = torch.rand(11, 3, generator=draws, dtype=torch.float64)
    sparse = sparse / sparse.sum(1, keepdim=True)
    dense = torch.zeros(11, 5, dtype=torch.float64).scatter(1, joints, sparse)
    found = blend_dual_quaternions(sparse, bones, joints)
    assert found.shape == (3, 11, 4, 4)
    torch.testing.assert_close(found, blend_dual_quaternions(dense, bones))


def test_gradients_are_those_of_finite_differences():
    points = torch.rand(3, 3, dtype=torch.float64)
    quaternions = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    weights = torch.softmax(torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)), dim=1)

    def posed(quaternions, translations, weights):
        bones = rigid_from_parts(rotation_from_quaternion(quaternions), translations)
        return dual_quaternion_skinning(points, weights, bones)

    inputs = (quaternions, torch.rand(4, 3, dtype=torch.float64), weights)
    assert torch.autograd.gradcheck(posed, [value.requires_grad_() for value in inputs])
