"""The pose of a skeleton of SMPL's joints that takes them to where points say they are, as far as points can say it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.root_pose import RootPose
from a4d.geometry.deformation.retargeting import shortest_rotation
from a4d.geometry.transforms import quaternion_from_rotation, rotation_from_quaternion, slerp

SIDES = ("left", "right")

CHAINS = (
    ("hip", "knee", "ankle", "big_toe"),
    ("shoulder", "elbow", "wrist"),
)
"""Points of either side along which limbs turn, each from the joint of its name to the next point."""

ENDS = {"big_toe": "foot"}
"""Joints at the ends of limbs that points call otherwise."""


def pose_of_points(
    body: Body,  # with SMPL's joints
    points: Mapping[str, Tensor],  # (T, 3) by name, in any world
) -> tuple[Tensor, RootPose, float]:
    """Rotations, place and size of a person of whom points are known at T moments.

    Hips and shoulders turn the trunk, ears and eyes the head, and every limb turns the shortest way from where its
    parent carries it to where its points are: how a straight limb is twisted no point says.

    Args:
        body: at rest in its default shape.
        points: hips, knees, ankles, shoulders, elbows, wrists, big toes, ears and eyes of either side.

    Returns:
        (T, J, 3, 3) rotations of all joints, the root's among them; the root's pose, which brings the middle between
        the hips to where it is; and the median ratio of the limbs' lengths to those of the body.
    """
    rest = dict(zip(body.names, body.rest()[1].double(), strict=True))
    points = {name: place.double() for name, place in points.items()}
    hips, shoulders, ears, eyes = (_middle(points, name) for name in ("hip", "shoulder", "ear", "eye"))
    count, upward = len(hips), shoulders - hips
    rest_up = _middle(rest, "shoulder") - _middle(rest, "hip")
    pelvis, chest = (
        _frame(_across(points, name), upward) @ _frame(_across(rest, name), rest_up).transpose(-1, -2)
        for name in ("hip", "shoulder")
    )
    halves = torch.full((count,), 0.5, dtype=torch.float64)
    between = slerp(quaternion_from_rotation(pelvis), quaternion_from_rotation(chest), halves)
    world = {"pelvis": pelvis, "spine1": pelvis, "spine2": rotation_from_quaternion(between)}
    world |= dict.fromkeys(("spine3", "neck", "left_collar", "right_collar"), chest)
    ahead = torch.linalg.cross(eyes - ears, _across(points, "ear"))
    world["head"] = _frame(_across(points, "ear"), ahead)
    ratios = []
    for side in SIDES:
        for chain, above in zip(CHAINS, (pelvis, chest), strict=True):
            carried = above
            for name, following in pairwise(chain):
                bone = rest[f"{side}_{ENDS.get(following, following)}"] - rest[f"{side}_{name}"]
                limb = points[f"{side}_{following}"] - points[f"{side}_{name}"]
                turn = shortest_rotation(normalize((carried @ bone), dim=-1), normalize(limb, dim=-1))
                carried = world[f"{side}_{name}"] = turn @ carried
                if following not in ENDS:
                    ratios.append(limb.norm(dim=-1) / bone.norm())
    size = float(torch.stack(ratios).median())
    pivot = rest["pelvis"] * size
    place = hips - (pelvis @ (_middle(rest, "hip") * size - pivot)) - pivot
    return _relative(body, world, count), RootPose(pelvis, place), size


def _middle(places: Mapping[str, Tensor], name: str) -> Tensor:
    return (places[f"left_{name}"] + places[f"right_{name}"]) / 2


def _across(places: Mapping[str, Tensor], name: str) -> Tensor:
    """From the right to the left."""
    return places[f"left_{name}"] - places[f"right_{name}"]


def _frame(
    across: Tensor,  # (..., 3) to the left
    up: Tensor,  # (..., 3), not along it
) -> Tensor:
    """(..., 3, 3) axes left, up and front as columns."""
    upward = normalize(up, dim=-1)
    front = normalize(torch.linalg.cross(across, upward), dim=-1)
    return torch.stack([torch.linalg.cross(upward, front), upward, front], dim=-1)


def _relative(body: Body, world: Mapping[str, Tensor], count: int) -> Tensor:
    """(T, J, 3, 3) rotations against the parents; what is not known follows."""
    turned = dict[int, Tensor]()
    relative = torch.eye(3, dtype=torch.float64).repeat(count, len(body.names), 1, 1)
    for joint in body.skeleton().from_the_roots():
        above = turned.get(int(body.parents[joint]), relative.new_zeros(count, 3, 3) + torch.eye(3).double())
        turned[joint] = world.get(body.names[joint], above)
        relative[:, joint] = above.transpose(-1, -2) @ turned[joint]
    return relative
