"""Where on a body the keypoints of people are, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.estimation.bodies.active_body import SIDES, ActiveBody, ActiveJoints, active_body
from a4d.geometry.bodies.body import Body
from a4d.geometry.deformation.retargeting import body_parts

JOINTS = {
    "shoulder": ("upperarm",),
    "elbow": ("forearm",),
    "wrist": ("hand",),
    "hip": ("thigh",),
    "knee": ("shin",),
    "ankle": ("foot",),
    "eye": ("eye",),
    "pinky": ("finger51", "pinky1", "handpinky1"),
    "index": ("finger21", "index1", "handindex1"),
    "thumb": ("finger12", "thumb2", "handthumb2"),
}
"""Joints that keypoints stand for, each keypoint and joint without its side, as `body_parts` names them."""

LIMB_KEYPOINTS = tuple(
    f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in SIDES
)
"""The twelve that all schemes share, by which fits are judged."""

WEIGHTS = {"hip": 0.6, "eye": 0.5, "ear": 0.5, "nose": 0.5, "pinky": 0.3, "index": 0.3, "thumb": 0.3}
"""How much a keypoint counts, 1 where it is not named: hips of networks sit wider, faces and hands are small."""

HEAD = ("", "head")

FOREMOST, REARMOST = (0.0, 0.0, 1.0), (0.0, -1.0, -1.0)
"""Directions at rest in which the tips of toes and noses, and the heels, are the farthest points of their parts."""

BIAS = {
    "shoulder": (-0.022, 0.014, -0.041),
    "elbow": (-0.048, 0.028, -0.028),
    "wrist": (-0.061, 0.0, -0.055),
    "hip": (-0.013, 0.0, 0.0),
    "knee": (-0.016, 0.017, -0.068),
    "ankle": (-0.042, 0.06, 0.005),
    "heel": (0.0, 0.045, 0.044),
    "foot_index": (0.0, 0.072, -0.107),
    "nose": (0.0, -0.024, -0.023),
    "ear": (0.0, -0.048, -0.036),
}
"""Metres outward, up and to the front of the hips by which BlazePose tells keypoints in space beside a body's own."""


@dataclass(frozen=True)
class Landmarks:
    """K points of a body that keypoints stand for.

    Args:
        names: of the keypoints.
        body: its P points are the landmarks.
        weights: (K,) how much each counts.
        bias: (K, 3) metres in the axes of the hips, by which BlazePose tells them in space beside where they are.
    """

    names: tuple[str, ...]
    body: ActiveBody
    weights: Tensor
    bias: Tensor

    def indices(self, names: Sequence[str]) -> list[int]:
        """Where some keypoints are among the K; those that are not there are left out."""
        return [self.names.index(name) for name in names if name in self.names]


def find_landmarks(body: Body, active: ActiveJoints, keypoints: Sequence[str]) -> Landmarks:
    """The points of a body that keypoints stand for; keypoints that stand for none are left out."""
    places = _places(body, active)
    names = tuple(name for name in keypoints if name in places)
    corners = torch.tensor([[places[name]] * 3 for name in names], dtype=torch.int64).reshape(-1, 3)
    bare = [name.removeprefix("left_").removeprefix("right_") for name in names]
    outward = [-1.0 if name.startswith("right_") else 1.0 for name in names]
    bias = [BIAS.get(name, (0.0, 0.0, 0.0)) for name in bare]
    return Landmarks(
        names,
        active_body(body, active, corners),
        torch.tensor([WEIGHTS.get(name, 1.0) for name in bare]),
        torch.tensor([(side * out, up, front) for side, (out, up, front) in zip(outward, bias, strict=True)]),
    )


def _places(body: Body, active: ActiveJoints) -> dict[str, int]:
    """Which vertex, or from V on which joint, each keypoint stands for."""
    skeleton = body.skeleton()
    parts, count = body_parts(skeleton), len(body.weights)
    first = {parts[joint]: joint for joint in reversed(skeleton.from_the_roots())}
    places = dict[str, int]()
    for side in SIDES:
        for name, meanings in JOINTS.items():
            found = [first[side, part] for part in meanings if (side, part) in first]
            places |= {f"{side}_{name}": count + joint for joint in found[:1]}
        foot, outward = active.parts.index((side, "foot")), 1.0 if side == "left" else -1.0
        toe = _farthest(body, active, foot, FOREMOST)
        places |= {f"{side}_foot_index": toe, f"{side}_big_toe": toe}
        places[f"{side}_heel"] = _farthest(body, active, foot, REARMOST)
        if HEAD in active.parts:
            head = active.parts.index(HEAD)
            places[f"{side}_ear"] = _farthest(body, active, head, (outward, 0.0, 0.0))
            places["nose"] = _farthest(body, active, head, FOREMOST)
    return places


def _farthest(body: Body, active: ActiveJoints, joint: int, direction: tuple[float, float, float]) -> int:
    """The vertex among those that an active joint moves most, which is the farthest in a direction at rest."""
    moved = body.weights.new_zeros(len(body.weights), len(active)).index_add(1, active.carriers, body.weights)
    along = body.rest()[0] @ body.weights.new_tensor(direction)
    return int(along.masked_fill(moved.argmax(1) != joint, -torch.inf).argmax())
