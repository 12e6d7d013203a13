"""What holds for every body, whatever it comes from."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from rigged_body import rigged
from synthetic_smpl import PARENTS_X, model

from a4d.geometry.bodies.rigged_character import rigged_character
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.geometry.transforms import rotation_from_axis_angle, transform_points
from a4d.io.assets.asset_reader import read_asset
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.smpl import read_smpl

KAYKIT = "rigged_kaykit/sketchpunk/models/mannequin_v2/manny_med_mod.gltf"
MOMENTUM = "rigged_momentum/blender_simple_armature.glb"


@cache
def body_of(kind: str, data: Path | None = None):
    if kind == "open":
        return open_body().to(dtype=torch.float64)
    if kind == "rigged":
        return rigged_character(rigged()).to(dtype=torch.float64)
    return rigged_character(read_asset(data / {"kaykit": KAYKIT, "momentum": MOMENTUM}[kind])).to(dtype=torch.float64)


@pytest.fixture(params=["open", "smpl", "smpl-x", "rigged", "kaykit", "momentum"])
def body(request, tmp_path):
    if request.param in ("smpl", "smpl-x"):
        arrays = model() if request.param == "smpl" else model(parents=PARENTS_X, betas=20)
        np.savez(tmp_path / "model.npz", **arrays)
        return read_smpl(tmp_path / "model.npz").to(dtype=torch.float64)
    if request.param in ("kaykit", "momentum"):
        return body_of(request.param, request.getfixturevalue("real_data"))
    return body_of(request.param)


def random_pose(body, frames, angle=0.5, seed=0):
    vectors = torch.randn(frames, len(body.names), 3, dtype=torch.float64, generator=torch.manual_seed(seed))
    return rotation_from_axis_angle(angle * vectors)


def identity(body, *frames):
    return torch.eye(3, dtype=torch.float64).repeat(*frames, len(body.names), 1, 1)


def random_shape(body, frames, seed=1):
    spread = torch.rand(frames, len(body.shape_names), dtype=torch.float64, generator=torch.manual_seed(seed)) - 0.5
    return (body.default_shape + 0.5 * spread).requires_grad_()


def subtree(body, joint):
    """(J,) which joints hang on one, itself included."""
    parents, belongs = body.parents.tolist(), []
    for each in range(len(parents)):
        above = each
        while above not in (joint, -1):
            above = parents[above]
        belongs.append(above == joint)
    return torch.tensor(belongs)


def a_middle_joint(body):
    """The joint whose subtree has the most joints but for the roots', and the most to move."""
    order = [joint for joint in body.skeleton().from_the_roots() if int(body.parents[joint]) >= 0]
    return max(order[len(order) // 4 :], key=lambda joint: float(body.weights[:, subtree(body, joint)].sum()))


def test_shapes_and_weights_are_those_of_the_interface(body):
    vertices, joints = body.rest()
    assert vertices.shape == (len(body.weights), 3)
    assert joints.shape == (len(body.names), 3)
    assert torch.allclose(body.weights.sum(1), torch.ones(len(vertices), dtype=torch.float64), atol=1e-6)
    assert body.default_shape.shape == (len(body.shape_names),)
    assert int(body.faces.max()) < len(vertices)
    if body.uvs is not None:
        assert body.uvs.shape == (len(body.faces), 3, 2)


def test_the_identity_is_the_rest_pose(body):
    shape = random_shape(body, 2)
    posed = body.posed(identity(body, 2), shape)
    vertices, joints = body.rest(shape)
    assert torch.allclose(posed.vertices, vertices, atol=1e-6)
    assert torch.allclose(posed.joints, joints, atol=1e-6)
    eye = torch.eye(4, dtype=torch.float64).expand_as(posed.transforms)
    assert torch.allclose(posed.transforms, eye, atol=1e-6)


def test_the_skeleton_has_the_joints_at_rest(body):
    shape = random_shape(body, 1)[0]
    assert torch.allclose(body.skeleton(shape).rest_world[:, :3, 3], body.rest(shape)[1], atol=1e-6)


def test_turning_a_joint_moves_what_hangs_on_it_and_nothing_else(body):
    joint = a_middle_joint(body)
    below = subtree(body, joint)
    rotations = identity(body)
    rotations[joint] = rotation_from_axis_angle(torch.tensor([0.3, -0.4, 0.9], dtype=torch.float64))
    posed = body.posed(rotations)
    vertices, joints = body.rest()
    displaced = body.displacements(rotations)
    moved = (posed.vertices - vertices - (0 if displaced is None else displaced)).norm(dim=-1)
    is_held = body.weights[:, ~below].sum(1) > 1 - 1e-9
    assert float(moved[is_held].max()) < 1e-6
    assert float(moved[body.weights[:, below].sum(1) > 0.5].max()) > 1e-3
    assert torch.allclose(posed.joints[~below], joints[~below], atol=1e-6)
    assert torch.allclose(posed.joints[joint], joints[joint], atol=1e-6)


def test_a_rigid_motion_of_the_root_moves_the_whole(body):
    """A turn of the root is about its joint, after all others; the translation comes last."""
    rotations, shape = random_pose(body, 3), random_shape(body, 3)
    roots = (body.parents < 0).nonzero()[:, 0].tolist()
    if len(roots) > 1:
        pytest.skip("each root turns about its own joint")
    turn = rotation_from_axis_angle(torch.tensor([0.4, 1.1, -0.7], dtype=torch.float64))
    shift = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    turned = rotations.clone()
    turned[:, roots[0]] = turn @ rotations[:, roots[0]]
    before = body.posed(rotations, shape).vertices
    centre = body.rest(shape)[1][:, roots].detach()
    expected = (before - centre) @ turn.T + centre + shift
    assert torch.allclose(body.posed(turned, shape, shift.expand(3, 3)).vertices, expected, atol=1e-6)


def test_vertices_are_the_sums_of_what_each_joint_would_do(body):
    rotations, shape = random_pose(body, 1), random_shape(body, 1)
    vertices, joints = body.rest(shape)
    displaced = body.displacements(rotations)
    rest = (vertices if displaced is None else vertices + displaced)[0]
    expected = torch.zeros_like(rest)
    turned, placed = {}, {}
    for joint in body.skeleton().from_the_roots():
        parent, place = int(body.parents[joint]), joints[0, joint]
        turned[joint] = turned[parent] @ rotations[0, joint] if parent >= 0 else rotations[0, joint]
        above = joints[0, parent] if parent >= 0 else torch.zeros(3, dtype=torch.float64)
        placed[joint] = placed[parent] + turned[parent] @ (place - above) if parent >= 0 else place
        expected = expected + body.weights[:, joint, None] * ((rest - place) @ turned[joint].T + placed[joint])
    posed = body.posed(rotations, shape)
    assert torch.allclose(posed.vertices[0], expected, atol=1e-9)
    assert torch.allclose(posed.joints[0], torch.stack([placed[j] for j in range(len(body.names))]), atol=1e-9)


def test_an_elbow_at_a_right_angle_keeps_points_of_the_surface_where_their_weights_put_them(body):
    """Points between vertices, bound by the mean of their corners' weights, as an avatar's texels are."""
    joint = a_middle_joint(body)
    vertices, joints = body.rest()
    rotations = identity(body)
    rotations[joint] = rotation_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 2], dtype=torch.float64))
    points, face, corners = sample_surface(Mesh(vertices, body.faces), 500, torch.Generator().manual_seed(0))
    weights = (body.weights[body.faces[face]] * corners[..., None]).sum(1)
    moved = linear_blend_skinning(points, weights, body.posed(rotations).transforms)
    share = weights[:, subtree(body, joint)].sum(1, keepdim=True)
    x, y, z = (points - joints[joint]).unbind(-1)
    quarter = torch.stack([-y, x, z], dim=-1) + joints[joint]
    assert float((moved - ((1 - share) * points + share * quarter)).norm(dim=-1).max()) < 5e-4


