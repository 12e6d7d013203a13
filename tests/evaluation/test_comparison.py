"""Scores against closed forms: spheres apart, a swinging arm, a joint that turns."""

import math
from dataclasses import replace

import pytest
import torch

from a4d.evaluation.comparison import compare_shapes, joint_errors, trajectory_errors
from a4d.evaluation.motion import Joints, MovingShape
from a4d.evaluation.sources import chosen_moments, shape_of_asset
from a4d.geometry.assets.assembly import primitive_from_mesh, skinned_asset
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import box, icosphere
from a4d.geometry.transforms import rigid_from_parts

SWING = torch.deg2rad(torch.linspace(0, 60, 7)).double()


def turned(angles: torch.Tensor) -> torch.Tensor:
    """(T, 3, 3) rotations about z."""
    zero, one = torch.zeros_like(angles), torch.ones_like(angles)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1).view(-1, 3, 3)


def swinging_arm(angles: torch.Tensor = SWING) -> MovingShape:
    """A bar along x that turns about z at its left end, and its joint there."""
    bar = box((1.0, 0.1, 0.1))
    vertices = bar.vertices + torch.tensor([0.5, 0.0, 0.0])
    tracks = torch.einsum("tij,vj->tvi", turned(angles).float(), vertices)
    shoulder = rigid_from_parts(turned(angles), torch.zeros(len(angles), 3).double())
    surfaces = tuple(Mesh(frame, bar.faces) for frame in tracks)
    return MovingShape(surfaces, tracks, Joints(("shoulder",), shoulder[:, None]))


def test_spheres_of_another_radius_are_that_far_apart_with_the_same_normals():
    inner, outer = MovingShape((icosphere(0.4),)), MovingShape((icosphere(0.5),))
    facts = compare_shapes(inner, outer, threshold=0.11)
    assert facts["chamfer"] == pytest.approx(0.1, rel=0.03)
    assert facts["f_score"] == 1
    assert facts["normal_consistency"] > 0.995
    assert facts["diagonal"] == pytest.approx(3**0.5, rel=1e-3)
    assert facts["chamfer_share"] == pytest.approx(0.1 / 3**0.5, rel=0.03)
    assert "moments" not in facts


def test_a_sphere_that_drifts_away_is_worse_at_every_moment():
    still = icosphere(0.5, 3)
    offsets = torch.tensor([0.0, 0.01, 0.02, 0.04])
    moving = tuple(still.with_vertices(still.vertices + offset * torch.tensor([1.0, 0, 0])) for offset in offsets)
    facts = compare_shapes(MovingShape(moving), MovingShape((still,) * 4), threshold=0.02)
    distances = [scores["chamfer"] for scores in facts["moments"]]
    # The mean over a sphere of the offset's part along the normal is half of it.
    assert distances == pytest.approx([0, 0.005, 0.01, 0.02], abs=5e-4)
    assert facts["chamfer"] == pytest.approx(sum(distances) / 4)


