"""The motion of one skeleton on another: joints are matched by name, rotations carried over in the world's frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import rotation_from_quaternion, transform_points

PARTS = {
    "hips": ("hips", "hip", "pelvis", "hipsjoint"),
    "spine": ("spine", "spine0", "torso", "abdomen", "waist", "lowerback"),
    "chest": ("chest", "spine1", "spine2", "spine3", "upperchest", "thorax"),
    "neck": ("neck", "neck1"),
    "head": ("head",),
    "shoulder": ("shoulder", "clavicle", "collar"),
    "upperarm": ("upperarm", "arm", "uparm"),
    "forearm": ("forearm", "lowerarm", "elbow", "lowarm"),
    "hand": ("hand", "wrist"),
    "thigh": ("thigh", "upperleg", "upleg"),
    "shin": ("shin", "calf", "lowerleg", "leg", "knee", "lowleg"),
    "foot": ("foot", "ankle"),
    "toe": ("toe", "toes", "toebase", "ball"),
}
"""Names that rigs give to the parts of a body, each without its side: Mixamo, Blender, 3ds Max, Unreal, CMU, VRM."""

PART_OF_NAME = {name: part for part, names in PARTS.items() for name in names}

OPEN_OF_SMPL = {
    "pelvis": "pelvis", "spine1": "spine04", "spine2": "spine02", "spine3": "spine01", "neck": "neck01", "head": "head",
    **{
        f"{side}_{smpl}": f"{of_open}.{letter}"
        for side, letter in (("left", "L"), ("right", "R"))
        for smpl, of_open in (
            ("hip", "upperleg01"), ("knee", "lowerleg01"), ("ankle", "foot"), ("collar", "clavicle"),
            ("shoulder", "upperarm01"), ("elbow", "lowerarm01"), ("wrist", "wrist"),
        )
    },
}  # fmt: skip
"""Joints of the open body by those of SMPL that stand for them; toes and fingers are left as they rest."""

LIMBS = {"thigh": "shin", "shin": "foot", "upperarm": "forearm", "forearm": "hand"}
"""Parts whose bones both bodies have, from one joint to the next: they are laid along each other."""

FEWEST = 3
"""Matched joints below which nothing can be said to move alike, of skeletons that have more."""

LEGS = ("thigh", "shin", "foot")

LEVEL = ("head", "foot", "toe")
"""Parts that are level with the ground in every rest pose, whatever the limbs above do."""

OFF_THE_GROUND, FAR_AWAY = 0.05, 0.5
"""Parts of a body's size: how far a motion may stand above the rest pose, and begin beside it, to be taken as meant."""


@dataclass(frozen=True)
class Match:
    """Joints of two skeletons that stand for each other.

    Args:
        source: (M,) int64 index of each joint in the skeleton that moves.
        target: (M,) int64 index in the one that is to move.
    """

    source: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.source)


def body_part(name: str) -> tuple[str, str]:
    """The side, `left`, `right` or empty, and the part of the body that a joint's name speaks of.

    A name that speaks of no part stands for itself, without prefix, letter case and punctuation.
    """
    bare = re.sub(r"^.*[:|/]", "", name)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", bare)
    lower = [word.lower() for word in words if word.lower() not in ("def", "bip", "mixamorig", "jnt", "bone", "j")]
    side = ""
    for word, meaning in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
        if word in lower:
            side = meaning
            lower = [each for each in lower if each != word]
            break
    plain = "".join(lower)
    for stem in (plain, plain.strip("0123456789")):
        if stem in PART_OF_NAME:
            return side, PART_OF_NAME[stem]
    return side, plain


def body_parts(skeleton: Skeleton) -> list[tuple[str, str]]:
    """The side and part of each joint, see `body_part`, as the rig as a whole means it.

    A rig that names joints rather than bones has hips of either side for thighs, and shoulders below its collars, or
    without any, for upper arms.
    """
    parts = [body_part(name) for name in skeleton.names]
    for side in ("left", "right"):
        for named, meant in (("hips", "thigh"), ("shoulder", "upperarm")):
            joints = [joint for joint in skeleton.from_the_roots() if parts[joint] == (side, named)]
            if joints and (side, meant) not in parts:
                parts[joints[-1]] = (side, meant)
    return parts


def fewest_matched(source: Skeleton, target: Skeleton) -> int:
    """How many joints of two skeletons have to stand for each other: `FEWEST`, or all where there are fewer."""
    return min(FEWEST, len(source), len(target))


