"""Procedural clips as members of a data set on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from a4d.datasets.procedural.clips import Stage, procedural_scene
from a4d.geometry.cameras import orbit
from a4d.io.captures.multi_view_dataset import MultiViewClip
from a4d.randomness import generator


@dataclass(frozen=True)
class ProceduralRecording:
    """How procedural objects are filmed.

    Args:
        views: cameras, evenly around the object.
        frames: of one period of the motion.
        fps: frames per second.
        size: pixels of the square frame's side.
        elevation: degrees above the object, from and to.
        radius: metres from the middle to the cameras.
        fov: vertical field of view in degrees.
        seed: of objects, motions, captions and cameras.
    """

    views: int
    frames: int
    fps: float
    size: int
    elevation: tuple[float, float]
    radius: float
    fov: float
    seed: int


def record_procedural(index: int, uid: str, recording: ProceduralRecording) -> MultiViewClip:
    """The index-th clip under a subject's name; it depends on the seed and the index alone.

    Its azimuth starts anywhere, as in MV-Video.
    """
    scene = procedural_scene(recording.seed, index, Stage(recording.views, recording.frames, recording.size))
    draws = generator(recording.seed, "recording", index)
    share, turn = torch.rand(2, generator=draws).tolist()
    low, high = recording.elevation
    elevation, azimuth = low + share * (high - low), turn * 360
    cameras = orbit(
        azimuth + torch.arange(recording.views) * (360 / recording.views),
        torch.full((recording.views,), elevation),
        recording.radius,
        recording.fov,
        recording.size,
        recording.size,
    )
    rgba = replace(scene, cameras=cameras).render(np.arange(recording.frames) / recording.frames)
    return MultiViewClip(uid, 0, rgba, cameras, scene.caption, elevation, azimuth, recording.fps)
