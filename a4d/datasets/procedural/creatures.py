"""Objects of two to sixteen primitives with joints: bipeds, quadrupeds and stacks.

Convention: the house's world, +Y up and front +Z, so that a creature's right hand is at -X; it stands with its feet
below the origin and stays within the unit ball in every motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a4d.datasets.procedural.vocabulary import COLOURS, FAMILIES, PATTERNS
from a4d.render.kernels.primitives import BALL, BOX, CAPSULE, CHECKS, CONE, CYLINDER, PLAIN, SPOTS, STRIPES

BODY, HEAD, RIGHT_ARM, LEFT_ARM, LEG, OTHER_LEG = range(6)
"""What a part is to a motion; the legs of one number swing together."""

HALF_EXTENT = (0.56, 0.64)
"""Metres from the middle of an object to its farthest end, a random number between these."""

EYE = (0.04, 0.04, 0.05)
_PATTERNS = {"stripes": STRIPES, "checks": CHECKS, "spots": SPOTS}


@dataclass(frozen=True)
class Part:
    """One primitive.

    Args:
        shape: of `a4d.render.kernels.primitives`.
        centre: world, metres, at rest.
        size: half extents along x, y and z in metres; of a capsule the radius, thrice.
        role: which motion moves it.
        joint: the point about which its role turns, world, metres.
        colour: name in the vocabulary, or None for an eye.
        extent: half the length of a capsule's axis, in radii.
        lying: a capsule, cylinder or cone along z in place of y.
    """

    shape: int
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    role: int
    joint: tuple[float, float, float]
    colour: str | None
    extent: float = 0.0
    lying: bool = False


@dataclass(frozen=True)
class Creature:
    """A jointed object at rest.

    Args:
        family: of the vocabulary.
        colours: names by part of the body, as captions use them.
        pattern: name of the body's pattern, empty if it is plain.
        parts: N primitives.
        tones: (N, 3) sRGB of each part, in [0, 1].
        second_tone: (3,) of the pattern.
        frequency: of the pattern, in cells per half extent.
        height: metres.
    """

    family: str
    colours: dict[str, str]
    pattern: str
    parts: Sequence[Part]
    tones: NDArray[np.float64]
    second_tone: NDArray[np.float64]
    frequency: float
    height: float

    @property
    def floor(self) -> float:
        """The height of the ground that it stands on, metres."""
        return -self.height / 2

    def rest(self) -> NDArray[np.float64]:
        """(N, 4, 4) world from each primitive's own frame."""
        matrices = np.zeros((len(self.parts), 4, 4))
        for matrix, part in zip(matrices, self.parts, strict=True):
            x, y, z = part.size
            if part.lying:
                matrix[0, 0], matrix[2, 1], matrix[1, 2] = x, z, -y
            else:
                matrix[0, 0], matrix[1, 1], matrix[2, 2] = x, y, z
            matrix[:3, 3] = part.centre
            matrix[3, 3] = 1.0
        return matrices

    def looks(self) -> NDArray[np.float64]:
        """(N, 9) colours and patterns as the ray caster takes them."""
        table = np.zeros((len(self.parts), 9))
        table[:, :3], table[:, 3:6] = self.tones, self.second_tone
        for row, part in zip(table, self.parts, strict=True):
            is_patterned = bool(self.pattern) and part.role == BODY and part.colour is not None
            row[6] = _PATTERNS[self.pattern] if is_patterned else PLAIN
            row[7], row[8] = self.frequency, part.extent
        return table


