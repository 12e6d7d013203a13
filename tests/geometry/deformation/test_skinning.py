import math

import pytest
import torch

from a4d.geometry.deformation.skeleton import Motion, Skeleton, joint_in_loop
from a4d.geometry.deformation.skinning import (
    apply_per_vertex,
    blend_bones,
    blend_morph_targets,
    linear_blend_skinning,
    rotate_normals,
    rotate_tangents,
)
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion, slerp, transform_points


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_rigid(count: int, seed: int = 0) -> torch.Tensor:
    return rigid_from_parts(rotation_from_quaternion(random(count, 4, seed=seed)), random(count, 3, seed=seed + 1))


def random_weights(vertices: int, bones: int) -> torch.Tensor:
    return random(vertices, bones).softmax(dim=1)


# --- linear blend skinning


def test_one_bone_is_a_rigid_motion() -> None:
    bone, vertices = random_rigid(1), random(20, 3)
    posed = linear_blend_skinning(vertices, torch.ones(20, 1, dtype=torch.float64), bone)
    assert torch.allclose(posed, transform_points(bone[0], vertices), atol=1e-12)


def test_skinning_is_the_weighted_mean_of_what_each_bone_would_do() -> None:
    bones, vertices, weights = random_rigid(4), random(20, 3), random_weights(20, 4)
    each = transform_points(bones, vertices.expand(4, 20, 3))
    expected = torch.einsum("vj,jvc->vc", weights, each)
    assert torch.allclose(linear_blend_skinning(vertices, weights, bones), expected, atol=1e-12)


def test_named_joints_equal_dense_weights_also_over_frames() -> None:
    bones = torch.stack([random_rigid(6, seed) for seed in range(3)])
    vertices, weights = random(20, 3), random_weights(20, 2)
    joints = torch.randint(6, (20, 2), generator=torch.Generator().manual_seed(1))
    dense = torch.zeros(20, 6, dtype=torch.float64).scatter_add(1, joints, weights)
    posed = linear_blend_skinning(vertices, weights, bones, joints)
    assert posed.shape == (3, 20, 3)
    assert torch.allclose(posed, linear_blend_skinning(vertices, dense, bones), atol=1e-12)
    assert torch.allclose(posed[1], linear_blend_skinning(vertices, weights, bones[1], joints), atol=1e-12)


def test_skinning_commutes_with_a_motion_of_the_world() -> None:
    bones, vertices, weights, world = random_rigid(4), random(20, 3), random_weights(20, 4), random_rigid(1, 7)[0]
    moved = transform_points(world, linear_blend_skinning(vertices, weights, bones))
    assert torch.allclose(linear_blend_skinning(vertices, weights, world @ bones), moved, atol=1e-12)


def test_skinning_has_the_gradients_of_finite_differences() -> None:
    bones, vertices, weights = random_rigid(3), random(5, 3), random_weights(5, 3)
    joints = torch.randint(3, (5, 2), generator=torch.Generator().manual_seed(1))
    inputs = [tensor.requires_grad_() for tensor in (vertices, weights, bones)]
    assert torch.autograd.gradcheck(linear_blend_skinning, inputs)
    assert torch.autograd.gradcheck(
        lambda v, w, b: linear_blend_skinning(v, w, b, joints), [vertices, random_weights(5, 2).requires_grad_(), bones]
    )


def test_bones_are_recovered_from_posed_vertices() -> None:
    vertices, weights, target = random(60, 3), random_weights(60, 3), random_rigid(3)
    goal = linear_blend_skinning(vertices, weights, target)
    bones = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1).requires_grad_()
    optimiser = torch.optim.LBFGS([bones], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = (linear_blend_skinning(vertices, weights, bones) - goal).square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert torch.allclose(bones[:, :3].detach(), target[:, :3], atol=1e-3)


def test_normals_stay_perpendicular_to_the_surface_and_outward() -> None:
    for matrix in (random(4, 4), torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64)), random(4, 4, seed=3)):
        edges = random(2, 3, seed=5)
        normal = torch.linalg.cross(edges[0], edges[1])
        linear = matrix[:3, :3]
        posed = rotate_normals(matrix[None], normal[None])[0]
        assert float(posed.norm()) == pytest.approx(1)
        assert torch.allclose((edges @ linear.T) @ posed, torch.zeros(2, dtype=torch.float64), atol=1e-12)
        assert float(posed @ (linear @ normal)) > 0
        tangent = rotate_tangents(matrix[None], edges[:1])[0]
        assert torch.allclose(tangent, linear @ edges[0] / (linear @ edges[0]).norm(), atol=1e-12)