def test_the_normals_of_a_tilted_square_disagree_by_the_cosine_whichever_side_is_outside():
    corners = torch.tensor([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    square = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    tilted = square.with_vertices(corners @ turned(torch.deg2rad(torch.tensor([25.0])))[0].T)
    for faces in (square.faces, square.faces.flip(1)):
        facts = compare_shapes(MovingShape((replace(tilted, faces=faces),)), MovingShape((square,)), threshold=0.2)
        assert facts["normal_consistency"] == pytest.approx(math.cos(math.radians(25)), abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_an_arm_that_swings_less_has_the_error_of_its_lag(share):
    truth, lagging = swinging_arm(), swinging_arm(SWING * (1 - share))
    radii = truth.tracks[0, :, :2].norm(dim=1)
    chords = 2 * torch.sin(SWING * share / 2).float()[:, None] * radii
    facts = compare_shapes(lagging, truth, threshold=0.02)
    assert facts["trajectory_error"] == pytest.approx(float(chords.mean()), abs=1e-6)
    assert facts["trajectory_share_of_diagonal"] == pytest.approx(facts["trajectory_error"] / truth.diagonal)
    still = 2 * torch.sin(SWING / 2).float()[:, None] * radii
    assert facts["trajectory_share_of_static"] == pytest.approx(float(chords.mean() / still.mean()), abs=1e-5)
    assert facts["joint_error"] == pytest.approx(0, abs=1e-6)
    assert facts["joint_rotation_error"] == pytest.approx(60 * share * 0.5, abs=1e-5)


def test_other_vertices_are_followed_from_where_they_are_nearest():
    truth = swinging_arm()
    order = torch.randperm(len(truth.tracks[0]), generator=torch.Generator().manual_seed(0))
    shuffled = truth.tracks[:, order]
    assert trajectory_errors(shuffled, truth.tracks, 1.0)["trajectory_error"] < 1e-6
    aside = truth.tracks + 0.005
    # As the same vertices it is off all the time; as others it has come the same way since the first moment.
    assert trajectory_errors(aside, truth.tracks, 1.0)["trajectory_error"] == pytest.approx(0.005 * 3**0.5, rel=1e-4)
    assert trajectory_errors(aside[:, order], truth.tracks, 1.0)["trajectory_error"] < 1e-6
    assert "trajectory_share_of_static" not in trajectory_errors(truth.tracks[:1], truth.tracks[:1], 1.0)


def test_joints_are_matched_by_name_and_their_own_axes_do_not_matter():
    truth = swinging_arm().joints
    turned_axes = truth.world_from_joint @ rigid_from_parts(
        turned(torch.tensor([1.0]).double())[0], torch.zeros(3).double()
    )
    assert joint_errors(replace(truth, world_from_joint=turned_axes), truth, 2.0)["joint_rotation_error"] < 1e-5
    shifted = truth.world_from_joint.clone()
    shifted[:, :, 0, 3] += 0.3
    pair = Joints(("hand", "shoulder"), torch.cat([truth.world_from_joint, shifted], dim=1))
    facts = joint_errors(pair, truth, 2.0)
    assert (facts["joints"], facts["joint_error"]) == (1, pytest.approx(0.3))
    assert facts["joint_share_of_diagonal"] == pytest.approx(0.15)
    assert joint_errors(replace(truth, names=("bone",)), truth, 2.0)["joints"] == 1
    assert joint_errors(replace(pair, names=("a", "b")), truth, 2.0) == {}


def test_an_asset_brings_its_surface_its_points_and_its_joints():
    arm = swinging_arm()
    mesh = Mesh(arm.tracks[0], arm.surfaces[0].faces)
    skeleton = Skeleton(("shoulder",), torch.tensor([-1]), torch.eye(4).double()[None])
    motion = Motion(skeleton, arm.joints.world_from_joint, 0.1)
    count = len(mesh.vertices)
    everything = Influences(torch.zeros(count, 1, dtype=torch.int64), torch.ones(count, 1))
    primitive = replace(primitive_from_mesh(mesh), influences=everything)
    asset = skinned_asset("arm", primitive, {"swing": motion})
    shape = shape_of_asset(asset, asset.clips[0], [0.0, 0.5, 1.0])
    truth = MovingShape(arm.surfaces[::3], arm.tracks[::3], Joints(("shoulder",), arm.joints.world_from_joint[::3]))
    facts = compare_shapes(shape, truth, 0.02)
    assert facts["trajectory_share_of_static"] < 1e-3
    assert facts["joint_rotation_error"] < 0.05


def test_moments_are_spread_evenly_with_both_ends():
    assert chosen_moments(3, 8) == [0, 1, 2]
    assert chosen_moments(30, 4) == [0, 10, 19, 29]
    assert chosen_moments(30, 1) == [0]
