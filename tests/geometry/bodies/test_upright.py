"""Which way is up: found from poses in any world."""

import pytest
import torch

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.upright import world_from_poses
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.transforms import rigid_from_parts, rotation_from_axis_angle, transform_points
from a4d.io.bodies.open_body import open_body

BODY = open_body()
TURN = rigid_from_parts(
    rotation_from_axis_angle(torch.tensor([2.9, 0.3, -0.4], dtype=torch.float64)),
    torch.tensor([0.4, -1.0, 5.6], dtype=torch.float64),
)


def walked(turn_degrees=0.0, bent=()):
    """Joints, (T, J, 3), of a body that swings its limbs, some frames bent forward by a right angle."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.zeros(40, len(BODY.names), 3)
    for name in ("upperleg01.L", "upperleg01.R", "upperarm01.L", "upperarm01.R", "lowerleg01.L"):
        vectors[:, BODY.names.index(name)] = 0.15 * torch.randn(40, 3, generator=generator)
    vectors[:, 0, 1] = torch.deg2rad(torch.tensor(turn_degrees))
    vectors[list(bent), 0] = torch.tensor([1.5, 0.0, 0.0])
    return BODY.posed(rotation_from_axis_angle(vectors)).joints.double()


@pytest.mark.parametrize("is_told", [False, True])
def test_a_body_filmed_askew_stands_upright_and_faces_the_front(is_told):
    joints = walked(bent=range(10, 18))
    up = TURN[:3, 1] if is_told else None
    world = transform_points(world_from_poses(BODY.skeleton(), transform_points(TURN, joints), up) @ TURN, joints)
    found = torch.linalg.lstsq(joints.flatten(0, 1) - joints[0, 0], world.flatten(0, 1) - world[0, 0]).solution.T
    tilt = torch.rad2deg(torch.acos(found[1, 1].clamp(max=1)))
    assert float(tilt) < (0.01 if is_told else 2.0)
    assert float(torch.rad2deg(torch.atan2(found[0, 2], found[2, 2])).abs()) < 6
    assert float(world[..., 1].min()) == pytest.approx(0.0, abs=1e-9)
    hips = [BODY.names.index(f"upperleg01.{side}") for side in "LR"]
    assert float(world[0, hips].mean(0)[[0, 2]].norm()) < 1e-9


def test_the_ground_is_below_the_lowest_point_that_is_given():
    joints = walked()
    soles = torch.tensor([[0.1, -1.0, 0.0], [0.1, -0.9, 0.0]])
    found = world_from_poses(BODY.skeleton(), joints, torch.tensor([0.0, 2.0, 0.0]), soles)
    assert float(found[1, 3]) == pytest.approx(1.0)


def test_the_front_is_that_of_the_first_pose():
    joints = walked(turn_degrees=70.0)
    found = world_from_poses(BODY.skeleton(), joints)
    angle = torch.rad2deg(torch.atan2(found[0, 2], found[2, 2]))
    assert float(angle) == pytest.approx(-70.0, abs=6)
    torch.testing.assert_close(torch.linalg.det(found[:3, :3]), torch.tensor(1.0, dtype=torch.float64))


def test_what_has_no_limbs_has_no_axis():
    chain = Skeleton(("a", "b"), torch.tensor([-1, 0]), torch.eye(4).repeat(2, 1, 1))
    with pytest.raises(InvalidInputError, match="no left thigh"):
        world_from_poses(chain, torch.zeros(3, 2, 3))
