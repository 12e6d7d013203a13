"""What the exports of a subject lack of the input, format by format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from a4d.export.subject import Subject
from a4d.geometry.assets.left_out import named, shown_materials, unshown_clips, unshown_looks
from a4d.geometry.assets.material import PICTURE_FIELDS


@dataclass(frozen=True)
class Kept:
    """What a format keeps of a given asset.

    Args:
        clips: its animations: all, the sampled one or none.
        pictures: of its materials, by field.
        has_transmission: what transmits light still does.
        has_all_looks: of materials, which nothing here shows, and texture coordinates of each picture's own.
    """

    clips: Literal["all", "sampled", "none"] = "sampled"
    pictures: frozenset[str] = frozenset(PICTURE_FIELDS)
    has_transmission: bool = True
    has_all_looks: bool = False


OBJ_PICTURES = frozenset(PICTURE_FIELDS) - {"occlusion_map", "transmission_map"}

KEPT = {
    "glb": Kept(clips="all", has_all_looks=True),
    "obj": Kept(clips="none", pictures=OBJ_PICTURES, has_transmission=False),
    "obj-sequence": Kept(pictures=OBJ_PICTURES, has_transmission=False),
    "ply-sequence": Kept(pictures=frozenset({"base_colour_map"}), has_transmission=False),
}
"""By format; films and pictures show everything that our renderer knows."""


def lacking(subject: Subject, name: str) -> tuple[str, ...]:
    """What a format lacks of the input that a subject comes from, as entries for the warning.

    Args:
        subject: a given asset, or a scene with what its making has left out.
        name: of the format.
    """
    if subject.given is None:
        return subject.left_out
    asset, kept = subject.given.in_file, KEPT.get(name, Kept())
    entries = list(asset.left_out)
    if not kept.has_all_looks:
        entries += unshown_looks(asset)
    materials = shown_materials(asset)
    if not kept.has_transmission:
        entries += _of_materials("the transmission", [key for key, look in materials.items() if look.transmission])
    for field in PICTURE_FIELDS:
        if field not in kept.pictures:
            owners = [key for key, look in materials.items() if getattr(look, field) is not None]
            entries += _of_materials(f"the {field.replace('_', ' ')}", owners)
    clips = [clip.name for clip in asset.clips]
    shown = {"all": clips, "sampled": [subject.clip.name] if subject.clip else [], "none": []}[kept.clips]
    return (*entries, *unshown_clips(clips, shown))


def _of_materials(what: str, owners: Sequence[str]) -> list[str]:
    return [f"{what} of {named('material', owners)}"] if owners else []
