"""A body of which only those joints move whose turns pictures can tell, and of which only some points are kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.phenotypes import PhenotypeBody
from a4d.geometry.deformation.retargeting import body_parts

SIDES = ("left", "right")

LIMBS = ("thigh", "shin", "foot", "upperarm", "forearm", "hand")
"""Parts that either side needs."""

SPINE = 3
"""Joints between hips and arms that bend; more cannot be told apart."""


@dataclass(frozen=True)
class ActiveJoints:
    """A of a body's J joints.

    Args:
        joints: (A,) int64 indices among the J, each after its parent; the first carries the whole body.
        parents: (A,) int64 indices among the A, -1 for the first.
        parts: side and part of the body of each, see `a4d.geometry.deformation.retargeting.body_parts`.
        carriers: (J,) int64 which of the A takes each of the J along.
    """

    joints: Tensor
    parents: Tensor
    parts: tuple[tuple[str, str], ...]
    carriers: Tensor

    def __len__(self) -> int:
        return len(self.joints)

    def whole(
        self,
        rotations: Tensor,  # (..., A, 3, 3)
    ) -> Tensor:
        """(..., J, 3, 3) of all joints; those that do not move do not turn."""
        still = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        turned = still.repeat(*rotations.shape[:-3], len(self.carriers), 1, 1)
        turned[..., self.joints, :, :] = rotations
        return turned


def find_active_joints(body: Body) -> ActiveJoints:
    """Hips, up to three joints of the spine, neck, head, collars, and the three joints of each limb, by their names.

    Raises:
        InvalidInputError: a limb has no joint of its name.
    """
    skeleton = body.skeleton()
    parents, order, parts = body.parents.tolist(), skeleton.from_the_roots(), body_parts(skeleton)
    first = {parts[joint]: joint for joint in reversed(order)}
    lacking = [f"{side} {part}" for part in LIMBS for side in SIDES if (side, part) not in first]
    if lacking:
        raise InvalidInputError(
            f"the body has no joint that is its {lacking[0]} by its name", "Give one whose joints are named as usual"
        )
    ancestors = _lines_from_root(parents)
    chest = _last_common([ancestors[first[side, "upperarm"]] for side in SIDES])
    hips = _last_common([ancestors[first[side, "thigh"]] for side in SIDES] + [ancestors[chest]])
    spine = [joint for joint in ancestors[chest] if joint not in ancestors[hips]]
    named = {
        first[side, part]: (side, part) for side in SIDES for part in (*LIMBS, "shoulder") if (side, part) in first
    }
    named |= {first["", part]: ("", part) for part in ("neck", "head") if ("", part) in first}
    bending = [spine[round(index)] for index in torch.linspace(0, len(spine) - 1, min(SPINE, len(spine))).tolist()]
    chosen = {hips: ("", "hips")} | dict.fromkeys(bending, ("", "spine")) | named
    joints = [joint for joint in order if joint in chosen and hips in ancestors[joint]]
    carriers = [_nearest(ancestors[joint], joints) for joint in range(len(parents))]
    above = [_nearest(ancestors[joint][:-1], joints) for joint in joints]
    return ActiveJoints(
        torch.tensor(joints),
        torch.tensor([-1, *above[1:]]),
        tuple(chosen[joint] for joint in joints),
        torch.tensor(carriers),
    )


def _lines_from_root(parents: list[int]) -> list[list[int]]:
    """The ancestors of each joint from the root down, and itself."""
    lines = []
    for joint in range(len(parents)):
        line = [joint]
        while parents[line[0]] >= 0:
            line.insert(0, parents[line[0]])
        lines.append(line)
    return lines


def _last_common(lines: list[list[int]]) -> int:
    """The last joint that all lines share.

    Raises:
        InvalidInputError: they share none.
    """
    common = [joint for joint in lines[0] if all(joint in line for line in lines)]
    if not common:
        raise InvalidInputError("the limbs of the body hang from several roots", "Give one with a single root")
    return common[-1]


def _nearest(line: list[int], joints: list[int]) -> int:
    """Which of the chosen joints is the last along a line; the first of all where none is on it."""
    return joints.index(next((joint for joint in reversed(line) if joint in joints), joints[0]))


@dataclass(frozen=True)
class ActiveBody(Body):
    """A body of A joints that move, and of P points: on its surface, or joints that are taken along.

    Args:
        origin: of V vertices and J joints; its shapes are these.
        joints: (A,) int64 indices among the J.
        corners: (P, 3) int64 indices among V vertices and, from V on, J joints.
        shares: (P, 3) of the corners, each row sums to 1.
        offsets: (P, 3) metres that are added at rest.
    """

    origin: Body
    joints: Tensor
    corners: Tensor
    shares: Tensor
    offsets: Tensor

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Those of the whole body."""
        return self.origin.shape_names

    @property
    def default_shape(self) -> Tensor:
        """(S,) that of the whole body."""
        return self.origin.default_shape

    def rest(
        self,
        shape: Tensor | None = None,  # (..., S)
    ) -> tuple[Tensor, Tensor]:
        """(..., P, 3) points and (..., A, 3) joints."""
        vertices, joints = self.origin.rest(shape)
        corners = torch.cat([vertices, joints], dim=-2)[..., self.corners, :]
        points = (corners * self.shares[:, :, None]).sum(-2) + self.offsets
        return points, joints[..., self.joints, :]


def active_body(
    body: Body,
    active: ActiveJoints,
    corners: Tensor,  # (P, 3) int64, see `ActiveBody`
    shares: Tensor | None = None,  # (P, 3); None is the first corner alone
    offsets: Tensor | None = None,  # (P, 3) metres
) -> ActiveBody:
    """Some points of a body, each moved by the joints that take its corners along."""
    count = len(active)
    weights = body.weights.new_zeros(len(body.weights), count).index_add(1, active.carriers, body.weights)
    weights = torch.cat([weights, torch.eye(count)[active.carriers].to(weights)])
    if shares is None:
        shares = weights.new_tensor([1.0, 0.0, 0.0]).expand(len(corners), 3)
    origin, places = _reduced(body, corners)
    return ActiveBody(
        names=tuple(body.names[joint] for joint in active.joints.tolist()),
        parents=active.parents,
        faces=body.faces.new_zeros(0, 3),
        weights=(weights[corners] * shares[:, :, None]).sum(1),
        uvs=None,
        origin=origin,
        joints=active.joints,
        corners=places,
        shares=shares,
        offsets=weights.new_zeros(len(corners), 3) if offsets is None else offsets,
    )


def _reduced(body: Body, corners: Tensor) -> tuple[Body, Tensor]:
    """A body without vertices that are no corners, where leaving them out saves anything, and the corners in it."""
    if not isinstance(body, PhenotypeBody):
        return body, corners
    count = len(body.weights)
    used = corners[corners < count].unique()
    return body.at(used), torch.where(corners < count, torch.searchsorted(used, corners), corners - count + len(used))
