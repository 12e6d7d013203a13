"""The view set of cameras around the object, still or moving, at one moment or over a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from a4d.config import Number, value_at
from a4d.errors import ConfigError, MissingInputError
from a4d.geometry.cameras import Cameras, orbit
from a4d.randomness import generator
from a4d.render.footprint import pixel_sizes
from a4d.scenes.subject import Placed
from a4d.views.batch import ViewBatch
from a4d.views.frames import Frames
from a4d.views.trajectory import CameraPath, TimeWindow, hemisphere
from a4d.views.view_set import LAST_STEP, Interval, Views


class OrbitViews(Views):
    """Random cameras on a sphere around the object that look at it; each may see a whole clip from where it stands.

    Images are ordered as priors want them: rings, then the views of a ring, then frames, which run fastest.
    """

    kind: Literal["orbit"] = "orbit"
    azimuth: Interval = (-180.0, 180.0)
    elevation: Interval = (-10.0, 45.0)
    radius: Interval | Number = 3.0
    fov: Interval | Number = 40.0
    relative: bool = Field(default=False, description="radius counts in 1 / tan(fov / 2): 1 shows a unit ball's height")
    centre: Literal["world", "subject"] = Field(
        default="world",
        description="what cameras look at: the origin, or the middle of a subject that moves, which they turn with and "
        "whose longest side is then the unit of the radius",
    )
    size: int = Field(default=128, ge=8, le=4096)
    stratified: bool = Field(default=False, description="one camera, or ring, per equal sector of azimuth")
    hemisphere: float = Field(
        default=0.0, ge=0, le=1, description="chance that a camera, or ring, is anywhere above the horizon instead"
    )
    evenly: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="chance that an elevation is even over the sphere, not in its angle",
    )
    shift: float = Field(
        default=0.0, ge=0, description="metres up to which a camera, or ring, moves along its image's axes, not turning"
    )
    ring: int = Field(default=1, ge=1, le=4096, description="views evenly around the axis that share all but azimuth")
    frames: int | None = Field(
        default=None, ge=2, le=1024, description="moments that each camera sees, from 0 to 1 of the clip"
    )
    window: TimeWindow | None = Field(
        default=None, description="the part of the clip that they are of; null: all of it"
    )
    path: CameraPath | None = Field(default=None, description="how cameras move during a clip; null: they stand still")
    moment: Literal["random", "observed"] | None = Field(
        default=None, description="one moment per ring: any, or one of those of the workspace's frames; null: no time"
    )

    @model_validator(mode="after")
    def _check_rings(self) -> OrbitViews:
        if self.batch % self.ring:
            raise ValueError(f"batch {self.batch} is not a multiple of ring {self.ring}")
        return self

    @model_validator(mode="after")
    def _check_clips(self) -> OrbitViews:
        if self.frames is None and (self.window is not None or self.path is not None):
            raise ValueError("a window of time and a path of the camera are those of a clip: give frames")
        if self.frames is not None and self.moment is not None:
            raise ValueError("a clip shows many moments: give frames or moment")
        if self.frames is not None and self.window is not None and self.window.resolution < self.frames:
            raise ValueError(f"{self.frames} frames do not fit {self.window.resolution} steps of time")
        return self

    @property
    def reads_frames(self) -> bool:
        """Where moments are those of the workspace's frames."""
        return self.moment == "observed"

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """Uniform azimuth, elevation, radius and field of view; the field of view is shared by a batch.

        Raises:
            MissingInputError: a moment of the frames is wanted, and there are none with times.
        """
        count = self.batch // self.ring
        draw = torch.rand(4, count, generator=generator(seed, "orbit", step))
        share = (torch.arange(count) + draw[0]) / count if self.stratified else draw[0]
        fov = float(_between(self.fov, draw[1, :1], step))
        place = _Place(
            _between(self.azimuth, share, step), _between(self.elevation, draw[2], step),
            self._distance(draw[3], fov, step),
        )  # fmt: skip
        if self.evenly:
            draws = generator(seed, "evenly", step)
            place = replace(place, elevation=self._even(place.elevation, torch.rand(2, count, generator=draws)))
        if self.hemisphere:
            draws = generator(seed, "hemisphere", step)
            place = place.where(torch.rand(count, generator=draws) < self.hemisphere, *hemisphere(count, draws))
        backgrounds = self.backgrounds(step, seed)
        if self.frames is None:
            batch = self._at_a_moment(place.ring(self.ring, fov, self.size), backgrounds, step, seed, frames)
        else:
            batch = self._over_the_clip(place, fov, backgrounds, step, seed)
        if self.shift:
            batch = replace(batch, cameras=self._shifted(batch.cameras, count, generator(seed, "shift", step)))
        return self.jittered(batch, seed, "orbit", step)

    def _even(self, elevation: Tensor, draws: Tensor) -> Tensor:
        """Elevations (N,) in degrees, some of which are drawn anew, as a band of the sphere has them."""
        low, high = torch.deg2rad(torch.tensor(self.elevation)).sin()
        even = torch.rad2deg(torch.asin(low + (high - low) * draws[1]))
        return torch.where(draws[0] < self.evenly, even, elevation)

    def _distance(self, share: Tensor, fov: float, step: int) -> Tensor:
        """Metres between cameras and the origin, at shares (B,) of the interval."""
        return self._metres(_between(self.radius, share, step), fov)

    def _metres(self, radius: Tensor, fov: float) -> Tensor:
        return radius / math.tan(math.radians(fov) / 2) if self.relative else radius

    def _shifted(self, cameras: Cameras, rings: int, draws: torch.Generator) -> Cameras:
        """All cameras of a ring moved alike, right and down in their own images (X-Dreamer's camera jitter)."""
        sideways = (self.shift * (2 * torch.rand(rings, 2, generator=draws) - 1)).repeat_interleave(
            len(cameras) // rings, dim=0
        )
        pose = cameras.world_from_camera.clone()
        pose[:, :3, 3] += torch.einsum("bij,bj->bi", pose[:, :3, :2], sideways)
        return replace(cameras, world_from_camera=pose)

    def _at_a_moment(
        self, cameras: Cameras, backgrounds: Tensor, step: int, seed: int, frames: Frames | None
    ) -> ViewBatch:
        """All views of a ring at the same moment."""
        if self.moment is None:
            return ViewBatch(cameras, None, backgrounds)
        draws, count = generator(seed, "moment", step), self.batch // self.ring
        if self.moment == "random":
            times = torch.rand(count, generator=draws)
            moments = times.argsort().argsort()
        else:
            if frames is None:
                raise MissingInputError("there are no frames whose moments could be shown", "Choose moment: random")
            moments = torch.randint(len(frames.moments), (count,), generator=draws)
            times = frames.moments[moments]
        each = torch.arange(count).repeat_interleave(self.ring)
        return ViewBatch(cameras, times[each], backgrounds, moments=moments[each])

    def _over_the_clip(self, place: _Place, fov: float, backgrounds: Tensor, step: int, seed: int) -> ViewBatch:
        """Every view at every moment of its ring's clip, over the same background, from where its camera then is."""
        assert self.frames is not None
        rings, frames = self.batch // self.ring, self.frames
        if self.path is None:
            cameras = place.ring(self.ring, fov, self.size)
            cameras = cameras[torch.arange(len(cameras)).repeat_interleave(frames)]
        else:
            turn, rise, away = self.path.changes(rings, frames, generator(seed, "path", step))
            moving = place.moved(turn, rise, self._metres(away, fov))
            in_rings = torch.arange(self.batch * frames).view(rings, frames, self.ring).transpose(1, 2).flatten()
            cameras = moving.ring(self.ring, fov, self.size)[in_rings]
        if self.window is None:
            times, moments = torch.linspace(0, 1, frames), torch.arange(frames)
            times, moments = times.expand(rings, -1), moments.expand(rings, -1)
        else:
            times = self.window.times(rings, frames, generator(seed, "window", step))
            moments = (times * self.window.resolution).round().long()
        return ViewBatch(
            cameras,
            times.repeat_interleave(self.ring, dim=0).flatten(),
            backgrounds.repeat_interleave(frames, dim=0),
            moments=moments.repeat_interleave(self.ring, dim=0).flatten(),
            clip=frames,
        )

    def pixels_per_step(self, frames: Frames | None) -> int:
        """All moments of all cameras."""
        return self.batch * (self.frames or 1) * self.size**2

    def require_scene(self, scene: object, where: str) -> None:
        """Check that there is a subject that is looked at.

        Raises:
            ConfigError: the scene does not say where its subject is.
        """
        if self.centre == "subject" and not isinstance(scene, Placed):
            raise ConfigError(f"{where}.centre: this kind of scene does not say where its subject is", "Choose world")

    @torch.no_grad()
    def placed(self, batch: ViewBatch, scene: object) -> ViewBatch:
        """The cameras about the subject where it is at their moments; at rest where no time passes."""
        if self.centre == "world":
            return batch
        assert isinstance(scene, Placed)
        stands = scene.placement(None if batch.times is None else batch.times.tolist())
        pose = batch.cameras.world_from_camera.clone()
        pose[:, :3, 3] *= stands.size.to(pose)[:, None]
        around = replace(batch.cameras, world_from_camera=pose)
        world = replace(around, world_from_camera=stands.world_from_subject.to(pose) @ pose)
        return replace(batch, cameras=world, around=around)

    def preview(self, frames: Frames | None) -> ViewBatch:
        """A three-quarter view, in the middle of a clip."""
        half = torch.full((1,), 0.5)
        fov = float(_between(self.fov, half, 0))
        distance = self._distance(half, fov, 0)
        cameras = orbit(torch.tensor([30.0]), torch.tensor([15.0]), distance, fov, self.size, self.size)
        if not self.frames and not self.moment:
            return ViewBatch(cameras, None, self.backgrounds(0, 0)[:1])
        return ViewBatch(cameras, half, self.backgrounds(0, 0)[:1], moments=torch.zeros(1, dtype=torch.int64))

    def finest_pixel(self, frames: Frames | None, step: int) -> float:
        """From the nearest and narrowest cameras, at the end.

        Raises:
            ConfigError: a path leads through the subject.
        """
        nearest = torch.zeros(1)
        fov = float(_between(self.fov, nearest, LAST_STEP))
        distance = self._distance(nearest, fov, LAST_STEP)
        if self.path is not None:
            distance = distance + self._metres(torch.tensor([min(self.path.radius[0], 0.0)]), fov)
            if not float(distance) > 0:
                raise ConfigError("a camera's path leads through the subject", "Raise path.radius, or radius")
        if self.centre == "subject":
            return math.inf
        return float(pixel_sizes(orbit(nearest, nearest, distance, fov, self.size, self.size)))


