"""Motion of one body on another: names of all rigs, other sizes and rest poses, and rigs that are the same."""

from pathlib import Path

import pytest
import torch
from rigged_body import BODY, RENAMED, rigged, skeleton, waving

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Channel, Clip, Curve
from a4d.geometry.assets.posing import deform, pose
from a4d.geometry.assets.reposing import motion_of, reposed
from a4d.geometry.deformation.joint_names import paired
from a4d.geometry.deformation.retargeting import body_part, body_parts, match_joints, retargeted, rotations_of
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.io.assets.bvh import read_bvh
from a4d.io.assets.gltf.reader import read_gltf


def limbs(motion: Motion) -> torch.Tensor:
    """(T, L, 3) unit directions of arms and legs in the world."""
    pairs = [("LeftArm", "LeftForeArm"), ("LeftForeArm", "LeftHand"), ("LeftUpLeg", "LeftLeg"), ("LeftLeg", "LeftFoot")]
    place = {name: index for index, name in enumerate(BODY)}
    return torch.nn.functional.normalize(
        torch.stack([motion.positions[:, place[b]] - motion.positions[:, place[a]] for a, b in pairs], dim=1), dim=-1
    )


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("mixamorig:LeftForeArm", ("left", "forearm")),
        ("Bip01 L UpperArm", ("left", "upperarm")),
        ("upperarm_r", ("right", "upperarm")),
        ("DEF-thigh.L", ("left", "thigh")),
        ("thigh_l_001", ("left", "thigh")),
        ("J_Bip_R_LowerLeg", ("right", "shin")),
        ("RightToeBase", ("right", "toe")),
        ("Hips", ("", "hips")),
        ("lowerleg.r", ("right", "shin")),
        ("LHipJoint", ("left", "hipjoint")),
        ("FrontUpperLeg.L", ("left", "frontupperleg")),
        ("Leg", ("", "shin")),
        ("Clavicle_L", ("left", "shoulder")),
    ],
)
def test_a_joint_is_known_by_whatever_name_its_rig_gives_it(name, part):
    assert body_part(name) == part


def test_a_body_of_another_size_and_other_names_moves_alike():
    motion = waving(skeleton())
    other = retargeted(motion, skeleton(names=RENAMED, scale=2.5))
    torch.testing.assert_close(limbs(other), limbs(motion))
    moved = other.positions[:, 0] - other.skeleton.rest_world[0, :3, 3]
    torch.testing.assert_close(moved, 2.5 * (motion.positions[:, 0] - motion.skeleton.rest_world[0, :3, 3]))


def test_lowered_arms_are_raised_to_where_the_other_ones_are():
    lowered = {name: place for name, (_, place) in BODY.items()}
    lowered.update({"LeftForeArm": (0.4, 1.18, 0.05), "LeftHand": (0.6, 0.95, 0.0)})
    motion = waving(skeleton())
    other = retargeted(motion, skeleton(lowered))
    torch.testing.assert_close(limbs(other), limbs(motion))
    lengths = [
        (m.positions[:, 4] - m.positions[:, 3]).norm(dim=1) for m in (other, retargeted(other, skeleton(lowered)))
    ]
    torch.testing.assert_close(*lengths)


def test_a_capture_that_stands_elsewhere_than_its_rest_pose_begins_at_the_bodys_rest():
    hanging = skeleton({name: (x, y - 1.0, z) for name, (_, (x, y, z)) in BODY.items()})
    capture = waving(hanging, shift=(7.0, 1.0, -30.0))
    other = retargeted(capture, skeleton())
    torch.testing.assert_close(other.positions[:, 0], waving(skeleton()).positions[:, 0], atol=1e-6, rtol=0)


def test_joints_that_have_no_counterpart_follow_their_parents():
    source, target = waving(skeleton()), skeleton(names={"LeftHand": "Flipper", "LeftForeArm": "Fin"})
    assert len(match_joints(source.skeleton, target)) == len(BODY) - 2
    other = retargeted(source, target)
    turned = other.world_from_joint[:, 3, :3, :3]
    torch.testing.assert_close(other.world_from_joint[:, 5, :3, :3], turned)


