"""Where the joints of a skeleton are, in words that a person understands."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.deformation.skeleton import Skeleton

DIRECTIONS = ((2, "behind", "in front"), (1, "low", "high"), (0, "on the right", "on the left"))
"""Axes of the world, and what their first and last third are called."""


def outline_order(skeleton: Skeleton) -> list[int]:
    """All joints as a table of contents has them: each parent, then what hangs on it, limb by limb."""
    below = joints_below(skeleton)
    order, waiting = list[int](), below[-1][::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += below[order[-1]][::-1]
    return order


def joints_below(skeleton: Skeleton) -> dict[int, list[int]]:
    """The children of each joint; under -1 the roots."""
    below: dict[int, list[int]] = {joint: [] for joint in range(-1, len(skeleton))}
    for joint, parent in enumerate(skeleton.parents.tolist()):
        below[parent].append(joint)
    return below


def bone_middles(skeleton: Skeleton) -> Tensor:
    """(J, 3) float64 at rest, halfway from each joint to those that hang on it; an end goes on as its parent's bone."""
    places, parents = skeleton.rest_world[:, :3, 3].double(), skeleton.parents
    bones = torch.where(parents[:, None] < 0, 0.0, places - places[parents.clamp(min=0)])
    above = parents[parents >= 0]
    counts = torch.zeros(len(places), 1, dtype=places.dtype).index_add(0, above, places.new_ones(len(above), 1))
    sums = torch.zeros_like(places).index_add(0, above, bones[parents >= 0])
    return places + torch.where(counts > 0, sums / counts.clamp_min(1), bones) / 2


def place_in_words(
    point: Tensor,  # (3,) world
    box: Tensor,  # (2, 3) lowest and highest corner of the subject
) -> str:
    """In which third of a box a point is along each axis, such as `behind, low`."""
    shares = ((point - box[0]) / (box[1] - box[0]).clamp_min(1e-12)).tolist()
    words = [low if shares[axis] < 1 / 3 else high for axis, low, high in DIRECTIONS if abs(shares[axis] - 0.5) > 1 / 6]
    return ", ".join(words) or "in the middle"


def described_joints(
    skeleton: Skeleton,
    parts: Tensor,  # (J, 3) the middles of what its joints move, world
    box: Tensor,  # (2, 3) lowest and highest corner of the subject, world
) -> list[str]:
    """Of each joint whether it is a root or an end, where its part is, and on which it hangs."""
    below = joints_below(skeleton)

    def described(joint: int) -> str:
        parent = int(skeleton.parents[joint])
        role = "the root, " if parent < 0 else "" if below[joint] else "an end, "
        hangs = "" if parent < 0 else f"; hangs on {skeleton.names[parent]}"
        return role + place_in_words(parts[joint], box) + hangs

    return [described(joint) for joint in range(len(skeleton))]