def test_a_flattened_bone_still_has_normals() -> None:
    flat = torch.diag(torch.tensor([1.0, 1, 0, 1]))[None]
    assert rotate_normals(flat, torch.tensor([[0.6, 0.0, 0.8]]))[0].tolist() == [0, 0, 1]


def test_morph_targets_add_up() -> None:
    base, deltas = random(5, 3), random(2, 5, 3, seed=1)
    weights = torch.tensor([[0.0, 0.0], [0.25, -2.0]], dtype=torch.float64)
    blended = blend_morph_targets(base, deltas, weights)
    assert torch.equal(blended[0], base)
    assert torch.allclose(blended[1], base + 0.25 * deltas[0] - 2 * deltas[1])
    assert torch.equal(blend_morph_targets(base, deltas[:0], weights[0, :0]), base)


def test_blended_matrices_apply_as_skinning_does() -> None:
    bones, vertices, weights = random_rigid(4), random(20, 3), random_weights(20, 4)
    blended = blend_bones(weights, bones)
    assert torch.equal(apply_per_vertex(blended, vertices), linear_blend_skinning(vertices, weights, bones))


# --- skeletons


def chain(parents: list[int]) -> Skeleton:
    count = len(parents)
    return Skeleton(tuple(f"joint {n}" for n in range(count)), torch.tensor(parents), random_rigid(count))


def test_world_transforms_in_any_order_of_joints() -> None:
    # 4 <- 2 <- 0 <- 3 <- 1, and 5 apart: children come before parents and after them.
    skeleton = chain([2, 3, 4, 0, -1, -1])
    rest = skeleton.rest
    world = skeleton.rest_world
    assert torch.allclose(world[1], rest[4] @ rest[2] @ rest[0] @ rest[3] @ rest[1], atol=1e-12)
    assert torch.allclose(world[3], rest[4] @ rest[2] @ rest[0] @ rest[3], atol=1e-12)
    assert torch.equal(world[5], rest[5])


def test_deep_chains_batches_and_gradients() -> None:
    count = 37
    skeleton = chain(list(range(-1, count - 1)))
    frames = torch.stack([random_rigid(count, seed) for seed in range(3)]).requires_grad_()
    world = Motion(skeleton, frames, 0.1).world_from_joint
    expected = frames[1, 0]
    for joint in range(1, count):
        expected = expected @ frames[1, joint]
    assert torch.allclose(world[1, -1], expected, atol=1e-9)
    short = chain([-1, 0, 1, 0])
    assert torch.autograd.gradcheck(short.world_from_joint, [random_rigid(4).requires_grad_()])


def test_impossible_hierarchies_are_refused() -> None:
    assert joint_in_loop([-1, 0, 0, 2]) is None
    assert joint_in_loop([-1, 3, 1, 2]) in (1, 2, 3)
    for parents, reason in (([1, 0], "its own ancestor"), ([0], "its own ancestor"), ([-1, 2], "does not exist")):
        with pytest.raises(ValueError, match=reason):
            chain(parents)
    with pytest.raises(ValueError, match="2 joints need"):
        Skeleton(("a", "b"), torch.tensor([-1]), torch.eye(4)[None])


# --- interpolation of rotations


def test_slerp_turns_at_constant_speed_the_shorter_way() -> None:
    a = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    for degrees in (1e-7, 1e-3, 30.0, 179.0):
        half = math.radians(degrees) / 2
        b = torch.tensor([math.cos(half), 0, math.sin(half), 0], dtype=torch.float64)
        for sign, length in ((1, 1), (-1, 2.5)):
            fraction = torch.tensor(0.3, dtype=torch.float64)
            between = slerp(a, sign * length * b, fraction)
            expected = torch.tensor([math.cos(0.3 * half), 0, math.sin(0.3 * half), 0], dtype=torch.float64)
            assert torch.allclose(between, expected, atol=1e-14)


def test_slerp_has_gradients_also_between_equal_rotations() -> None:
    fraction = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    a, b = random(4).requires_grad_(), random(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(slerp, [a, b, fraction])
    slerp(a, a, fraction).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
