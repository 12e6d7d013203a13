import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from a4d.errors import A4DError, InvalidInputError, MissingInputError
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.io.assets.bvh import read_bvh

ARM = """HIERARCHY
ROOT Left Hip
{
  OFFSET 1 2 3
  CHANNELS 6 Zrotation Xrotation Yrotation Xposition Yposition Zposition
  JOINT Knee
  {
    OFFSET 0 4 0
    CHANNELS 2 Yposition xROTATION
    End Site
    {
      OFFSET 0 0 5
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
90 0 0 10 20 30 4 0
0 0 0 0 0 0 7 90
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_hand_made_motion(tmp_path: Path) -> None:
    motion = read_bvh(written(tmp_path / "arm.bvh", ARM))
    assert motion.skeleton.names == ("Left Hip", "Knee", "Knee end")
    assert motion.skeleton.parents.tolist() == [-1, 0, 1]
    assert motion.skeleton.rest_world[:, :3, 3].tolist() == [[1, 2, 3], [1, 6, 3], [1, 6, 8]]
    assert motion.seconds_per_frame == 0.04
    # The first frame turns everything about z: up becomes -x. The second stretches the thigh to 7 and bends the knee:
    # forward becomes down.
    expected = [[[10, 20, 30], [6, 20, 30], [6, 20, 35]], [[0, 0, 0], [0, 7, 0], [0, 2, 0]]]
    assert torch.allclose(motion.positions, torch.tensor(expected, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "ZXZ"])
def test_the_first_channel_is_the_outermost_rotation(tmp_path: Path, order: str) -> None:
    angles = dict(zip("XYZ", np.radians([20.0, -70.0, 130.0]), strict=True))

    def about(axis: str) -> np.ndarray:
        first, second = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
        matrix = np.eye(3)
        c, s = math.cos(angles[axis]), math.sin(angles[axis])
        matrix[first, first], matrix[first, second], matrix[second, first], matrix[second, second] = c, -s, s, c
        return matrix

    channels = " ".join(f"{axis}rotation" for axis in order)
    degrees = " ".join(str(math.degrees(angles[axis])) for axis in order)
    text = f"HIERARCHY ROOT a {{ OFFSET 0 0 0 CHANNELS 3 {channels} }} MOTION Frames: 1 Frame Time: 1 {degrees}"
    motion = read_bvh(written(tmp_path / "a.bvh", text))
    expected = about(order[0]) @ about(order[1]) @ about(order[2])
    assert np.allclose(motion.world_from_joint[0, 0, :3, :3].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("HIERARCHY", "SOLID", "hierarchy holds 'SOLID'"),
        ("MOTION", "", "no MOTION"),
        ("Frames: 2", "Frames: 999999999", "999999999 frames"),
        ("Frames: 2", "Frames: 3", "16 motion values, not the 3 frames of 8"),
        ("Frames: 2", "Frames: two", "no MOTION"),
        ("0.04", "0", "frame time of 0"),
        ("0.04", "nan", "'nan'"),
        ("0.04", "fast", "'fast'"),
        ("7 90", "7 inf", "not finite"),
        ("7 90", "7 x", "no numbers"),
        ("Yposition", "Wposition", "unknown channel 'Wposition'"),
        ("CHANNELS 2", "CHANNELS two", "damaged hierarchy"),
        ("CHANNELS 2", "CHANNELS 99999999", "unknown channel"),
        ("OFFSET 0 4 0", "OFFSET 0 4", "'CHANNELS'"),
        ("      OFFSET 0 0 5\n    }\n", "", "empty or cut off"),
        ("}\nMOTION", "}}\nMOTION", "damaged hierarchy"),
        ("ROOT Left Hip\n{", "", "damaged hierarchy"),
    ],
)
def test_damage_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in ARM
    with pytest.raises(InvalidInputError) as caught:
        read_bvh(written(tmp_path / "arm.bvh", ARM.replace(old, new)))
    assert reason in str(caught.value)
    assert "arm.bvh" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_binary_and_mangled_files_raise_our_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        read_bvh(tmp_path / "gone.bvh")
    path = tmp_path / "mangled.bvh"
    path.write_bytes(b"\x80\x81" * 100)
    with pytest.raises(InvalidInputError, match="not a text file"):
        read_bvh(path)
    generator, refused = random.Random(0), 0
    for number in range(500):
        damaged = bytearray(ARM.encode())
        if number % 2:
            del damaged[generator.randrange(len(damaged)) :]
        for _ in range(3):
            damaged[generator.randrange(len(damaged)) - 1 if damaged else 0 :] = damaged[
                generator.randrange(len(damaged) + 1) :
            ]
            damaged += b"}"
        path.write_bytes(damaged)
        try:
            read_bvh(path)
        except A4DError:
            refused += 1
    assert refused > 400


def test_rotations_match_the_golden_ones(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "motion_bvh" / "pybvh" / "tests" / "fixtures"
    with np.load(folder / "euler_zyx_to_rotmat.npz") as golden:
        euler, rotations = golden["euler"], golden["rotmat"]
    rows = "\n".join(" ".join(repr(float(a)) for a in row) for row in np.degrees(euler))
    text = (
        "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 3 Zrotation Yrotation Xrotation End Site { OFFSET 0 1 0 } }"
        f" MOTION Frames: {len(euler)} Frame Time: 0.01 {rows}"
    )
    motion = read_bvh(written(tmp_path / "golden.bvh", text))
    ours = motion.world_from_joint[:, 0, :3, :3]
    assert np.allclose(ours.numpy(), rotations, atol=1e-12)
    assert np.allclose(motion.positions[:, 1].numpy(), rotations[:, :, 1], atol=1e-12)
    with np.load(folder / "rotmat_to_quat.npz") as golden:
        quaternions = quaternion_from_rotation(torch.from_numpy(golden["rotmat"])).numpy()
        assert np.allclose(np.abs((quaternions * golden["quat_wxyz"]).sum(1)), 1, atol=1e-12)


def test_motion_capture_of_others_keeps_its_bone_lengths(real_data: Path) -> None:
    paths = sorted((real_data / "motion_bvh").rglob("*.bvh"))
    assert len(paths) >= 10
    for path in paths:
        motion = read_bvh(path)
        parents = motion.skeleton.parents
        bones = parents >= 0
        lengths = (motion.positions[:, bones] - motion.positions[:, parents[bones]]).norm(dim=2)
        rest = motion.skeleton.rest[bones, :3, 3].norm(dim=1)
        assert torch.allclose(lengths, rest.expand_as(lengths), atol=1e-9), path
    walk = read_bvh(real_data / "motion_bvh" / "pybvh" / "bvh_data" / "cmu_12_01_walk.bvh")
    assert (len(walk), len(walk.skeleton)) == (524, 38)
    # A man stands upright all the while: the head is above the feet.
    head, foot = walk.skeleton.names.index("Head"), walk.skeleton.names.index("LeftFoot")
    assert (walk.positions[:, head, 1] > walk.positions[:, foot, 1] + 10).all()


def test_channels_before_positions_and_frame_times_in_full(real_data: Path) -> None:
    fixtures = real_data / "motion_bvh" / "pybvh" / "tests" / "fixtures"
    motion = read_bvh(fixtures / "rotation_first_root.bvh")
    assert motion.positions[0, 0].tolist() == [10 + 0.0, 50, -20]
    assert read_bvh(fixtures / "full_precision_frame_time.bvh").seconds_per_frame == 0.0417083750417