def test_frames_may_share_a_shape_and_shapes_a_pose(body):
    rotations, shape = random_pose(body, 3), random_shape(body, 3)
    together = body.posed(rotations, shape).vertices
    alone = torch.stack([body.posed(rotations[i], shape[i]).vertices for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-12)
    shared = body.posed(rotations, shape[0]).vertices
    assert torch.allclose(shared[2], body.posed(rotations[2], shape[0]).vertices, atol=1e-12)
    assert body.posed(rotations[0], shape).vertices.shape == together.shape


def test_gradients_reach_pose_shape_and_translation(body):
    vectors = torch.zeros(2, len(body.names), 3, dtype=torch.float64, requires_grad=True)
    shape = random_shape(body, 2)
    translation = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, len(body.weights), 3, dtype=torch.float64, generator=torch.manual_seed(3))
    inputs = (vectors, shape, translation)

    def value(vectors, shape, translation):
        return (body.posed(rotation_from_axis_angle(vectors), shape, translation).vertices * direction).sum()

    gradients = torch.autograd.grad(value(*inputs), inputs, allow_unused=True)
    for index, (tensor, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        if not tensor.numel():
            continue
        assert torch.isfinite(gradient).all()
        step = 1e-5 * torch.randn(tensor.shape, dtype=torch.float64, generator=torch.manual_seed(4))
        with torch.no_grad():
            after, before = ([*inputs], [*inputs])
            after[index], before[index] = tensor + step, tensor - step
            change = float(value(*after) - value(*before)) / 2
        assert change == pytest.approx(float((gradient * step).sum()), rel=1e-5, abs=1e-9)


def test_points_at_a_bent_elbow_follow_the_posed_surface_as_those_of_the_nearest_vertex_do_not():
    """Within half a millimetre on average, where both the arm and the forearm have a say."""
    body = body_of("open")
    elbow = body.names.index("lowerarm01.L")
    rotations = identity(body)
    rotations[elbow] = rotation_from_axis_angle(torch.tensor([0.0, math.pi / 2, 0.0], dtype=torch.float64))
    posed = body.posed(rotations)
    points, face, corners = sample_surface(Mesh(body.rest()[0], body.faces), 20_000, torch.Generator().manual_seed(0))
    weights = (body.weights[body.faces[face]] * corners[..., None]).sum(1)
    share = weights[:, subtree(body, elbow)].sum(1)
    bends = (share > 0.01) & (share < 0.99)
    surface = (posed.vertices[body.faces[face]] * corners[..., None]).sum(1)

    def distance(weights):
        return float((linear_blend_skinning(points, weights, posed.transforms) - surface)[bends].norm(dim=1).mean())

    assert distance(weights) < 5e-4
    assert distance(body.weights[body.faces[face, corners.argmax(1)]]) > 1.5e-3


def test_transforms_move_any_point_that_is_bound(body):
    rotations = random_pose(body, 1)[0]
    posed = body.posed(rotations, translation=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    joints = body.rest()[1]
    assert torch.allclose(transform_points(posed.transforms, joints[:, None])[:, 0], posed.joints, atol=1e-12)
    turns = posed.transforms[:, :3, :3]
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand_as(turns), atol=1e-9)
