"""Motion of one body on another: names of all rigs, other sizes and rest poses, and rigs that are the same."""

import math

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Channel, Clip, Curve
from a4d.geometry.assets.assembly import primitive_from_mesh, skinned_asset
from a4d.geometry.assets.asset import Influences
from a4d.geometry.assets.posing import deform, pose
from a4d.geometry.assets.reposing import motion_of, reposed
from a4d.geometry.deformation.retargeting import body_part, match_joints, retargeted
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.primitives import box
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion

# Joint, parent, place in metres: arms spread in a T.
BODY = {
    "Hips": (None, (0.0, 1.0, 0.0)),
    "Spine": ("Hips", (0.0, 1.2, 0.0)),
    "Head": ("Spine", (0.0, 1.6, 0.0)),
    "LeftArm": ("Spine", (0.2, 1.4, 0.0)),
    "LeftForeArm": ("LeftArm", (0.5, 1.4, 0.0)),
    "LeftHand": ("LeftForeArm", (0.8, 1.4, 0.0)),
    "LeftUpLeg": ("Hips", (0.1, 0.9, 0.0)),
    "LeftLeg": ("LeftUpLeg", (0.1, 0.5, 0.0)),
    "LeftFoot": ("LeftLeg", (0.1, 0.0, 0.0)),
}
RENAMED = {
    "Hips": "pelvis", "Spine": "spine_01", "Head": "head", "LeftArm": "upperarm_l", "LeftForeArm": "lowerarm_l",
    "LeftHand": "hand_l", "LeftUpLeg": "thigh_l", "LeftLeg": "calf_l", "LeftFoot": "foot_l",
}  # fmt: skip


def turn(axis: int, degrees: float) -> torch.Tensor:
    half = math.radians(degrees) / 2
    quaternion = torch.zeros(4, dtype=torch.float64)
    quaternion[0], quaternion[1 + axis] = math.cos(half), math.sin(half)
    return rotation_from_quaternion(quaternion)


def skeleton(places=None, names=None, scale=1.0) -> Skeleton:
    """The body with joints whose axes are the world's."""
    places = {name: place for name, (_, place) in BODY.items()} if places is None else places
    world = {name: scale * torch.tensor(place, dtype=torch.float64) for name, place in places.items()}
    order = list(BODY)
    parents = [order.index(above) if above else -1 for above, _ in BODY.values()]
    offsets = [world[name] - (world[above] if above else 0) for name, (above, _) in BODY.items()]
    rest = rigid_from_parts(torch.eye(3, dtype=torch.float64).repeat(len(order), 1, 1), torch.stack(offsets))
    return Skeleton(tuple((names or {}).get(name, name) for name in order), torch.tensor(parents), rest)


def waving(body: Skeleton, shift=(0.0, 0.0, 0.0)) -> Motion:
    """Raises an arm, bends an elbow and a knee, and walks ahead."""
    frames = 5
    local = body.rest.expand(frames, *body.rest.shape).clone()
    index = {name: place for place, name in enumerate(BODY)}
    for frame in range(frames):
        local[frame, index["LeftArm"], :3, :3] = turn(2, 15.0 * frame)
        local[frame, index["LeftForeArm"], :3, :3] = turn(1, -20.0 * frame)
        local[frame, index["LeftLeg"], :3, :3] = turn(0, 10.0 * frame)
        local[frame, index["Hips"], :3, 3] += torch.tensor([0.0, 0.0, 0.1 * frame]) + torch.tensor(shift)
    return Motion(body, local, 1 / 30)


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


def rigged(names=None):
    """A box per joint, as one skinned asset with a motion."""
    body = skeleton(names=names)
    mesh = box((0.5, 0.5, 0.5))
    count = len(mesh.vertices)
    weights = torch.zeros(count, len(BODY))
    weights[torch.arange(count), torch.arange(count) % len(BODY)] = 1.0
    primitive = primitive_from_mesh(mesh)
    primitive = type(primitive)(**{**primitive.__dict__, "influences": Influences.strongest(weights)})
    return skinned_asset("body", primitive, {"wave": waving(body)})


def test_the_same_rig_takes_a_motion_as_it_is():
    asset = rigged()
    motion = motion_of(asset, asset.clips[0])
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