def random_creature(random: np.random.Generator) -> Creature:
    """Any creature: 45 % bipeds, 25 % quadrupeds, 30 % stacks; four in ten have a pattern."""
    family = str(random.choice(list(FAMILIES), p=[0.45, 0.25, 0.3]))
    body, head, arms, legs = (str(name) for name in random.choice(list(COLOURS), 4))
    if random.random() < 0.4:
        head = body
    if random.random() < 0.4:
        arms = body
    if random.random() < 0.4:
        legs = arms
    colours = {"body": body, "head": head, "arms": arms, "legs": legs}
    parts = {"biped": _biped, "quadruped": _quadruped, "stack": _stack}[family](random, colours)
    pattern = str(random.choice(list(PATTERNS))) if random.random() < 0.4 else ""
    jitter = {name: random.uniform(-0.04, 0.04, 3) for name in COLOURS}
    tones = np.array(
        [
            EYE if part.colour is None else np.clip(np.add(COLOURS[part.colour], jitter[part.colour]), 0, 1)
            for part in parts
        ]
    )
    # Light on dark and dark on light, so that a pattern shows.
    second = np.full(3, 0.92) if tones[0].mean() < 0.5 else np.full(3, 0.15)
    low = min(part.centre[1] - _half_height(part) for part in parts)
    high = max(part.centre[1] + _half_height(part) for part in parts)
    reach = max((high - low) / 2, *(abs(part.centre[2]) + part.size[2] for part in parts))
    scale = random.uniform(*HALF_EXTENT) / reach
    parts = [_placed(part, -(low + high) / 2, scale) for part in parts]
    return Creature(family, colours, pattern, parts, tones, second, random.uniform(2.0, 3.5), scale * (high - low))


def _half_height(part: Part) -> float:
    return part.size[1] * (1.0 if part.lying else 1.0 + part.extent)


def _placed(part: Part, lift: float, scale: float) -> Part:
    """A part raised and then scaled about the origin."""
    (x, y, z), (u, v, w), (a, b, c) = part.centre, part.joint, part.size
    return replace(
        part,
        centre=(scale * x, scale * (y + lift), scale * z),
        joint=(scale * u, scale * (v + lift), scale * w),
        size=(scale * a, scale * b, scale * c),
    )


def _eyes(
    centre: tuple[float, float, float], size: tuple[float, float, float], joint: tuple[float, float, float]
) -> list[Part]:
    """Two dark balls on the front of a head, without which front and back would be the same."""
    x, y, z = centre
    radius = 0.2 * min(size)
    return [
        Part(BALL, (x + side * 0.42 * size[0], y + 0.2 * size[1], z + 0.86 * size[2]), (radius,) * 3, HEAD, joint, None)
        for side in (-1, 1)
    ]


def _head(random: np.random.Generator, neck: tuple[float, float, float], scale: float, colour: str) -> list[Part]:
    """A head above its neck with eyes, and sometimes a hat or a pair of ears."""
    x, y, z = scale * random.uniform(0.85, 1.15, 3)
    shape = int(random.choice([BALL, BALL, BOX]))
    if shape == BOX:
        x, y, z = 0.85 * x, 0.85 * y, 0.85 * z
    centre = (neck[0], neck[1] + 0.9 * y, neck[2])
    parts = [Part(shape, centre, (x, y, z), HEAD, neck, colour), *_eyes(centre, (x, y, z), neck)]
    if random.random() < 0.3:
        top = (centre[0], centre[1] + y + 0.3 * scale, centre[2])
        parts.append(Part(CONE, top, (0.6 * x, 0.45 * scale, 0.6 * z), HEAD, neck, colour))
    return parts


def _limbs(
    joints: Sequence[tuple[float, float, float]],
    roles: Sequence[int],
    length: float,
    radius: float,
    colour: str,
    shape: int,
) -> list[Part]:
    """Limbs that hang from their joints."""
    parts = []
    for joint, role in zip(joints, roles, strict=True):
        centre = (joint[0], joint[1] - length / 2, joint[2])
        if shape == CAPSULE:
            extent = max(length / 2 / radius - 1.0, 0.1)
            parts.append(Part(shape, centre, (radius,) * 3, role, joint, colour, extent))
        else:
            parts.append(Part(shape, centre, (radius, length / 2, radius), role, joint, colour))
    return parts


