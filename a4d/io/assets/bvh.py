"""Motion capture in Biovision hierarchy files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.transforms import quaternion_product, rigid_from_parts, rotation_from_quaternion
from a4d.io.complaints import quoted
from a4d.io.files import read_text

MOTION = re.compile(r"\bMOTION\s+Frames\s*:\s*(?P<frames>\d{1,9})\s+Frame\s+Time\s*:\s*(?P<seconds>\S+)", re.IGNORECASE)
WORD = re.compile(r"[{}]|[^\s{}]+")
SHORTEST, LONGEST = 1e-15, 1e15
"""Of the longest bone and of anything, in whatever unit: beyond, single precision has no room for a body."""

CHANNEL = re.compile(r"(?P<axis>[XYZ])(?P<kind>position|rotation)", re.IGNORECASE)

POSE_LIMIT = 2**24
"""Joints times frames; their matrices take 2 GB."""


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[tuple[str, int]] = field(default_factory=list)


def read_bvh(path: Path | str) -> Motion:
    """Read a BVH file: any order of channels, positions on any joint, end sites, several roots.

    A position channel replaces the joint's offset along its axis, as in Blender and MotionBuilder; most files give
    roots a zero offset, so that adding would be the same. Lengths stay in the unit of the file, mostly centimetres.

    Args:
        path: the file.

    Returns:
        The motion in float64; an end site is a joint without motion, named after its parent with " end".

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, holds another number of values than it says, or no frames.
    """
    path = Path(path)
    text = read_text(path)
    header = MOTION.search(text)
    if header is None:
        raise InvalidInputError(f"{path} is no BVH file: it has no MOTION with Frames and Frame Time")
    joints = _read_hierarchy(path, iter(WORD.findall(text, 0, header.start())))
    channels = sum(len(joint.channels) for joint in joints)
    values = _read_values(path, text[header.end() :], int(header["frames"]), channels)
    seconds = _number(path, header["seconds"])
    if seconds <= 0:
        raise InvalidInputError(f"{path} has a frame time of {seconds:g} seconds")
    if len(values) * len(joints) > POSE_LIMIT:
        raise InvalidInputError(f"{path} has {len(values)} frames of {len(joints)} joints", "Cut it into shorter clips")
    parents = torch.tensor([joint.parent for joint in joints], dtype=torch.int64)
    offsets = torch.tensor([joint.offset for joint in joints], dtype=torch.float64)
    rest = rigid_from_parts(torch.eye(3, dtype=torch.float64).repeat(len(joints), 1, 1), offsets)
    skeleton = Skeleton(tuple(joint.name for joint in joints), parents, rest)
    return Motion(skeleton, _local_transforms(joints, torch.from_numpy(values)), seconds)


def _read_hierarchy(path: Path, words: Iterator[str]) -> list[_Joint]:
    joints: list[_Joint] = []
    open_joints: list[int] = []
    try:
        for word in words:
            keyword = word.upper()
            if keyword in ("ROOT", "JOINT", "END"):
                name = " ".join(iter(words.__next__, "{"))
                parent = open_joints[-1] if open_joints else -1
                joints.append(_Joint(name if keyword != "END" else f"{joints[parent].name} end", parent))
                open_joints.append(len(joints) - 1)
            elif keyword == "OFFSET":
                joints[open_joints[-1]].offset = [_number(path, next(words)) for _ in range(3)]
            elif keyword == "CHANNELS":
                joints[open_joints[-1]].channels = [_channel(path, next(words)) for _ in range(int(next(words)))]
            elif keyword == "}":
                open_joints.pop()
            elif keyword != "HIERARCHY":
                raise InvalidInputError(f"{path} is no BVH file: its hierarchy holds {quoted(word)}")
    except (StopIteration, IndexError, ValueError) as error:
        raise InvalidInputError(f"{path} has a damaged hierarchy") from error
    if not joints or open_joints:
        raise InvalidInputError(f"{path} has a hierarchy that is empty or cut off")
    farthest = max(abs(length) for joint in joints for length in joint.offset)
    bones = [abs(length) for joint in joints if joint.parent >= 0 for length in joint.offset]
    if farthest > LONGEST or (bones and max(bones) < SHORTEST):
        raise InvalidInputError(f"{path} has no bones of a usable length: its longest offset is {farthest:g}")
    return joints


def _channel(path: Path, word: str) -> tuple[str, int]:
    """Whether a channel is a "position" or a "rotation", and its axis."""
    match = CHANNEL.fullmatch(word)
    if match is None:
        raise InvalidInputError(f"{path} has an unknown channel {quoted(word)}")
    return match["kind"].lower(), "XYZ".index(match["axis"].upper())


def _number(path: Path, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise InvalidInputError(f"{path} holds {quoted(word)} where a number belongs")
    return number


def _read_values(path: Path, text: str, frames: int, channels: int) -> NDArray[np.float64]:
    """(frames, channels) in the order of the file."""
    words = text.split()
    if len(words) != frames * channels:
        raise InvalidInputError(
            f"{path} holds {len(words)} motion values, not the {frames} frames of {channels} channels that it declares"
        )
    if not words:
        raise InvalidInputError(f"{path} holds no motion")
    try:
        values = np.array(words, dtype=np.float64).reshape(frames, channels)
    except ValueError as error:
        raise InvalidInputError(f"{path} holds motion values that are no numbers") from error
    if not (np.abs(values) <= LONGEST).all():
        raise InvalidInputError(f"{path} holds motion values that are not finite, or beyond {LONGEST:g}")
    return values


def _local_transforms(
    joints: list[_Joint],
    values: Tensor,  # (T, channels) degrees and lengths
) -> Tensor:
    """(T, J, 4, 4) parent_from_joint; the first rotation channel is the outermost."""
    columns = iter(values.unbind(1))
    translations, quaternions = [], []
    for joint in joints:
        translation = list(torch.tensor(joint.offset, dtype=values.dtype).expand(len(values), 3).unbind(1))
        quaternion = values.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(values), 4)
        for kind, axis in joint.channels:
            if kind == "position":
                translation[axis] = next(columns)
            else:
                half = torch.deg2rad(next(columns))[:, None] / 2
                turn = torch.cat([half.cos(), half.sin() * torch.eye(3, dtype=values.dtype)[axis]], dim=1)
                quaternion = quaternion_product(quaternion, turn)
        translations.append(torch.stack(translation, dim=1))
        quaternions.append(quaternion)
    rotation = rotation_from_quaternion(torch.stack(quaternions, dim=1))
    return rigid_from_parts(rotation, torch.stack(translations, dim=1))
