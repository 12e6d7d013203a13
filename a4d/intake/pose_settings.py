"""The settings of how the cameras of pictures are found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from a4d.config import Config

ADULT = 25.0
"""Years of a person of whom nothing is said."""

LONGER_SIDE = 60.0
"""Degrees that the longer side of a film spans of which nothing is said, as that of a phone does."""


class PoseSettings(Config):
    """Which method finds the cameras, and the canonical camera where there is nothing to find."""

    method: Literal["auto", "canonical", "import", "colmap", "tracker", "body", "object"] = Field(
        default="auto",
        description="canonical: one camera at the front; import: from --cameras; colmap: structure from motion; "
        "tracker: a person's poses and the camera from --tracks; body: a person's poses by the frames' keypoints; "
        "object: around anything that may move, by its silhouettes",
    )
    cameras: Path | None = Field(default=None, description="a transforms.json or COLMAP model of the same images")
    azimuth: float = Field(
        default=0.0,
        ge=-360,
        le=360,
        description="degrees from the front of the first view, of --method object",
    )
    elevation: float | None = Field(
        default=None,
        ge=-90,
        le=90,
        description="degrees that the camera is above the subject: 0 if not given, but where one that turns is found",
    )
    still: bool = Field(default=False, description="the camera is known to stand still, of --method object")
    moving: bool = Field(
        default=False, description="the film's subject moves, so frames whose --cameras tell no time get one"
    )
    fov: float = Field(
        default=40.0,
        gt=1,
        lt=150,
        description="degrees of the field of view: vertical, but for --method body along the film's longer side (60)",
    )
    radius: float = Field(default=2.8, gt=0, description="metres between camera and subject")
    test_every: int | None = Field(
        default=None, ge=2, le=9999, description="hold one frame in so many out of every fit, to judge it by"
    )
    registered: float = Field(default=0.7, ge=0, le=1, description="share of images that must find a camera")
    tracks: Path | None = Field(default=None, description="a person as another program followed it, file or folder")
    person: str | None = Field(default=None, description="whom of several people: the id that the tracks give")
    smpl: Path | None = Field(
        default=None, description="the user's SMPL or SMPL-X file, by which another body gets the tracked shape"
    )
    body: str = Field(
        default="anny", description="the body in these poses: anny, the user's SMPL or SMPL-X file, or a rigged .glb"
    )
    gender: Literal["neutral", "male", "female"] = Field(
        default="neutral", description="of a person of --method body; keypoints do not tell it"
    )
    age: float = Field(default=ADULT, ge=0, le=120, description="in years, likewise")