@dataclass(frozen=True)
class _Place:
    """From where rings of cameras look.

    Args:
        azimuth: (N,) degrees, of the first of each ring.
        elevation: (N,) degrees.
        radius: (N,) metres.
    """

    azimuth: Tensor
    elevation: Tensor
    radius: Tensor

    def where(self, is_other: Tensor, azimuth: Tensor, elevation: Tensor) -> _Place:
        """Some of them on other directions, at the same distance."""
        return _Place(
            torch.where(is_other, azimuth, self.azimuth), torch.where(is_other, elevation, self.elevation), self.radius
        )

    def moved(self, turn: Tensor, rise: Tensor, away: Tensor) -> _Place:
        """N F places, those of each ring's F frames one after the other, by changes (N, F)."""
        return _Place(
            (self.azimuth[:, None] + turn).flatten(),
            (self.elevation[:, None] + rise).flatten(),
            (self.radius[:, None] + away).flatten(),
        )

    def ring(self, views: int, fov: float, size: int) -> Cameras:
        """N V cameras, ring by ring."""
        azimuth = self.azimuth[:, None] + torch.arange(views) * (360 / views)
        elevation, radius = self.elevation.repeat_interleave(views), self.radius.repeat_interleave(views)
        return orbit(azimuth.flatten(), elevation, radius, fov, size, size)


def _between(interval: Interval | Number, share: Tensor, step: int) -> Tensor:
    if isinstance(interval, tuple):
        low, high = interval
        return low + (high - low) * share
    return torch.full_like(share, value_at(interval, step))
