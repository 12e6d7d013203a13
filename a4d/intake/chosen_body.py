"""The body that a user names: the open one, their own SMPL or SMPL-X, or a rigged character."""

from __future__ import annotations

from pathlib import Path

from a4d.errors import MissingInputError
from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.rigged_character import RiggedCharacter, rigged_character
from a4d.geometry.bodies.smpl import SmplBody
from a4d.io.assets.gltf.reader import SUFFIXES as GLTF_SUFFIXES
from a4d.io.assets.gltf.reader import read_gltf
from a4d.io.bodies.open_body import open_body
from a4d.io.bodies.smpl import read_smpl
from a4d.io.trackers.person_track import MODELS

OPEN = "anny"
"""How the open body is called on the command line."""


def chosen_body(name: str) -> Body:
    """The body of a name or file.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no body.
    """
    if name == OPEN:
        return open_body()
    path = Path(name)
    if path.suffix.lower() not in GLTF_SUFFIXES:
        return read_smpl(path)
    if not path.is_file():
        raise MissingInputError(f"there is no {path}")
    return rigged_character(read_gltf(path))


def model_of(body: Body) -> str:
    """What kind of body it is, as `TrackedBody` says it."""
    if isinstance(body, SmplBody):
        return MODELS.get(len(body.names), "smpl")
    return "rig" if isinstance(body, RiggedCharacter) else "open"
