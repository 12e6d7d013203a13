"""Assets as clips of a data set of multi-view videos, chosen and seen as MV-Video's are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.clip_times import clip_start, rated_times
from a4d.geometry.assets.orientation import guess_orientation
from a4d.geometry.assets.placement import Orientation, normalising, placed
from a4d.geometry.assets.posing import deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.rings import Rings
from a4d.io.assets.asset_reader import Y_UP_FORMATS, read_asset
from a4d.io.captures.multi_view_dataset import MultiViewClip
from a4d.io.ground_truth import ground_truth
from a4d.randomness import generator
from a4d.render.asset import AssetRenderer, is_colourless


@dataclass(frozen=True)
class Recording:
    """How every clip is seen.

    Args:
        views: cameras evenly around the subject.
        frames: moments.
        fps: frames per second.
        size: pixels of the square images' side.
        elevation: degrees, from and to; each clip has its own.
        radius: metres from the origin, around which the subject fills the unit ball.
        fov: vertical field of view in degrees.
        lighting: "auto" shades what has no colours of its own.
        clips: most of an asset, drawn at random where it has more.
        with_depth: exact depth, too.
        with_truth: surface and joints, too.
        seed: of all that is random.
    """

    views: int = 16
    frames: int = 48
    fps: float = 24.0
    size: int = 256
    elevation: tuple[float, float] = (0.0, 30.0)
    radius: float = 3.0
    fov: float = 40.0
    lighting: Literal["auto", "unlit", "shaded"] = "auto"
    clips: int = 6
    with_depth: bool = False
    with_truth: bool = False
    seed: int = 0

    @property
    def seconds(self) -> float:
        """Of a clip."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Take:
    """One clip that an asset gives.

    Args:
        clip: index of the animation, or None for an asset that stands still.
        offset: seconds after its first key.
    """

    clip: int | None
    offset: float = 0.0


def choose_takes(asset: Asset, uid: str, recording: Recording) -> list[Take]:
    """The beginning of each animation, and also the end of those that are more than twice as long as a clip.

    Of many animations some are drawn at random; what has none stands still (the rules of MV-Video's data card).
    """
    if not asset.clips:
        return [Take(None)]
    order = torch.randperm(len(asset.clips), generator=generator(recording.seed, "takes", uid))
    takes = []
    for index in sorted(order[: recording.clips].tolist()):
        takes.append(Take(index))
        clip = asset.clips[index]
        length = clip.duration - clip_start(clip)
        if length > 2 * recording.seconds:
            takes.append(Take(index, length - (recording.frames - 1) / recording.fps))
    return takes


def record(
    path: Path, uid: str, number: int, recording: Recording, captions: Mapping[str, Any] | None = None
) -> MultiViewClip | None:
    """Render a clip of an asset.

    Args:
        path: of the asset.
        uid: of the subject.
        number: of the clip among those of `choose_takes`.
        recording: how it is seen.
        captions: see `caption_of`.

    Returns:
        The clip, or None where the asset has no more of them.

    Raises:
        InvalidInputError: the asset cannot be read.
    """
    source = read_asset(path)
    takes = choose_takes(source, uid, recording)
    if number >= len(takes):
        return None
    take = takes[number]
    clip = None if take.clip is None else source.clips[take.clip]
    seconds = torch.zeros(1, dtype=torch.float64)
    if clip is not None:
        seconds = rated_times(source, clip, recording.frames, recording.fps, take.offset)
    shown = (deform(source, clip, second) for second in seconds.tolist())
    surfaces = (surface.vertices[surface.faces.unique()] for surface in shown)
    asset = placed(source, normalising(_orientation(source, path), surfaces))
    rings = _rings(uid, number, recording)
    cameras = rings.cameras()
    rgba, depth = _pictures(asset, clip, seconds, cameras, recording)
    return MultiViewClip(
        uid,
        number,
        rgba,
        cameras,
        caption_of(uid, clip, captions or {}),
        rings.elevations[0],
        rings.azimuth,
        recording.fps,
        depth,
        ground_truth(asset, clip, seconds) if recording.with_truth else None,
    )


def _rings(uid: str, number: int, recording: Recording) -> Rings:
    """One ring at a random height, turned by less than half the way to the next camera."""
    low, high = recording.elevation
    height, turn = torch.rand(2, generator=generator(recording.seed, "cameras", uid, number)).tolist()
    azimuth = round((turn - 0.5) * 360 / recording.views, 3)
    elevation = round(low + (high - low) * height, 3)
    return Rings(recording.views, [elevation], azimuth, recording.radius, recording.fov, recording.size)


def _pictures(
    asset: Asset, clip: Clip | None, seconds: Tensor, cameras: Cameras, recording: Recording
) -> tuple[Tensor, Tensor | None]:
    """(V, T, H, W, 4) uint8, and (V, T, H, W) metres where depth is recorded."""
    lighting = recording.lighting
    if lighting == "auto":
        lighting = "shaded" if is_colourless(asset) else "unlit"
    renderer = AssetRenderer(asset, lighting)
    size = (recording.views, len(seconds), recording.size, recording.size)
    rgba = torch.empty(*size, 4, dtype=torch.uint8)
    depth = torch.empty(size) if recording.with_depth else None
    for moment, second in enumerate(seconds.tolist()):
        surface = deform(asset, clip, second)
        for view in range(recording.views):
            picture = renderer.render(surface, cameras[view])
            rgba[view, moment] = (picture.rgba * 255).round().to(torch.uint8)
            if depth is not None:
                depth[view, moment] = picture.depth
    return rgba, depth


def _orientation(asset: Asset, path: Path) -> Orientation:
    suffix = path.suffix.lower()
    return Orientation() if suffix in Y_UP_FORMATS else guess_orientation(deform(asset).mesh, suffix)


def caption_of(uid: str, clip: Clip | None, captions: Mapping[str, Any]) -> str:
    """What a clip shows in words.

    Args:
        uid: of the subject.
        clip: None where it stands still.
        captions: by subject, a text or a mapping of texts by the clips' names; without one, the names themselves are
            put into words.
    """
    given = captions.get(uid)
    if isinstance(given, Mapping):
        given = given.get(clip.name if clip else "", given.get(""))
    if isinstance(given, str):
        return given
    return " ".join(_words(uid) + _words(clip.name.rpartition("|")[2] if clip else ""))


def _words(name: str) -> list[str]:
    """`RunFast_01` as run, fast."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
