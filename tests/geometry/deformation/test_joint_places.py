"""Where joints are, in words, and what they move."""

import pytest
import torch
from limbed import JOINTS, PARENTS, limbed

from a4d.geometry.assets.skinned_surface import SkinnedSurface
from a4d.geometry.deformation.joint_places import bone_middles, described_joints, outline_order
from a4d.geometry.deformation.skeleton import Skeleton

NAMES = [name for name, *_ in JOINTS]


PLACES = torch.tensor([place for _, _, place, *_ in JOINTS], dtype=torch.float64)


def skeleton() -> Skeleton:
    """The body's joints."""
    rest, parents = torch.eye(4, dtype=torch.float64).repeat(len(PLACES), 1, 1), torch.tensor(PARENTS)
    rest[:, :3, 3] = PLACES - torch.where(parents[:, None] < 0, 0.0, PLACES[parents.clamp(min=0)])
    return Skeleton(tuple(NAMES), parents, rest)


def surface() -> SkinnedSurface:
    mesh, _, weights, _ = limbed()
    return SkinnedSurface(mesh, skeleton(), weights.float())


def test_a_bone_ends_where_the_next_one_begins_and_the_last_goes_on() -> None:
    middles = bone_middles(skeleton())
    places = skeleton().rest_world[:, :3, 3].double()
    thigh, shin = NAMES.index("thigh_fl"), NAMES.index("shin_fl")
    torch.testing.assert_close(middles[thigh], (places[thigh] + places[shin]) / 2)
    torch.testing.assert_close(middles[shin], places[shin] + (places[shin] - places[thigh]) / 2)


def test_parts_are_told_by_where_they_are_and_how_large() -> None:
    whole = surface()
    box = torch.stack([whole.mesh.vertices.amin(0), whole.mesh.vertices.amax(0)])
    told = dict(zip(NAMES, described_joints(whole.skeleton, whole.parts, box), strict=True))
    assert told["shin_fl"] == "an end, in front, low, on the left; hangs on thigh_fl"
    assert told["shin_br"] == "an end, low, on the right; hangs on thigh_br"
    assert told["tail"].startswith("an end, behind")
    assert told["body"].startswith("the root")
    assert float(whole.shares.sum()) == pytest.approx(1, abs=1e-4)
    assert NAMES[int(whole.shares.argmax())] == "body"
    order = [NAMES[joint] for joint in outline_order(whole.skeleton)]
    assert order[:1] == ["body"]
    assert all(order.index(f"shin_{leg}") == order.index(f"thigh_{leg}") + 1 for leg in ("fl", "fr", "bl", "br"))
