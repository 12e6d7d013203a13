"""Where motions come from, and which way is up in them: capture, archives of AMASS, a body that was tracked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rigged_body import skeleton, turn, waving, write_bvh
from synthetic_smpl import posed
from torch.nn.functional import normalize
from tracker_files import FRAMES, Filmed, amass

from a4d.contents.motions import MotionSource, load_motion, motion_files
from a4d.errors import InvalidInputError
from a4d.geometry.assets.motion_axes import rest_orientation, standing, world_orientation
from a4d.geometry.assets.placement import Orientation
from a4d.geometry.bodies.animated_body import AnimatedBody
from a4d.geometry.bodies.tracked_body import TrackedBody
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.assets.bvh import read_bvh
from a4d.io.bodies.smpl_skeleton import mean_smpl
from a4d.io.bodies.tracked_body import write_tracked_body
from a4d.workspace.workspace import Metadata, Workspace


def test_capture_stands_whichever_of_its_axes_is_up(tmp_path: Path) -> None:
    expected = read_bvh(write_bvh(tmp_path / "up.bvh", waving(skeleton())))
    assert standing(expected) is expected
    torch.testing.assert_close(load_motion(MotionSource(tmp_path / "up.bvh")).positions, expected.positions)
    blender = write_bvh(tmp_path / "blender.bvh", waving(skeleton()), turn(0, 90.0))
    found = load_motion(MotionSource(blender))
    torch.testing.assert_close(found.positions, expected.positions, atol=1e-6, rtol=0)
    told = load_motion(MotionSource(blender, orientation=Orientation("+y", "+z")))
    assert float(told.positions[0, 2, 2]) == pytest.approx(1.6, abs=1e-6)


def test_the_skeleton_may_rest_in_other_axes_than_it_moves_in(tmp_path: Path) -> None:
    motion = waving(skeleton())
    lying = turn(0, 90.0)
    local = motion.parent_from_joint.clone()
    local[:, 0, :3] = lying @ local[:, 0, :3]
    moved = type(motion)(motion.skeleton, local, motion.seconds_per_frame)
    assert (rest_orientation(moved.skeleton).up, world_orientation(moved).up) == ("+y", "+z")
    stood = standing(moved)
    torch.testing.assert_close(stood.positions, motion.positions, atol=1e-9, rtol=0)
    torch.testing.assert_close(stood.skeleton.rest, motion.skeleton.rest)


def test_a_body_that_rolls_does_not_say_where_up_is() -> None:
    motion = waving(skeleton())
    local = motion.parent_from_joint.clone()
    for frame in range(len(local)):
        local[frame, 0, :3, :3] = turn(0, 60.0 + 50.0 * frame)
    assert world_orientation(type(motion)(motion.skeleton, local, 1 / 30)) == Orientation()


@pytest.mark.parametrize("joints", [24, 52, 55])
def test_archives_of_amass_move_as_they_were_captured(tmp_path: Path, joints: int) -> None:
    filmed = Filmed()
    filmed.betas[:] = 0.0
    filmed.pose[:, 22:] = 0.0
    file = amass(tmp_path / "walk.npz", filmed, joints)
    motion = load_motion(MotionSource(file))
    truth = [posed(filmed.arrays, filmed.pose[i], filmed.betas, filmed.translation[i])[:22] for i in range(FRAMES)]
    assert np.abs(motion.positions[:, :22].numpy() - np.stack(truth)).max() < 1e-4
    assert motion.seconds_per_frame == pytest.approx(1 / 60)
    assert motion_files(file) == [file]
    told = load_motion(MotionSource(file, orientation=Orientation("+y", "+z")))
    assert np.abs(told.positions[:, :22].numpy() - np.stack(truth)).max() > 0.5


def test_the_body_that_a_workspace_tracked_is_a_motion(tmp_path: Path) -> None:
    vectors = 0.3 * torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(0))
    smpl = mean_smpl()
    translation = torch.tensor([[0.0, 1.2, 0.1 * frame] for frame in range(4)])
    animated = AnimatedBody(smpl, smpl.default_shape, rotation_from_axis_angle(vectors), translation, 0.04)
    one_face = AnimatedBody(
        type(smpl)(**{**smpl.__dict__, "faces": torch.tensor([[0, 1, 2]])}), *list(animated.__dict__.values())[1:]
    )
    path = tmp_path / "walk.a4d"
    Workspace.create(path, Metadata(name="walk"))
    is_tracked, empty = torch.ones(4, dtype=torch.bool), torch.zeros(0)
    write_tracked_body(path / "body.npz", TrackedBody(one_face, torch.linspace(0, 1, 4), is_tracked, "smpl", empty))
    motion = load_motion(MotionSource(path))
    torch.testing.assert_close(motion.positions.float(), animated.posed().joints, atol=1e-5, rtol=0)
    assert (motion.seconds_per_frame, motion_files(path)) == (pytest.approx(0.04), [path / "body.npz"])


def test_archives_of_other_things_are_no_motion(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", depth=np.zeros(3))
    with pytest.raises(InvalidInputError, match="holds no motion"):
        load_motion(MotionSource(tmp_path / "other.npz"))


@pytest.mark.parametrize("name", ["animated_drawings/cmu1/jumping_jacks.bvh", "animated_drawings/fair1/dab.bvh"])
def test_real_captures_stand(real_data: Path, name: str) -> None:
    motion = load_motion(MotionSource(real_data / "motion_bvh" / name))
    names = motion.skeleton.names
    hips, head = names.index("Hips"), names.index("Head")
    for places in (motion.positions, motion.skeleton.rest_world[None, :, :3, 3]):
        assert float(normalize(places[:, head] - places[:, hips], dim=1).mean(0)[1]) > 0.9
    left, right = (
        next(i for i, each in enumerate(names) if each in (f"{side}UpLeg", f"{side}Hip")) for side in ("Left", "Right")
    )
    assert float(motion.skeleton.rest_world[left, 0, 3] - motion.skeleton.rest_world[right, 0, 3]) > 0
