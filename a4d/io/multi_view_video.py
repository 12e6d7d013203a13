"""Data sets of animated objects filmed from several sides, in the layout of MV-Video and of `a4d make-dataset`.

    videos/UID/NN/view_0.mp4 ... view_K.mp4   one animation of one object, views evenly spaced in azimuth
    uid_info_dict.json                        UID -> NN -> {"text_prompt": ..., "angle": {"elv": ..., "azi_start": ...}}

Angles are in degrees; azimuth 0 is the front and grows as ours does. An entry may say more with `"cameras"`, a list
with `azimuth`, `elevation`, `radius` in metres and `fov` for each view, which then stands in place of `angle`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.cameras import Cameras, concatenate, orbit
from a4d.io.video import read_video
from a4d.pixels import composite

INFORMATION = "uid_info_dict.json"
RADIUS, FOV = 3.0, 40.0
"""Of MV-Video's renders, as far as is known: those of the pictures that Animate3D animates."""


@dataclass(frozen=True)
class MultiViewClip:
    """One animation of one object, filmed from K sides at once by cameras that stand still.

    Args:
        name: `UID/NN`.
        views: K films.
        prompt: what happens.
        cameras: K; image sizes are nominal.
    """

    name: str
    views: tuple[Path, ...]
    prompt: str
    cameras: Cameras


def list_clips(folder: Path) -> list[MultiViewClip]:
    """All clips of a data set that have films, sorted by name.

    Raises:
        MissingInputError: there is no `uid_info_dict.json`, or no film that it names.
        InvalidInputError: an entry is damaged.
    """
    path = folder / INFORMATION
    if not path.is_file():
        raise MissingInputError(f"{folder} is no data set of multi-view videos: it has no {INFORMATION}")
    try:
        information = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InvalidInputError(f"{path} is damaged") from None
    clips = []
    for uid, entries in sorted(information.items()):
        numbered = {key: entry for key, entry in entries.items() if re.fullmatch(r"\d+", key)}
        for number, entry in sorted(numbered.items()):
            films = _films(folder / "videos" / uid / number)
            if films:
                clips.append(_clip(f"{uid}/{number}", films, entry, path))
    if not clips:
        raise MissingInputError(f"{folder} has none of the films that {INFORMATION} names")
    return clips


def read_frames(
    path: Path,
    indices: Sequence[int],
    background: float = 0.5,
) -> NDArray[np.float32]:
    """Some frames (F, H, W, 3) of a film, sRGB in [0, 1].

    Args:
        path: of the film.
        indices: of frames, in increasing order.
        background: grey behind films with transparency.

    Raises:
        InvalidInputError: the film is damaged or too short.
    """
    wanted = set(indices)
    grey = (background, background, background)
    frames = [
        np.asarray(composite(frame, grey), np.float32)[..., :3]
        for index, frame in enumerate(read_video(path, end=max(indices) + 1).frames)
        if index in wanted
    ]
    if len(frames) != len(wanted):
        raise InvalidInputError(f"{path} has fewer than {max(indices) + 1} frames")
    return np.stack(frames)


def _films(folder: Path) -> tuple[Path, ...]:
    numbered = ((re.fullmatch(r"view_(\d+)\.mp4", path.name), path) for path in folder.glob("view_*.mp4"))
    return tuple(path for _, path in sorted((int(match[1]), path) for match, path in numbered if match))


def _clip(name: str, films: tuple[Path, ...], entry: Mapping[str, Any], path: Path) -> MultiViewClip:
    try:
        prompt = str(entry["text_prompt"])
        cameras = entry.get("cameras") or [
            {
                "azimuth": entry["angle"]["azi_start"] + index * 360 / len(films),
                "elevation": entry["angle"]["elv"],
                "radius": RADIUS,
                "fov": FOV,
            }
            for index in range(len(films))
        ]
        placed = concatenate([_camera(camera) for camera in cameras])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: the entry of {name} is damaged ({error})") from None
    if len(placed) != len(films):
        raise InvalidInputError(f"{path}: {name} has {len(placed)} cameras and {len(films)} films")
    return MultiViewClip(name, films, prompt, placed)


def _camera(values: Mapping[str, Any]) -> Cameras:
    azimuth, elevation, radius = (torch.tensor([float(values[key])]) for key in ("azimuth", "elevation", "radius"))
    return orbit(azimuth, elevation, radius, float(values["fov"]), 256, 256)