def _biped(random: np.random.Generator, colours: dict[str, str]) -> list[Part]:
    width, height = random.uniform(0.17, 0.28), random.uniform(0.2, 0.28)
    depth = width * random.uniform(0.65, 0.9)
    shape = int(random.choice([BOX, BALL, CYLINDER, CONE]))
    body = Part(
        shape, (0, 0, 0), (width, height * (1.15 if shape == BALL else 1), depth), BODY, (0, 0, 0), colours["body"]
    )
    head = _head(random, (0, 0.92 * height, 0), random.uniform(0.15, 0.21), colours["head"])
    limb = int(random.choice([CAPSULE, CYLINDER, BOX]))
    radius = random.uniform(0.055, 0.075)
    shoulder = width * (0.55 if shape == CONE else 1) + 0.7 * radius
    level = 0.7 * height if shape != CONE else 0.4 * height
    arms = _limbs(
        [(-shoulder, level, 0), (shoulder, level, 0)],
        [RIGHT_ARM, LEFT_ARM],
        random.uniform(0.34, 0.46),
        radius,
        colours["arms"],
        limb,
    )
    hip, thick = 0.5 * width, radius * random.uniform(1.05, 1.3)
    legs = _limbs(
        [(-hip, -0.8 * height, 0), (hip, -0.8 * height, 0)],
        [LEG, OTHER_LEG],
        random.uniform(0.34, 0.46),
        thick,
        colours["legs"],
        limb,
    )
    return [body, *head, *arms, *legs]


def _quadruped(random: np.random.Generator, colours: dict[str, str]) -> list[Part]:
    width, height, length = random.uniform(0.15, 0.22), random.uniform(0.15, 0.2), random.uniform(0.32, 0.42)
    shape = int(random.choice([BALL, BOX, CYLINDER]))
    body = Part(shape, (0, 0, 0), (width, height, length), BODY, (0, 0, 0), colours["body"], lying=shape == CYLINDER)
    neck = (0.0, 0.6 * height, 0.85 * length)
    head = _head(random, neck, random.uniform(0.14, 0.18), colours["head"])
    radius, leg = random.uniform(0.05, 0.07), random.uniform(0.3, 0.42)
    side, along = 0.65 * width, 0.7 * length
    # Diagonal pairs trot; the front right leg is the one that waves.
    joints = [
        (-side, -0.4 * height, along),
        (side, -0.4 * height, along),
        (-side, -0.4 * height, -along),
        (side, -0.4 * height, -along),
    ]
    limb = int(random.choice([CAPSULE, CYLINDER, BOX]))
    legs = _limbs(joints, [RIGHT_ARM, LEFT_ARM, OTHER_LEG, LEG], leg, radius, colours["legs"], limb)
    colours["arms"] = colours["legs"]
    tail_joint = (0.0, 0.5 * height, -0.9 * length)
    size = (0.04, 0.04, random.uniform(0.12, 0.2))
    tail = Part(BALL, (0.0, 0.5 * height, -0.9 * length - 0.8 * size[2]), size, BODY, tail_joint, colours["head"])
    return [body, *head, *legs, tail]


def _stack(random: np.random.Generator, colours: dict[str, str]) -> list[Part]:
    base = int(random.choice([BALL, BOX, CYLINDER]))
    wide, low = random.uniform(0.26, 0.36), random.uniform(0.17, 0.25)
    depth = wide * random.uniform(0.8, 1.0)
    foot = Part(base, (0, 0, 0), (wide, low, depth), BODY, (0, 0, 0), colours["body"])
    narrow, tall = wide * random.uniform(0.6, 0.8), random.uniform(0.14, 0.22)
    middle = 0.9 * low + 0.9 * tall
    trunk = Part(
        int(random.choice([BALL, BOX, CYLINDER])),
        (0, middle, 0),
        (narrow, tall, 0.85 * narrow),
        BODY,
        (0, 0, 0),
        colours["legs"],
    )
    neck = (0.0, middle + 0.85 * tall, 0.0)
    head = _head(random, neck, random.uniform(0.15, 0.2), colours["head"])
    radius = random.uniform(0.045, 0.065)
    joints = [(-narrow - 0.5 * radius, middle + 0.5 * tall, 0), (narrow + 0.5 * radius, middle + 0.5 * tall, 0)]
    arms = _limbs(joints, [RIGHT_ARM, LEFT_ARM], random.uniform(0.28, 0.38), radius, colours["arms"], CAPSULE)
    return [foot, trunk, *head, *arms]
