"""What an input holds and a result lacks, in words: the one warning that lists it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import PICTURE_FIELDS, Material

LISTED = 4
"""Names that a list spells out."""

LONGEST_NAME = 60


def named(kind: str, names: Sequence[str]) -> str:
    """Things of one kind by their names, the first few of many, such as "nodes 'a', 'b'".

    Args:
        kind: what they are, in the singular.
        names: at least one; see `label`.
    """
    plural = "es" if kind.endswith("sh") else "s"
    return f"{kind}{plural if len(set(names)) > 1 else ''} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Names, the first few of many."""
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:LISTED]) + (f" and {len(distinct) - LISTED} more" if len(distinct) > LISTED else "")


def label(name: str, index: int) -> str:
    """By which a message tells an object of a file from others of its kind: its name, else its number from 0."""
    return quoted(name) if name else str(index)


def quoted(name: str) -> str:
    """A file's own words for a message: on one line, with their end left out where they are long."""
    return repr(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "...")


def shown_materials(asset: Asset) -> dict[str, Material]:
    """The materials of what the asset's scene shows, each under what it is called in a message."""
    meshes = [asset.meshes[index] for index in dict.fromkeys(instance.mesh for instance in asset.instances)]
    used = dict.fromkeys(primitive.material for mesh in meshes for primitive in mesh.primitives)
    return {label(asset.materials[index].name, index): asset.materials[index] for index in used}


def unshown_looks(asset: Asset) -> list[str]:
    """What only files keep of the materials of an asset's scene: extensions, and further texture coordinates."""
    owners: dict[str, list[str]] = {}
    for name, material in shown_materials(asset).items():
        for extension in material.extensions:
            owners.setdefault(extension, []).append(name)
        pictures = [getattr(material, field) for field in PICTURE_FIELDS]
        if len({picture.uv_set for picture in pictures if picture is not None}) > 1:
            owners.setdefault("the further texture coordinates", []).append(name)
    return [f"{what} of {named('material', names)}" for what, names in owners.items()]


def unshown_clips(clips: Sequence[str], shown: Sequence[str]) -> list[str]:
    """The animations among those of a file that are not shown, as one entry."""
    missing = [quoted(name) for name in clips if name not in shown]
    return [f"the {named('animation', missing)}"] if missing else []


def left_out_warning(name: str, results: Mapping[str, Sequence[str]]) -> str | None:
    """The sentence that lists everything left out, or None where nothing is.

    Args:
        name: of the input, as the user knows it.
        results: what each of the results lacks; an entry that is not about all names those that it is about.
    """
    entries = dict.fromkeys(entry for lacking in results.values() for entry in lacking)
    if not entries:
        return None
    words = []
    for entry in entries:
        about = [result for result, lacking in results.items() if entry in lacking]
        words.append(entry if len(about) == len(results) else f"{entry} ({', '.join(about)})")
    return f"left out of {name}: {'; '.join(words)}"
