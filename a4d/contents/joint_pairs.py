"""The file that pairs joints whose names say nothing with those of a motion: read, and begun for the user to edit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from a4d.config import load_yaml
from a4d.documents import parse_yaml
from a4d.errors import ConfigError
from a4d.geometry.assets.skinned_surface import SkinnedSurface
from a4d.geometry.deformation.joint_places import bone_middles, described_joints, outline_order
from a4d.geometry.deformation.skeleton import Skeleton

PLAIN = re.compile(r"[A-Za-z][\w.:-]*")
"""Names that may stand in YAML as they are, unless they mean something there."""


@dataclass(frozen=True)
class Lender:
    """Whose motion the joints are to be paired with.

    Args:
        name: of its file.
        skeleton: at rest, +Y up and +Z in front.
        pairs: the joint of the motion that moves each joint, by names, as far as the user has paired them.
    """

    name: str
    skeleton: Skeleton
    pairs: Mapping[str, str] = field(default_factory=dict)


def load_joints(path: Path) -> dict[str, str]:
    """Which joint of a motion moves each joint of a body, from a YAML file of lines `JOINT: JOINT OF THE MOTION`.

    Joints with nothing behind the colon are left out.

    Raises:
        ConfigError: the file is missing, pairs none, or holds something else.
    """
    pairs = {str(joint): str(other) for joint, other in load_yaml(path).items() if other is not None}
    if not pairs:
        raise ConfigError(f"{path} pairs no joints", "Write a line `JOINT: JOINT OF THE MOTION` for each")
    return pairs


def joints_text(surface: SkinnedSurface, chart: str, lender: Lender | None = None) -> str:
    """The text of a file as `load_joints` reads it, in which each joint waits for one of a motion.

    Args:
        surface: with the joints; comments say where it is that each moves, and how much of the whole.
        chart: the file that shows them.
        lender: of the motion: its joints are listed, and those pairs that the user has are filled in.
    """
    names, pairs = surface.skeleton.names, {} if lender is None else lender.pairs
    told = described_joints(surface.skeleton, surface.parts, _box(surface.mesh.vertices))
    rows: dict[str, str] = {}
    for joint in outline_order(surface.skeleton):
        # Of joints of one name a file can have but the first.
        rows.setdefault(names[joint], f"# {told[joint]}; moves {float(surface.shares[joint]):.1%}")
    lines = [(f"{_scalar(name)}:{_filled(pairs.get(name))}", remarks) for name, remarks in rows.items()]
    return "\n".join(map(_printable, [*(f"# {line}" for line in _head(chart, lender)), *_in_columns(lines)])) + "\n"


def _head(chart: str, lender: Lender | None) -> list[str]:
    lines = [
        f"The joints of a rig, which {chart} shows; behind each colon belongs the joint of a motion that moves it, and",
        "a joint without one follows that on which it hangs. Places are those of the rest pose: in front is +Z, and on",
        "the left +X, whichever way the subject looks.",
    ]
    if lender is None:
        return [*lines, "A motion's joints are listed here by --motion FILE --formats joints."]
    skeleton = lender.skeleton
    told = described_joints(skeleton, bone_middles(skeleton), _box(skeleton.rest_world[:, :3, 3].double()))
    rows = [(f"  {_scalar(skeleton.names[joint])}", told[joint]) for joint in outline_order(skeleton)]
    return [*lines, f"{lender.name} has these joints, each for one line at most:", *_in_columns(rows)]


def _in_columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(first) for first, _ in rows)
    return [f"{first:{width}}  {second}" for first, second in rows]


def _printable(line: str) -> str:
    """A line without what would end it: names of files and joints may hold anything."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _filled(name: str | None) -> str:
    return "" if name is None else f" {_scalar(name)}"


def _scalar(name: str) -> str:
    """A name as YAML reads it back."""
    is_plain = PLAIN.fullmatch(name) and parse_yaml(name, "name") == name
    return name if is_plain else json.dumps(name, ensure_ascii=not name.isprintable())


def _box(points: Tensor) -> Tensor:
    """(2, 3) lowest and highest corner of points (N, 3)."""
    return torch.stack([points.amin(0), points.amax(0)])
