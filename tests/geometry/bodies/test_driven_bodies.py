"""The open body moved by captures and toys: on the ground, with its limbs beside it, and in another's own poses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rigged_body import skeleton, turn, waving

from a4d.contents.motions import MotionSource, load_motion
from a4d.errors import InvalidInputError
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.tracked_body import TrackedBody, in_shape
from a4d.geometry.deformation.in_place import in_place
from a4d.geometry.deformation.retargeting import match_between, match_joints, retargeted, rotations_of
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.signed_distance import distance_to_mesh
from a4d.io.bodies.open_body import open_body

BODY = in_shape(open_body())

CLIPS = {
    "jumping jacks": ("motion_bvh/animated_drawings/cmu1/jumping_jacks.bvh", None),
    "dab": ("motion_bvh/animated_drawings/fair1/dab.bvh", None),
    "walk": ("motion_bvh/pybvh/bvh_data/cmu_12_01_walk.bvh", None),
    "toy": ("rigged_kaykit/sketchpunk/anim/Med_MovementBasic.glb", "Rig_Medium|Walking_C"),
}


def still(body=BODY) -> TrackedBody:
    rotations = torch.eye(3).expand(1, len(body.names), 3, 3)
    animated = AnimatedBody(body, body.default_shape, rotations, torch.zeros(1, 3), 1 / 30)
    return TrackedBody(animated, torch.zeros(1).double(), torch.ones(1).bool(), "open", torch.zeros(0))


def named(*beginnings: str) -> torch.Tensor:
    """(V,) the vertices that joints with such names move most."""
    return torch.tensor([name.startswith(beginnings) for name in BODY.names])[BODY.weights.argmax(1)]


def some_frames(motion: Motion, count: int) -> Motion:
    frames = torch.linspace(0, len(motion) - 1, count).round().long()
    return replace(motion, parent_from_joint=motion.parent_from_joint[frames])


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
def test_arms_stay_out_of_the_trunk_and_feet_on_the_ground(real_data: Path, clip: str) -> None:
    file, name = CLIPS[clip]
    motion = some_frames(load_motion(MotionSource(real_data / file, name)), 12)
    animated = still().driven(motion).animated
    arms, trunk = named("lowerarm", "wrist", "finger", "metacarpal"), named("root", "pelvis", "spine", "neck", "head")
    faces = BODY.faces[trunk[BODY.faces].all(1)]
    inside = [
        float((distance_to_mesh(vertices[arms], Mesh(vertices, faces)) < -0.005).float().mean())
        for vertices in animated.posed().vertices
    ]
    assert max(inside) < 0.02
    assert sum(inside) / len(inside) < 0.005
    heights = animated.lowest()
    assert float(heights.min()) > -0.03
    assert float(heights.median()) < 0.06
    # Whatever the axes of the file, it begins upright and looks to the front.
    joints = dict(zip(BODY.names, animated.posed().joints[0], strict=True))
    up = joints["head"] - joints["pelvis"]
    front = torch.linalg.cross(joints["upperleg01.L"] - joints["upperleg01.R"], up)
    assert float(up[1] / up.norm()) > 0.9
    assert float(front[2] / front.norm()) > 0.9


def test_soles_rather_than_joints_touch_the_ground_and_jumps_are_kept() -> None:
    motion = waving(skeleton(scale=100.0), metre=100.0)
    heights = still().driven(motion).animated.lowest()
    feet = motion.positions[..., 1].amin(1)
    grown = (BODY.rest()[1][BODY.names.index("head"), 1] - BODY.rest()[1][BODY.names.index("foot.L"), 1]) / 160
    expected = grown.double() * (feet - feet.quantile(0.05))
    torch.testing.assert_close(heights.double(), expected, atol=2e-3, rtol=0)
    local = motion.parent_from_joint.clone()
    local[2, 0, 1, 3] += 30.0
    jumping = still().driven(replace(motion, parent_from_joint=local)).animated.lowest()
    assert float(jumping[2] - heights[2]) == pytest.approx(30 * float(grown), abs=5e-3)


def test_spines_of_any_number_of_joints_bend_alike_and_toes_together() -> None:
    source, target = waving(skeleton()), BODY.skeleton()
    names = ("Hips", "Spine", "Spine2", "Head", "LeftArm", "LeftForeArm", "LeftHand", "LeftUpLeg", "LeftToeBase")
    renamed = replace(source.skeleton, names=names)
    between = match_between(renamed, target, match_joints(renamed, target))
    pairs = {
        target.names[own]: names[other]
        for other, own in zip(*map(torch.Tensor.tolist, vars(between).values()), strict=True)
    }
    assert {joint for joint, other in pairs.items() if other == "LeftToeBase"} == {
        f"toe{digit}-1.L" for digit in range(2, 6)
    }
    assert pairs.keys() & {"spine01", "spine02", "spine03", "spine04"}
    # A chest that bows takes the upper spine along, by as much.
    local = source.parent_from_joint.clone()
    local[:, 2, :3, :3] = turn(0, 40.0)
    bowed = retargeted(Motion(renamed, local, source.seconds_per_frame), target)
    world = rotations_of(bowed.world_from_joint)[0, target.names.index("spine01")]
    torch.testing.assert_close(world, turn(0, 40.0), atol=1e-6, rtol=0)


def test_a_motion_on_the_spot_keeps_its_heights_and_turns() -> None:
    motion = waving(skeleton())
    there = in_place(motion)
    assert float(there.positions[:, 0, [0, 2]].std(0).max()) < 1e-9 < float(motion.positions[:, 0, 2].std())
    torch.testing.assert_close(there.positions[..., 1], motion.positions[..., 1])
    torch.testing.assert_close(there.parent_from_joint[:, 1:], motion.parent_from_joint[:, 1:])


def test_the_poses_of_another_shape_are_taken_as_they_are_with_the_roots_in_place() -> None:
    tall = in_shape(open_body(), torch.where(torch.arange(open_body().default_shape.numel()) == 4, 0.9, 0.5))
    other, own = still(tall).driven(waving(skeleton())), still()
    posed = own.in_poses_of(other)
    root = own.animated.skeleton.from_the_roots()[0]
    assert torch.equal(posed.animated.rotations, other.animated.rotations)
    places = [each.animated.posed().joints[:, root] for each in (posed, other)]
    torch.testing.assert_close(*places, atol=1e-5, rtol=0)
    strangers = replace(BODY, names=tuple(f"joint {index}" for index in range(len(BODY.names))))
    with pytest.raises(InvalidInputError, match="other joints"):
        own.in_poses_of(still(strangers))
