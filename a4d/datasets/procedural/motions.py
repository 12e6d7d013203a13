"""What moves in each of the named motions, over one period: time 0 and time 1 are the object at rest.

A motion turns limbs about their joints and moves the whole object; angles are degrees, lengths metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a4d.datasets.procedural.creatures import HEAD, LEFT_ARM, LEG, OTHER_LEG, RIGHT_ARM, Creature

Curve = NDArray[np.float64]


@dataclass
class Pose:
    """An object's movement at T times.

    Args:
        pitch: degrees (T,) by role about +X, positive forward.
        roll: degrees (T,) by role about +Z, positive from +X toward +Y.
        yaw: whole object about +Y, positive from +Z toward +X.
        lean: whole object about +Z at the ground.
        lift: upward.
        stretch: factor of the height; width and depth shrink so that the volume stays.
    """

    pitch: dict[int, Curve] = field(default_factory=dict)
    roll: dict[int, Curve] = field(default_factory=dict)
    yaw: Curve | float = 0.0
    lean: Curve | float = 0.0
    lift: Curve | float = 0.0
    stretch: Curve | float = 1.0


def _spin(t: Curve, family: str) -> Pose:
    return Pose(yaw=360 * t)


def _jump(t: Curve, family: str) -> Pose:
    hop = np.sin(np.pi * t) ** 2
    arms = -35 * hop
    return Pose(lift=0.36 * hop, roll={RIGHT_ARM: arms, LEFT_ARM: -arms} if family != "quadruped" else {})


def _sway(t: Curve, family: str) -> Pose:
    return Pose(lean=-24 * np.sin(2 * np.pi * t))


def _nod(t: Curve, family: str) -> Pose:
    return Pose(pitch={HEAD: 55 * np.sin(2 * np.pi * t) ** 2})


def _wave(t: Curve, family: str) -> Pose:
    raised = np.clip(3 * np.minimum(t, 1 - t), 0, 1)
    swing = raised * np.sin(6 * np.pi * t)
    if family == "quadruped":
        return Pose(pitch={RIGHT_ARM: -(80 * raised + 20 * swing)})
    return Pose(roll={RIGHT_ARM: -(130 * raised + 25 * swing)})


def _stretch(t: Curve, family: str) -> Pose:
    return Pose(stretch=1 + 0.26 * np.sin(2 * np.pi * t))


def _shake(t: Curve, family: str) -> Pose:
    return Pose(yaw=38 * np.sin(4 * np.pi * t))


def _walk(t: Curve, family: str) -> Pose:
    step = np.sin(2 * np.pi * t)
    lift = 0.05 * step**2
    if family == "stack":
        waddle = np.sin(4 * np.pi * t)
        return Pose(lean=11 * waddle, lift=0.08 * waddle**2, pitch={RIGHT_ARM: 30 * step, LEFT_ARM: -30 * step})
    forelegs = 38 if family == "quadruped" else 30
    return Pose(
        pitch={LEG: 38 * step, OTHER_LEG: -38 * step, RIGHT_ARM: -forelegs * step, LEFT_ARM: forelegs * step}, lift=lift
    )


_CURVES: dict[str, Callable[[Curve, str], Pose]] = {
    "spin": _spin,
    "jump": _jump,
    "sway": _sway,
    "nod": _nod,
    "wave": _wave,
    "stretch": _stretch,
    "shake": _shake,
    "walk": _walk,
}


def world_from_parts(
    creature: Creature,
    motion: str,
    times: NDArray[np.float64],  # (T,) periods
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """Where every primitive of an object is at T times.

    Args:
        creature: at rest.
        motion: of the vocabulary, or empty for none.
        times: 0 and 1 are at rest.
        strength: factor of every angle and length but a full turn's.

    Returns:
        (T, N, 4, 4) world from each primitive's own frame.
    """
    rest = creature.rest()
    if not motion:
        return np.broadcast_to(rest, (len(times), *rest.shape)).copy()
    pose = _CURVES[motion](np.asarray(times, np.float64), creature.family)
    share = 1.0 if motion == "spin" else strength
    moved = np.broadcast_to(rest, (len(times), *rest.shape)).copy()
    for n, part in enumerate(creature.parts):
        for axis, angles in ((0, pose.pitch.get(part.role)), (2, pose.roll.get(part.role))):
            if angles is not None:
                moved[:, n] = _about(_turns(axis, share * angles), np.asarray(part.joint)) @ moved[:, n]
    return np.asarray(_whole(pose, share, creature.floor, len(times))[:, None] @ moved)


def _whole(pose: Pose, share: float, floor: float, count: int) -> NDArray[np.float64]:
    """(T, 4, 4) movement of the whole object."""
    stretch = 1 + share * (np.broadcast_to(pose.stretch, count) - 1)
    scale = np.zeros((count, 4, 4))
    scale[:, 0, 0] = scale[:, 2, 2] = stretch**-0.5
    scale[:, 1, 1], scale[:, 3, 3] = stretch, 1.0
    ground = np.array([0.0, floor, 0.0])
    turn = _turns(1, share * np.broadcast_to(pose.yaw, count)) @ scale
    whole = _about(_turns(2, share * np.broadcast_to(pose.lean, count)) @ turn, ground)
    whole[:, 1, 3] += share * np.broadcast_to(pose.lift, count)
    return whole


def _turns(axis: int, degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 4, 4) right-handed rotations about a coordinate axis through the origin."""
    radians = np.deg2rad(degrees)
    matrices = np.zeros((len(radians), 4, 4))
    matrices[:, range(4), range(4)] = 1.0
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrices[:, i, i] = matrices[:, j, j] = np.cos(radians)
    matrices[:, j, i] = np.sin(radians)
    matrices[:, i, j] = -np.sin(radians)
    return matrices


def _about(matrices: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear maps (T, 4, 4) with a fixed point (3,) in place of the origin."""
    moved = matrices.copy()
    moved[:, :3, 3] = point - matrices[:, :3, :3] @ point
    return moved
