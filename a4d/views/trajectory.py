"""How a drawn clip runs: which window of time it shows, and how its camera moves meanwhile."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor

from a4d.config import Config
from a4d.views.view_set import Interval


class TimeWindow(Config):
    """Evenly spaced times of a window of the clip, drawn with its place and its rate (Animate124).

    The window's length is drawn evenly from `frames` to `resolution` steps and rounded down to a multiple of `frames`,
    so that a clip of 16 frames in 256 steps takes each 1st to 16th of them. It lies anywhere, or at the clip's start.
    """

    resolution: int = Field(default=256, ge=2, le=1_000_000, description="steps of time between 0 and 1")
    from_start: float = Field(default=0.2, ge=0, le=1, description="chance that the window begins at time 0")
    mirrored: float = Field(
        default=0.5, ge=0, le=1, description="chance that it lies as far from the end instead; time still runs forward"
    )

    def times(self, clips: int, frames: int, draws: torch.Generator) -> Tensor:
        """(clips, frames) ascending times in [0, 1]."""
        return torch.stack([self._times(frames, draws) for _ in range(clips)])

    def _times(self, frames: int, draws: torch.Generator) -> Tensor:
        stride = int(torch.randint(frames, self.resolution + 1, (), generator=draws)) // frames
        is_at_start, is_mirrored = torch.rand(2, generator=draws) < torch.tensor([self.from_start, self.mirrored])
        start = int(torch.randint(self.resolution - stride * frames + 1, (), generator=draws))
        steps = (0 if is_at_start else start) + stride * torch.arange(frames)
        return ((self.resolution - steps).flip(0) if is_mirrored else steps) / self.resolution


class CameraPath(Config):
    """How far a camera goes while a clip runs, from the place that was drawn for it, at a steady pace."""

    azimuth: Interval = Field(default=(-90.0, 90.0), description="degrees")
    elevation: Interval = Field(default=(-45.0, 45.0), description="degrees")
    radius: Interval = Field(default=(0.0, 0.0), description="in the unit of the view set's radius")
    chance: float = Field(default=1.0, ge=0, le=1, description="with which it moves at all")
    arrives: bool = Field(
        default=False, description="the last frame is at the end of the path; else one step before it, as in Animate124"
    )

    @model_validator(mode="after")
    def _check_intervals(self) -> CameraPath:
        for name in ("azimuth", "elevation", "radius"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low:g}, {high:g}] is no interval")
        return self

    def changes(self, paths: int, frames: int, draws: torch.Generator) -> Tensor:
        """(3, paths, frames) what is added to azimuth, elevation and radius at each frame."""
        ends = torch.tensor([self.azimuth, self.elevation, self.radius])
        share = torch.rand(3, paths, generator=draws)
        whole = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * share
        moves = torch.rand(paths, generator=draws) < self.chance
        shares = torch.arange(frames) / (frames - 1 if self.arrives else frames)
        return (whole * moves)[..., None] * shares


def hemisphere(count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """(count,) azimuths and elevations in degrees above the horizon: points of a half-cube, seen from its middle.

    Stable-DreamFusion's law (Animate124's `uniform_sphere_rate`): y in [0, 1], x and z in [-1, 1], normalised.
    """
    x, y, z = torch.rand(3, count, generator=draws)
    x, z = 2 * x - 1, 2 * z - 1
    return torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.atan2(y, torch.hypot(x, z)))