def match_joints(source: Skeleton, target: Skeleton) -> Match:
    """Pair joints of the same name, and of those that are left the joints of the same part of the body.

    Of several joints that stand for one part, the nearest to the root counts. SMPL and the open body, whose spines have
    other joints, are paired by hand.

    Raises:
        InvalidInputError: too few joints match.
    """
    by_hand = _paired_by_hand(source, target)
    if by_hand is not None:
        return by_hand
    by_name = {name: index for index, name in reversed(list(enumerate(source.names)))}
    source_parts, target_parts = body_parts(source), body_parts(target)
    by_part = {source_parts[index]: index for index in reversed(source.from_the_roots())}
    pairs: dict[int, int] = {}
    for index, name in enumerate(target.names):
        if name in by_name:
            pairs[index] = by_name[name]
    taken = set(pairs.values())
    for index in target.from_the_roots():
        other = by_part.get(target_parts[index])
        if index not in pairs and other is not None and other not in taken:
            pairs[index] = other
            taken.add(other)
    if len(pairs) < fewest_matched(source, target):
        raise InvalidInputError(
            f"{len(pairs)} joints of the motion match those of the body by their names",
            f"Pair them by --joints FILE, which --formats joints begins. The motion has {some_names(source.names)}; "
            f"the body has {some_names(target.names)}",
        )
    targets = sorted(pairs)
    return Match(torch.tensor([pairs[index] for index in targets]), torch.tensor(targets))


def match_between(source: Skeleton, target: Skeleton, match: Match) -> Match:
    """Pair what a match of joints leaves between them: the joints of the trunk by their heights, and all toes alike.

    However many joints a spine has, it bends as the other does: one goes with that of the other trunk that is about as
    far along from the hips to the neck.
    """
    source_parts, target_parts = body_parts(source), body_parts(target)
    pairs: list[tuple[int, int]] = []
    own = _heights_in_trunk(target, target_parts, match.target)
    theirs = _heights_in_trunk(source, source_parts, match.source)
    for joint, height in sorted(theirs.items(), key=lambda each: each[1]):
        if own:
            nearest = min(own, key=lambda each: abs(own[each] - height))
            pairs.append((joint, nearest))
            own = {each: above for each, above in own.items() if above > own[nearest]}
    toes = [joint for joint, (_, part) in enumerate(target_parts) if part == "toe" and joint not in match.target]
    for other, first in zip(match.source.tolist(), match.target.tolist(), strict=True):
        if target_parts[first][1] == "toe":
            pairs += [(other, joint) for joint in toes if target.parents[joint] == target.parents[first]]
    return Match(*torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1))


def _heights_in_trunk(skeleton: Skeleton, parts: Sequence[tuple[str, str]], but: Tensor) -> dict[int, float]:
    """How far joints of a trunk, but for some, are from its lowest at rest to the neck, or its highest, 0 to 1."""
    trunk = [joint for joint, part in enumerate(parts) if part in (("", "spine"), ("", "chest"))]
    neck = [joint for joint, part in enumerate(parts) if part == ("", "neck")][:1]
    if not trunk:
        return {}
    heights = skeleton.rest_world[:, 1, 3].double()
    low, high = float(heights[trunk].min()), float(heights[[*trunk, *neck]].max())
    return {joint: (float(heights[joint]) - low) / max(high - low, 1e-9) for joint in trunk if joint not in but}


def _paired_by_hand(source: Skeleton, target: Skeleton) -> Match | None:
    """The joints of SMPL and of the open body that stand for each other; None for any other two."""
    for table in (OPEN_OF_SMPL, {theirs: smpl for smpl, theirs in OPEN_OF_SMPL.items()}):
        if table.keys() <= set(source.names) and set(table.values()) <= set(target.names):
            pairs = sorted((target.names.index(other), source.names.index(one)) for one, other in table.items())
            return Match(torch.tensor([one for _, one in pairs]), torch.tensor([other for other, _ in pairs]))
    return None