def test_bodies_without_common_joints_are_told_apart():
    stranger = skeleton(names={name: f"bone {index}" for index, name in enumerate(BODY)})
    with pytest.raises(InvalidInputError, match=r"0 joints.*match"):
        match_joints(waving(skeleton()).skeleton, stranger)


def test_a_rig_of_two_joints_is_moved_by_two():
    arm = ("LeftArm", "LeftForeArm")
    motion, whole = waving(skeleton()), skeleton()
    joints = [whole.names.index(name) for name in arm]
    rest = torch.stack([whole.rest_world[joints[0]], whole.rest[joints[1]]])
    lever = Skeleton(("base", "tip"), torch.tensor([-1, 0]), rest)
    moved = retargeted(paired(motion, lever, {"base": arm[0], "tip": arm[1]}), lever)
    own, lent = (rotations_of(world.double()) for world in (moved.world_from_joint, motion.world_from_joint[:, joints]))
    torch.testing.assert_close(own, lent)
    with pytest.raises(InvalidInputError, match="Pair 2 at least") as caught:
        paired(motion, lever, {"base": arm[0]})
    assert "fewer than 2" in str(caught.value)


def test_the_same_rig_takes_a_motion_as_it_is():
    asset = rigged()
    motion = motion_of(asset, asset.clips[0], 30)
    assert len(motion) == 5
    again = reposed(rigged(), motion, "again")
    assert [clip.name for clip in again.clips] == ["again"]
    for time in (0.0, 2 / 30, 4 / 30):
        torch.testing.assert_close(
            deform(again, again.clips[0], time).vertices,
            deform(asset, asset.clips[0], time).vertices,
            atol=2e-4,
            rtol=0,
        )


def test_what_a_joint_does_besides_turning_is_kept_on_the_same_rig():
    asset = rigged()
    stretch = Channel(5, "translation", Curve(torch.tensor([0.0, 0.1]), torch.tensor([[0.3, 0, 0], [0.6, 0.1, 0.0]])))
    clip = Clip("stretch", (stretch,))
    again = reposed(asset, motion_of(asset, clip))
    end = pose(again, again.clips[0], 0.1).world_from_node
    torch.testing.assert_close(end, pose(asset, clip, 0.1).world_from_node, atol=2e-4, rtol=0)


def test_other_names_move_the_skin_alike():
    asset, other = rigged(), reposed(rigged(RENAMED), waving(skeleton()))
    for time in (0.0, 3 / 30):
        torch.testing.assert_close(
            deform(other, other.clips[0], time).vertices,
            deform(asset, asset.clips[0], time).vertices,
            atol=2e-3,
            rtol=0,
        )


def test_rigs_that_name_joints_mean_thighs_and_upper_arms_by_hips_and_shoulders():
    names = {"LeftArm": "LeftShoulder", "LeftForeArm": "LeftElbow", "LeftUpLeg": "LeftHip", "Spine": "LeftCollar"}
    body = skeleton(names=names)
    parts = dict(zip(body.names, body_parts(body), strict=True))
    assert parts["LeftShoulder"] == ("left", "upperarm")
    assert parts["LeftCollar"] == ("left", "shoulder")
    assert parts["LeftHip"] == ("left", "thigh")
    assert parts["Hips"] == ("", "hips")


def test_a_hand_turns_with_its_arm_and_a_head_stays_level():
    hanging = {name: place for name, (_, place) in BODY.items()}
    hanging |= {"LeftForeArm": (0.2, 1.1, 0.0), "LeftHand": (0.2, 0.8, 0.0), "Head": (0.0, 1.55, 0.15)}
    source = skeleton(hanging)
    still = Motion(source, source.rest[None].clone(), 1 / 30)
    other = retargeted(still, skeleton())
    hand, fore, head = (
        other.world_from_joint[0, list(BODY).index(name), :3, :3] for name in ("LeftHand", "LeftForeArm", "Head")
    )
    torch.testing.assert_close(hand, fore)
    assert float(hand[1, 0]) == pytest.approx(-1, abs=1e-9)  # what pointed along the spread arm points down
    torch.testing.assert_close(head, torch.eye(3, dtype=torch.float64))


