"""Poses of one body on another: limbs point alike, and there and back is where it began."""

import pytest
import torch
from torch.nn.functional import normalize

from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.transfer import fitted_shape, transferred
from a4d.geometry.deformation.retargeting import OPEN_OF_SMPL, match_joints
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.smpl_skeleton import mean_smpl

SMPL, OPEN = mean_smpl(), open_body()
LIMBS = [(f"{side}_{begin}", f"{side}_{end}") for side in ("left", "right") for begin, end in (
    ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"),
)]  # fmt: skip
BENT = ("pelvis", *(joint for limb in LIMBS for joint in limb[:1]), "spine1", "spine3", "neck", "left_collar")


@pytest.fixture(scope="module")
def danced():
    """SMPL's joints in six poses, turned all the way round and moved."""
    generator = torch.Generator().manual_seed(3)
    vectors = torch.zeros(6, 24, 3)
    for name in BENT:
        vectors[:, SMPL.names.index(name)] = 0.4 * torch.randn(6, 3, generator=generator)
    vectors[:, 0, 1] += torch.linspace(0, 6, 6)
    translation = torch.randn(6, 3, generator=generator)
    return AnimatedBody(SMPL, SMPL.default_shape, rotation_from_axis_angle(vectors), translation, 1 / 30)


def joints_of(animated, names):
    posed = animated.body.posed(animated.rotations, animated.shape, animated.translation).joints
    return posed[:, [animated.body.names.index(name) for name in names]]


def ends_apart(danced, moved):
    """(T, 16, 3) from the ends of the open body's limbs to those of SMPL's."""
    ends = [name for limb in LIMBS for name in limb]
    return joints_of(danced, ends) - joints_of(moved, [OPEN_OF_SMPL[name] for name in ends])


def test_limbs_point_to_where_the_others_do_and_nothing_is_scaled(danced):
    shape = fitted_shape(OPEN, SMPL.skeleton())
    moved = transferred(danced, OPEN, shape)
    for begin, end in LIMBS:
        theirs = joints_of(danced, (begin, end))
        own = joints_of(moved, (OPEN_OF_SMPL[begin], OPEN_OF_SMPL[end]))
        cosine = (normalize(theirs[:, 1] - theirs[:, 0], dim=1) * normalize(own[:, 1] - own[:, 0], dim=1)).sum(1)
        assert float(cosine.min()) > 1 - 1e-5
    fitted, usual = ends_apart(danced, moved), ends_apart(danced, transferred(danced, OPEN))
    assert float(fitted.mean(1).norm(dim=1).max()) < 0.01
    # Spines bend at other places, by .4 rad here; what limbs of another length add is gone.
    assert float(fitted.norm(dim=2).mean()) < min(0.06, float(usual.norm(dim=2).mean()) - 0.004)


def test_a_shape_has_the_limbs_of_the_other():
    joints = OPEN.rest(fitted_shape(OPEN, SMPL.skeleton()))[1]
    for begin, end in LIMBS:
        wanted = float((SMPL.joints[SMPL.names.index(end)] - SMPL.joints[SMPL.names.index(begin)]).norm())
        pair = joints[[OPEN.names.index(OPEN_OF_SMPL[name]) for name in (begin, end)]]
        assert float((pair[1] - pair[0]).norm()) == pytest.approx(wanted, rel=0.08)


def test_there_and_back_is_the_same_pose(danced):
    back = transferred(transferred(danced, OPEN), SMPL)
    assert float((back.rotations - danced.rotations).abs().max()) < 3e-5
    assert float((joints_of(back, SMPL.names) - joints_of(danced, SMPL.names)).norm(dim=2).max()) < 0.06


def test_a_motion_of_smpl_moves_the_open_body_without_shrugging(danced):
    """The trunk rests as it does, with arms laid along the other's alone; the path is by the ratio of the legs."""
    times = torch.linspace(0, 1, len(danced), dtype=torch.float64).tolist()
    moved = AnimatedBody(OPEN, OPEN.default_shape, danced.rotations[:, :1], danced.translation, 1 / 30)
    moved = moved.with_motion(danced.motion(times))
    placed = transferred(danced, OPEN)
    assert float((moved.rotations - placed.rotations).abs().max()) < 1e-4
    rest = AnimatedBody(SMPL, SMPL.default_shape, torch.eye(3).repeat(2, 24, 1, 1), torch.zeros(2, 3), 1 / 30)
    still = placed.with_motion(rest.motion([0.0, 1.0]))
    trunk = [OPEN.names.index(name) for name in ("pelvis", "spine01", "neck01", "clavicle.L", "foot.R")]
    torch.testing.assert_close(
        still.body.posed(still.rotations, still.shape).transforms[:, trunk, :3, :3],
        torch.eye(3).expand(2, len(trunk), 3, 3), atol=1e-5, rtol=0,
    )  # fmt: skip


def test_bodies_of_one_kind_are_paired_by_their_names():
    match = match_joints(SMPL.skeleton(), SMPL.skeleton())
    assert match.source.tolist() == match.target.tolist() == list(range(24))
    assert len(match_joints(OPEN.skeleton(), SMPL.skeleton())) == len(OPEN_OF_SMPL)
