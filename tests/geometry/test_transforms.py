import math

import torch

from a4d.geometry.transforms import (
    invert_rigid,
    quaternion_from_rotation,
    quaternion_product,
    rigid_from_parts,
    rotation_from_axis_angle,
    rotation_from_quaternion,
    transform_points,
)


def random_quaternions(count: int) -> torch.Tensor:
    return torch.randn(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_quarter_turn_about_y_takes_front_to_plus_x() -> None:
    half = math.radians(90) / 2
    rotation = rotation_from_quaternion(torch.tensor([math.cos(half), 0.0, math.sin(half), 0.0]))
    assert torch.allclose(rotation @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)


def test_rotations_are_orthonormal_and_length_does_not_matter() -> None:
    quaternions = random_quaternions(100)
    rotations = rotation_from_quaternion(quaternions)
    identity = torch.eye(3, dtype=torch.float64).expand(100, 3, 3)
    assert torch.allclose(rotations @ rotations.transpose(1, 2), identity, atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(100, dtype=torch.float64))
    assert torch.allclose(rotation_from_quaternion(3.7 * quaternions), rotations)


def test_quaternions_survive_matrices_also_at_half_turns() -> None:
    half_turns = torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0.6, 0.8, 0], [1, 0, 0, 0]])
    quaternions = torch.cat([torch.nn.functional.normalize(random_quaternions(100), dim=-1), half_turns.double()])
    back = quaternion_from_rotation(rotation_from_quaternion(quaternions))
    agreement = (back * quaternions).sum(-1).abs()
    assert torch.allclose(agreement, torch.ones_like(agreement), atol=1e-12)
    assert bool((back[:, 0] >= 0).all())


def test_a_product_of_quaternions_is_the_product_of_rotations() -> None:
    a, b = random_quaternions(40).split(20)
    product = rotation_from_quaternion(quaternion_product(a, b))
    assert torch.allclose(product, rotation_from_quaternion(a) @ rotation_from_quaternion(b), atol=1e-12)


def test_the_inverse_undoes_a_rigid_transform() -> None:
    a_from_b = rigid_from_parts(rotation_from_quaternion(random_quaternions(5)), torch.randn(5, 3, dtype=torch.float64))
    points = torch.randn(5, 7, 3, dtype=torch.float64)
    assert torch.allclose(transform_points(invert_rigid(a_from_b), transform_points(a_from_b, points)), points)
    assert torch.allclose(invert_rigid(a_from_b), torch.linalg.inv(a_from_b), atol=1e-12)


def test_rotations_of_axis_angles_are_exponentials_with_gradients_also_at_rest() -> None:
    vectors = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors = vectors * torch.logspace(-8, 1, 40, dtype=torch.float64)[:, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    assert torch.allclose(rotation_from_axis_angle(vectors), torch.linalg.matrix_exp(cross), atol=1e-12)
    at_rest = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(rotation_from_axis_angle(at_rest)[2, 1], at_rest)
    assert gradient.tolist() == [1.0, 0.0, 0.0]
