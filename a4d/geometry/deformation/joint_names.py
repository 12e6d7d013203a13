"""Joints whose names say nothing: paired by hand, or known again by where they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.retargeting import fewest_matched, match_joints, some_names
from a4d.geometry.deformation.skeleton import Motion, Skeleton

FOUND = re.compile(r"joint_\d+")
"""What joints are called that were found rather than made; see `skeleton_extraction`."""

ALIKE = 0.5
"""Root mean square distance of joints, both skeletons of root mean square size 1, up to which they may be the same."""


def paired(motion: Motion, target: Skeleton, joints: Mapping[str, str]) -> Motion:
    """A motion whose joints bear the names of those that they are to move; the others keep names that nothing has.

    Args:
        motion: of any skeleton.
        target: the one that is to move.
        joints: the name of a joint of the motion by that of each joint it moves.

    Raises:
        InvalidInputError: a joint is not there, or too few are paired and no others match by their names.
    """
    names = motion.skeleton.names
    require_pairs(motion.skeleton, target, joints)
    moved = {other: joint for joint, other in joints.items()}
    renamed = tuple(moved.get(name, f"{name} of the motion" if name in joints else name) for name in names)
    paired_motion = replace(motion, skeleton=replace(motion.skeleton, names=renamed))
    if len(joints) < len(target):
        _require_enough(paired_motion.skeleton, target, names)
    return paired_motion


def require_pairs(source: Skeleton, target: Skeleton, joints: Mapping[str, str]) -> None:
    """Refuse pairs of joints that are not there, and of one joint with several; see `paired`.

    Raises:
        InvalidInputError: there are such.
    """
    _require("the body", joints, target.names)
    _require("the motion", joints.values(), source.names)
    if len(set(joints.values())) < len(joints):
        raise InvalidInputError("a joint of the motion is paired with several joints", "Give each a joint of its own")


def _require_enough(source: Skeleton, target: Skeleton, names: tuple[str, ...]) -> None:
    """Refuse too few pairs by the names that the user knows, which the source no longer has."""
    try:
        match_joints(source, target)
    except InvalidInputError:
        fewest = fewest_matched(source, target)
        raise InvalidInputError(
            f"fewer than {fewest} joints of the motion are paired with those of the body",
            f"Pair {fewest} at least. The motion has {some_names(names)}; the body has {some_names(target.names)}",
        ) from None


def _require(whose: str, wanted: Iterable[str], names: tuple[str, ...]) -> None:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InvalidInputError(f"{whose} has no joint {', '.join(unknown)}", f"It has {', '.join(names)}")


def require_acquainted(source: Skeleton, target: Skeleton) -> None:
    """Refuse to pair by their names joints that were found on two bodies, where the same number means nothing.

    Raises:
        InvalidInputError: most of the common names are of found joints, which are elsewhere at rest.
    """
    common = [name for name in source.names if name in target.names and FOUND.fullmatch(name)]
    if not common or 2 * len(common) < len(target):
        return
    own, other = (_layout(skeleton, common) for skeleton in (target, source))
    if float((own - other).square().sum(1).mean().sqrt()) > ALIKE:
        raise InvalidInputError(
            "the joints of the motion were found on another body, where the same numbers are other joints",
            f"Say which joint of the motion moves each, by lines such as `{target.names[0]}: {source.names[0]}` in "
            "--joints FILE, which --formats joints begins",
        )


def _layout(skeleton: Skeleton, names: list[str]) -> Tensor:
    """(N, 3) where some joints are at rest, about their middle, of root mean square size 1."""
    places = skeleton.rest_world[[skeleton.names.index(name) for name in names], :3, 3].double()
    places = places - places.mean(0)
    return places / places.square().sum(1).mean().sqrt().clamp_min(1e-12)