def some_names(names: Sequence[str], count: int = 6) -> str:
    """The first few of names, for a message."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def retargeted(motion: Motion, target: Skeleton, match: Match | None = None) -> Motion:
    """The motion of another skeleton on this one.

    A matched joint turns in the world as its counterpart does from its rest pose; where the limb that begins at it
    points elsewhere at rest (arms spread in a T, or lowered in an A), it is first turned to where its counterpart's
    points, so that both look alike rather than turn alike. Spines of other numbers of joints, and toes, are matched
    besides (`match_between`) and turn alike. What is not matched follows its parent. The hips, or the
    matched joint nearest to the root, travel as the other's do, by the ratio of the lengths of the legs, or of all
    matched limbs; the lowest point of the motion is as far above the ground as the other's.

    Args:
        motion: T frames of S joints, both skeletons with the same axis up and the same front.
        target: J joints.
        match: which joints stand for each other; None is by their names.

    Returns:
        T frames of the J joints at the same rate, float64.

    Raises:
        InvalidInputError: too few joints match.
    """
    between = Match(*torch.zeros(2, 0, dtype=torch.int64))
    if match is None:
        match = match_joints(motion.skeleton, target)
        between = match_between(motion.skeleton, target, match)
    every = Match(torch.cat([match.source, between.source]), torch.cat([match.target, between.target]))
    rest_source = rotations_of(motion.skeleton.rest_world.double())
    rest_target = target.rest_world.double()
    moved = rotations_of(motion.world_from_joint.double())
    turns = moved[:, every.source] @ rest_source[every.source].transpose(-1, -2)
    upright = torch.eye(3, dtype=turns.dtype).expand(len(between), 3, 3)
    aligned = torch.cat([limb_alignment(motion.skeleton, target, match), upright])
    wanted = turns @ aligned @ rotations_of(rest_target)[every.target]
    carrier = carrier_of(target, match)
    path = _path(motion, target, match, carrier)
    local = _local(target, every, wanted, carrier, path)
    moved_target = target.world_from_joint(local)
    path[:, 1] += _lift(motion, target, moved_target, match, carrier)
    return Motion(target, _local(target, every, wanted, carrier, path), motion.seconds_per_frame)


def rotations_of(transforms: Tensor) -> Tensor:
    """The rotations (..., 3, 3) nearest to the linear parts of transforms (..., 4, 4), which may scale."""
    u, _, v = torch.linalg.svd(transforms[..., :3, :3])
    flip = torch.ones_like(u[..., 0])
    flip[..., 2] = torch.where(torch.linalg.det(u @ v) < 0, -1.0, 1.0)
    return (u * flip[..., None, :]) @ v


def limb_alignment(source: Skeleton, target: Skeleton, match: Match) -> Tensor:
    """(M, 3, 3) rotations that take the limbs of the target's rest pose to where the source's point.

    What ends a limb, such as a hand, turns with it, unless it is level with the ground in every rest pose. Of bodies
    that are paired by hand only arms and legs are laid along each other: trunks rest alike, though their joints do not.
    """
    by_hand = _paired_by_hand(source, target) is not None
    to, of = _limbs(source, match.source), _limbs(target, match.target)
    is_known = ((to.norm(dim=1) > 0) & (of.norm(dim=1) > 0)).tolist()
    shortest, parts = shortest_rotation(of, to), body_parts(target)
    places = {joint: place for place, joint in enumerate(match.target.tolist())}
    above = _matched_above(target, match.target)
    aligned = torch.eye(3, dtype=shortest.dtype).repeat(len(match), 1, 1)
    for joint in (joint for joint in target.from_the_roots() if joint in places):
        side, part = parts[joint]
        if part in LEVEL or (by_hand and part not in {*LIMBS, *LIMBS.values()}):
            continue
        if is_known[places[joint]]:
            aligned[places[joint]] = shortest[places[joint]]
        elif side and joint in above and parts[above[joint]][0] == side:
            aligned[places[joint]] = aligned[places[above[joint]]]
    return aligned


def _limbs(skeleton: Skeleton, joints: Tensor) -> Tensor:
    """(M, 3) where the limb that begins at each of some joints points: to the next matched joint, if there is one."""
    positions = skeleton.rest_world[:, :3, 3].double()
    places = {joint: place for place, joint in enumerate(joints.tolist())}
    below: dict[int, list[int]] = {joint: [] for joint in places}
    for joint, above in _matched_above(skeleton, joints).items():
        below[above].append(joint)
    limbs = torch.zeros(len(joints), 3, dtype=torch.float64)
    for joint, children in below.items():
        # Where several limbs branch off, none of them says where the joint points.
        if len(children) == 1:
            limbs[places[joint]] = positions[children[0]] - positions[joint]
    return normalize(limbs, dim=1)


def shortest_rotation(
    a: Tensor,  # (M, 3) unit
    b: Tensor,  # (M, 3) unit
) -> Tensor:
    """(M, 3, 3) that turn a to b the shortest way; half a turn about an axis across where they are opposite."""
    half = normalize(a + b, dim=1)
    quaternions = torch.cat([(a * half).sum(1, keepdim=True), torch.linalg.cross(a, half)], dim=1)
    across = torch.linalg.cross(a, torch.eye(3, dtype=a.dtype)[a.abs().argmin(dim=1)])
    opposite = torch.cat([torch.zeros_like(a[:, :1]), across], dim=1)
    is_opposite = (a + b).norm(dim=1, keepdim=True) < 1e-9
    return rotation_from_quaternion(torch.where(is_opposite, opposite, quaternions))


def carrier_of(target: Skeleton, match: Match) -> int:
    """Which of the matched pairs carries the body through the world."""
    parts, order = body_parts(target), target.from_the_roots()
    places = {joint: place for place, joint in enumerate(match.target.tolist())}
    matched = [joint for joint in order if joint in places]
    return places[next((joint for joint in matched if parts[joint] == ("", "hips")), matched[0])]


def _local(
    target: Skeleton,
    match: Match,
    wanted: Tensor,  # (T, M, 3, 3) world rotations of the matched joints
    carrier: int,  # which of them carries the body
    path: Tensor,  # (T, 3) where it is, world
) -> Tensor:
    """(T, J, 4, 4) parent_from_joint that give the matched joints their world rotations, from the roots down."""
    frames, rest = len(wanted), target.rest.double()
    local = rest.expand(frames, *rest.shape).clone()
    world = torch.zeros_like(local)
    place = {joint: index for index, joint in enumerate(match.target.tolist())}
    for joint in target.from_the_roots():
        parent = int(target.parents[joint])
        above = world[:, parent] if parent >= 0 else torch.eye(4, dtype=rest.dtype).expand(frames, 4, 4)
        if joint in place:
            # Scales of the rest pose stay: only the rotation is exchanged.
            stretched = rotations_of(rest[joint]).transpose(-1, -2) @ rest[joint, :3, :3]
            local[:, joint, :3, :3] = rotations_of(above).transpose(-1, -2) @ wanted[:, place[joint]] @ stretched
        if place.get(joint) == carrier:
            local[:, joint, :3, 3] = transform_points(torch.linalg.inv(above), path[:, None])[:, 0]
        world[:, joint] = above @ local[:, joint]
    return local


def _path(motion: Motion, target: Skeleton, match: Match, carrier: int) -> Tensor:
    """(T, 3) where the carrying joint is: it leaves its rest as its counterpart does, by the ratio of their sizes."""
    rest = motion.skeleton.rest_world.double()[match.source, :3, 3]
    moved = motion.world_from_joint.double()[:, match.source[carrier], :3, 3]
    start = rest[carrier].clone()
    # A capture's rest pose hangs at the origin while its motion begins anywhere: only what is far is taken for that.
    away = (moved[0] - start) * rest.new_tensor([1.0, 0.0, 1.0])
    if float(away.norm()) > FAR_AWAY * _length(motion.skeleton, match.source):
        start += away
    return target.rest_world.double()[match.target[carrier], :3, 3] + (moved - start) * _ratio(motion, target, match)


def _lift(
    motion: Motion,
    target: Skeleton,
    moved: Tensor,  # (T, J, 4, 4) world_from_joint of the target
    match: Match,
    carrier: int,
) -> float:
    """By how much the body has to rise for the lowest point of its motion to be as far from the ground as the other's.

    The ground is that of the rest pose, but for captures whose rest pose hangs elsewhere.
    """
    below = carried_by(target, match, carrier)
    source, own = match.source[below], match.target[below]
    ground = float(motion.skeleton.rest_world.double()[source, 1, 3].min())
    above = float(motion.world_from_joint.double()[:, source, 1, 3].min()) - ground
    if abs(above) > OFF_THE_GROUND * _length(motion.skeleton, match.source):
        above = 0.0
    wanted = float(target.rest_world.double()[own, 1, 3].min()) + above * _ratio(motion, target, match)
    return wanted - float(moved[:, own, 1, 3].min())


def carried_by(target: Skeleton, match: Match, carrier: int) -> Tensor:
    """(K,) which of the matched pairs the carrying one takes along, itself among them."""
    carried = {int(match.target[carrier])}
    for joint in target.from_the_roots():
        if int(target.parents[joint]) in carried:
            carried.add(joint)
    return torch.tensor([place for place, joint in enumerate(match.target.tolist()) if joint in carried])


def _ratio(motion: Motion, target: Skeleton, match: Match) -> float:
    """The target's size over the other's: of the legs, by which steps are as wide, where both have any."""
    parts = body_parts(target)
    is_leg = torch.tensor([parts[joint][1] in LEGS for joint in match.target.tolist()])
    legs = Match(match.source[is_leg], match.target[is_leg])
    measured = legs if _matched_above(target, legs.target) and _matched_above(motion.skeleton, legs.source) else match
    return _length(target, measured.target) / _length(motion.skeleton, measured.source)


def _length(skeleton: Skeleton, joints: Tensor) -> float:
    """The sum of the distances from matched joints to the next matched ones above them."""
    positions = skeleton.rest_world.double()[:, :3, 3]
    pairs = _matched_above(skeleton, joints)
    return max(sum(float((positions[joint] - positions[above]).norm()) for joint, above in pairs.items()), 1e-9)


def _matched_above(skeleton: Skeleton, joints: Tensor) -> dict[int, int]:
    """The nearest matched ancestor of each matched joint that has one."""
    matched = set(joints.tolist())
    pairs = {}
    for joint in joints.tolist():
        above = int(skeleton.parents[joint])
        while above >= 0 and above not in matched:
            above = int(skeleton.parents[above])
        if above >= 0:
            pairs[joint] = above
    return pairs
