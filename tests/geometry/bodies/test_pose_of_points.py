"""A pose out of points: limbs lie where the points are, whatever the size of the person and the world."""

import pytest
import torch

from a4d.geometry.bodies.pose_of_points import pose_of_points
from a4d.geometry.transforms import rotation_from_axis_angle
from a4d.io.bodies.smpl_skeleton import mean_smpl

LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")


@pytest.mark.parametrize("size", [1.0, 0.7])
def test_limbs_lie_where_the_points_are(size: float) -> None:
    body, large = mean_smpl(), mean_smpl(size)
    vectors = torch.zeros(8, 24, 3)
    generator = torch.Generator().manual_seed(1)
    for limb in LIMBS:
        for side in ("left", "right"):
            vectors[:, body.names.index(f"{side}_{limb}")] = 0.5 * torch.randn(8, 3, generator=generator)
    vectors[:, 0] = torch.tensor([3.0, 0.2, 0.3])
    translation = torch.randn(8, 3, generator=generator)
    posed = large.posed(rotation_from_axis_angle(vectors), None, translation)
    joints = dict(zip(body.names, posed.joints.unbind(1), strict=True))
    head = posed.transforms[:, body.names.index("head"), :3, :3]
    points = {f"{side}_{limb}": joints[f"{side}_{limb}"] for limb in LIMBS for side in ("left", "right")}
    for sign, side in ((1.0, "left"), (-1.0, "right")):
        points[f"{side}_big_toe"] = joints[f"{side}_foot"]
        points[f"{side}_ear"] = joints["head"] + head @ torch.tensor([0.07 * sign, 0.05, 0.0])
        points[f"{side}_eye"] = joints["head"] + head @ torch.tensor([0.03 * sign, 0.05, 0.1])
    rotations, root, found = pose_of_points(body, points)
    assert found == pytest.approx(size, rel=1e-3)
    again = large.posed(rotations.float(), None, root.translation.float())
    assert float((again.joints - posed.joints)[:, :22].norm(dim=2).max()) < 1e-4
    assert float((again.transforms[:, body.names.index("head"), :3, :3] - head).abs().max()) < 1e-4