def test_shorter_legs_make_smaller_steps_and_stand_on_the_same_ground():
    short = {
        name: (x, 1.0 + (y - 1.0) * (0.5 if "Leg" in name or "Foot" in name else 1.0), z)
        for name, (_, (x, y, z)) in BODY.items()
    }
    short = {name: (x, y - 0.5, z) for name, (x, y, z) in short.items()}
    motion = waving(skeleton())
    other = retargeted(motion, skeleton(short))
    walked = (motion.positions[-1, 0] - motion.positions[0, 0])[2]
    torch.testing.assert_close((other.positions[-1, 0] - other.positions[0, 0])[2], 0.5 * walked)
    assert float(other.positions[..., 1].min()) == pytest.approx(0.5 * float(motion.positions[..., 1].min()), abs=1e-6)


def test_the_same_rig_of_another_size_and_place_is_known():
    asset, motion = rigged(), waving(skeleton())
    elsewhere = torch.eye(4, dtype=torch.float64)
    elsewhere[:3, :3] *= 40.0
    elsewhere[:3, 3] = torch.tensor([3.0, -2.0, 7.0])
    for each in (motion, motion.seen_from(elsewhere)):
        again = reposed(asset, each)
        shown = [deform(each, each.clips[0], 4 / 30).vertices for each in (again, asset)]
        torch.testing.assert_close(*shown, atol=2e-4, rtol=0)


@pytest.fixture
def mannequin(real_data: Path) -> Skeleton:
    """A toy figure of 1.2 m with its arms spread."""
    asset = read_gltf(real_data / "rigged_kaykit/sketchpunk/models/mannequin_v2/manny_med_mod.gltf")
    return asset.skeleton_of(asset.shown_joints())


def bend(motion: Motion, joint: int) -> torch.Tensor:
    """(T,) degrees by which a joint has turned against its parent since rest."""
    turns = (
        rotations_of(motion.skeleton.rest.double())[joint].T @ rotations_of(motion.parent_from_joint.double())[:, joint]
    )
    return torch.rad2deg(torch.acos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))


@pytest.mark.parametrize(
    ("file", "wrist", "is_overhead"),
    [("animated_drawings/cmu1/jumping_jacks", "Wrist", True), ("pybvh/bvh_data/cmu_12_01_walk", "Hand", False)],
)
def test_motion_capture_moves_a_toy_figure(
    real_data: Path, mannequin: Skeleton, file: str, wrist: str, is_overhead: bool
):
    capture = read_bvh(real_data / f"motion_bvh/{file}.bvh")
    other = retargeted(capture, mannequin)
    place = {name: index for index, name in enumerate(mannequin.names)}
    toes = other.positions[:, [place["toes.l"], place["toes.r"]], 1].amin(1)
    at_rest = float(mannequin.rest_world[place["toes.l"], 1, 3])
    assert float(toes.min()) == pytest.approx(at_rest, abs=1e-3)
    assert float(toes.max()) < at_rest + 0.07
    for side, full in (("l", "Left"), ("r", "Right")):
        limb = other.positions[:, place[f"wrist.{side}"]] - other.positions[:, place[f"lowerarm.{side}"]]
        assert (float(torch.nn.functional.normalize(limb, dim=1)[:, 1].max()) > 0.95) == is_overhead
        # A hand that stayed where the rest poses' arms differ would be twisted by the quarter turn between them.
        there = bend(capture, capture.skeleton.names.index(f"{full}{wrist}"))
        torch.testing.assert_close(bend(other, place[f"wrist.{side}"]), there, atol=1e-3, rtol=0)
