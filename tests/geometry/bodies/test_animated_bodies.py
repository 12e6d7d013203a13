"""Bodies in the poses of a clip, and with the motion of something else."""

import pytest
import torch
from rigged_body import skeleton, waving

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.deformation.retargeting import match_joints
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.assets.bvh import read_bvh
from a4d.io.bodies.open_body import open_body
from a4d.scenes.protocols import Posable

BODY = open_body()


def still(frames=3):
    rotations = torch.eye(3).repeat(frames, len(BODY.names), 1, 1)
    return AnimatedBody(BODY, BODY.default_shape, rotations, torch.zeros(frames, 3), 0.1)


def turning(frames=3, joint="upperarm01.L", angle=1.0):
    body = still(frames)
    angles = torch.zeros(frames, 3)
    angles[:, 2] = torch.linspace(0, angle, frames)
    body.rotations[:, BODY.names.index(joint)] = rotation_from_axis_angle(angles)
    body.translation[:, 0] = torch.linspace(0, 0.5, frames)
    return body


def test_it_can_be_posed_as_a_scene_can():
    assert isinstance(still(), Posable)


def test_its_joints_are_where_the_posed_body_has_them():
    body = turning()
    assert body.seconds == pytest.approx(0.2)
    motion = body.motion([0.0, 0.5, 1.0])
    assert motion.seconds_per_frame == pytest.approx(0.1)
    assert torch.allclose(motion.positions, body.posed().joints, atol=1e-5)
    assert len(body.posed().vertices) == len(body) == 3


def test_between_frames_joints_turn_steadily():
    quarter = turning().motion([0.25]).parent_from_joint[0]
    expected = rotation_from_axis_angle(torch.tensor([0.0, 0.0, 0.25]))
    assert torch.allclose(quarter[BODY.names.index("upperarm01.L"), :3, :3], expected, atol=1e-5)
    assert float(quarter[0, 0, 3] - BODY.template_joints[0, 0]) == pytest.approx(0.125, abs=1e-3)


def test_a_motion_of_its_own_comes_back():
    body = turning(5)
    times = [0.0, 0.25, 0.5, 0.75, 1.0]
    again = still(1).with_motion(body.motion(times))
    assert again.seconds_per_frame == pytest.approx(0.1)
    assert torch.allclose(again.posed().vertices, body.posed().vertices, atol=1e-3)


def test_it_takes_the_motion_of_another_skeleton():
    """Its elbow bends with the other's, in the world, and it walks ahead as far for its size."""
    motion = waving(skeleton())
    moved = still(1).with_motion(motion)
    joints = moved.posed().joints
    limb = {}
    for name, elbow, hand in (
        ("own", joints[:, BODY.names.index("lowerarm01.L")], joints[:, BODY.names.index("wrist.L")]),
        ("other", motion.positions[:, 4], motion.positions[:, 5]),
    ):
        limb[name] = torch.nn.functional.normalize((hand - elbow).double(), dim=1)
    assert torch.allclose(limb["own"], limb["other"], atol=2e-2)
    travelled = moved.translation[-1, 2] - moved.translation[0, 2]
    assert 0.3 < float(travelled) < 0.6


def test_captured_motion_finds_the_limbs_of_the_open_body(real_data):
    for file in ("cmu1/jumping_jacks.bvh", "fair1/dab.bvh"):
        paths = list((real_data / "motion_bvh").rglob(file))
        motion = read_bvh(paths[0] if paths else next(real_data.rglob(file)))
        matched = {BODY.names[joint] for joint in match_joints(motion.skeleton, BODY.skeleton()).target.tolist()}
        limbs = {f"{limb}01.{side}" for limb in ("upperarm", "lowerarm", "upperleg", "lowerleg") for side in "LR"}
        assert {"pelvis", "neck01", "head", "foot.L", "foot.R"} | limbs <= matched


def test_a_motion_of_strangers_is_refused():
    stranger = Skeleton(("a", "b", "c"), torch.tensor([-1, 0, 1]), torch.eye(4).repeat(3, 1, 1))
    with pytest.raises(InvalidInputError, match="match"):
        still(1).with_motion(Motion(stranger, stranger.rest[None], 0.1))
