"""The second of the four nouns: view sets say from where a scene is looked at, and what was seen from there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from a4d.config import Config, Number, Schedule, Spec, parse, unknown_key, value_at
from a4d.errors import ConfigError, MissingInputError
from a4d.frame_order import FrameOrder
from a4d.geometry.cameras import Cameras, orbit
from a4d.randomness import generator
from a4d.render.footprint import pixel_sizes
from a4d.render.render import Shading

Background = Literal["black", "white", "grey", "random"]
Interval = tuple[float, float]

SIZE_STEP = 32
"""Pixels by which a size that changes over the steps grows."""

LAST_STEP = 2**62
"""A step after all schedules."""


@dataclass(frozen=True)
class Frames:
    """The observed images of a workspace, of one size per frame.

    Args:
        rgba: F images, each (H, W, 4) sRGB in [0, 1] with straight alpha.
        cameras: F single cameras, one per image.
        times: (F,) seconds in [0, 1] of the clip, or None for a static capture.
        names: F image names, for messages.
        splits: F of `train`, `test` or `proxy`.
    """

    rgba: list[Tensor]
    cameras: list[Cameras]
    times: Tensor | None
    names: list[str]
    splits: list[str]
    _reduced: dict[tuple[int, int], tuple[Tensor, Cameras]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.rgba)

    def extended(self, other: Frames) -> Frames:
        """These frames followed by others of the same kind."""
        times = None if self.times is None or other.times is None else torch.cat([self.times, other.times])
        return Frames(
            self.rgba + other.rgba, self.cameras + other.cameras, times, self.names + other.names,
            self.splits + other.splits,
        )  # fmt: skip

    def reduced(self, index: int, size: int | None) -> tuple[Tensor, Cameras]:
        """A frame and its camera with `size` pixels along the longer side, or as they are if that is not less."""
        if size is None or size >= max(self.cameras[index].width, self.cameras[index].height):
            return self.rgba[index], self.cameras[index]
        if (index, size) not in self._reduced:
            self._reduced[index, size] = _resized(self.rgba[index], self.cameras[index], size)
        return self._reduced[index, size]

    def only(self, index: int) -> Frames:
        """One of these frames, as one to train on."""
        times = None if self.times is None else self.times[index : index + 1]
        return Frames([self.rgba[index]], [self.cameras[index]], times, [self.names[index]], ["train"])

    def at(self, time: float) -> Frames:
        """The frames of one moment of the clip, as a static capture."""
        assert self.times is not None
        indices = (self.times == time).nonzero()[:, 0].tolist()
        return Frames(
            [self.rgba[i] for i in indices], [self.cameras[i] for i in indices], None,
            [self.names[i] for i in indices], [self.splits[i] for i in indices],
        )  # fmt: skip

    def select(self, split: str) -> list[int]:
        """Indices of the frames of a split; `all` is every observed frame, which leaves out proxies."""
        return [i for i, name in enumerate(self.splits) if name == split or (split == "all" and name != "proxy")]


@dataclass(frozen=True)
class ViewBatch:
    """What one sample of a view set asks to be rendered.

    Args:
        cameras: B cameras.
        times: (B,) in [0, 1], or None.
        background: (B, 3) sRGB.
        rgba: (B, H, W, 4) what was observed, straight alpha, or None where nothing was.
    """

    cameras: Cameras
    times: Tensor | None
    background: Tensor
    rgba: Tensor | None = None

    @property
    def rgb(self) -> Tensor:
        """(B, H, W, 3) the observation over the background."""
        assert self.rgba is not None
        alpha = self.rgba[..., 3:]
        return self.rgba[..., :3] * alpha + self.background[:, None, None] * (1 - alpha)

    def to(self, device: torch.device | str) -> ViewBatch:
        """The same batch on another device."""
        return ViewBatch(
            self.cameras.to(device),
            None if self.times is None else self.times.to(device),
            self.background.to(device),
            None if self.rgba is None else self.rgba.to(device),
        )


class Views(Config, ABC):
    """Base of all view sets: a batch of cameras, times and backgrounds per step."""

    reads_frames: ClassVar[bool] = False
    """Whether what is sampled depends on the workspace's images."""

    kind: str
    batch: int = Field(default=1, ge=1, le=4096)
    background: Background = "black"
    shading: Shading | dict[Shading, Number] | None = Field(
        default=None, description="how the scene is shown: one way, or the chances of several; null is the scene's own"
    )
    reaches: list[str] | None = Field(
        default=None, description="groups of the scene that gradients of its renders reach; null is all with a rate"
    )

    @abstractmethod
    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """The views of one step, a function of the step and the seed alone."""

    @abstractmethod
    def preview(self, frames: Frames | None) -> ViewBatch:
        """The one view that shows progress best."""

    @abstractmethod
    def finest_pixel(self, frames: Frames | None) -> float:
        """Metres that the smallest pixel is wide at the subject; see `a4d.render.footprint.pixel_sizes`."""

    @property
    def shadings(self) -> tuple[Shading, ...]:
        """All shadings that may be drawn."""
        if self.shading is None:
            return ()
        return tuple(self.shading) if isinstance(self.shading, dict) else (self.shading,)

    @property
    def only_shading(self) -> Shading | None:
        """The shading of all steps, or None where it is the scene's own or a matter of chance."""
        return None if isinstance(self.shading, dict) else self.shading

    def drawn_shading(self, step: int, seed: int) -> Shading | None:
        """How the scene is shown in one step; chances are relative to their sum.

        Raises:
            ConfigError: no shading has a chance at this step.
        """
        if not isinstance(self.shading, dict):
            return self.shading
        names = list(self.shading)
        chances = torch.tensor([max(value_at(chance, step), 0.0) for chance in self.shading.values()])
        if not float(chances.sum()) > 0:
            raise ConfigError(f"no shading has a chance at step {step}", "Give at least one of them a positive one")
        return names[int(torch.multinomial(chances, 1, generator=generator(seed, "shading", step)))]

    def backgrounds(self, step: int, seed: int) -> Tensor:
        """(B, 3) sRGB backgrounds of one step."""
        if self.background == "random":
            return torch.rand(self.batch, 3, generator=generator(seed, "background", step))
        level = {"black": 0.0, "white": 1.0, "grey": 0.5}[self.background]
        return torch.full((self.batch, 3), level)


class ObservedViews(Views):
    """Frames of the workspace, every one once per epoch in an order that the seed decides."""

    reads_frames = True
    kind: Literal["observed"] = "observed"
    split: Literal["train", "test", "all", "proxy"] = "train"
    size: Number | None = Field(default=None, description="pixels of the longer side; None keeps the image's own")
    patch: int | None = Field(
        default=None, ge=8, le=8192, description="side of a square drawn anew each step; None: all"
    )
    run: int = Field(
        default=1, ge=1, le=4096, description="frames that follow each other and stay together: a ring or a clip"
    )

    @model_validator(mode="after")
    def _check_runs(self) -> ObservedViews:
        if self.batch % self.run:
            raise ValueError(f"batch {self.batch} is not a multiple of run {self.run}")
        return self

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """The next frames of the epoch's order, or the next runs of them; frames that make no whole run are left out.

        Frames of several sizes come in batches of one size each.

        Raises:
            MissingInputError: the split has no frames.
            ConfigError: it has fewer frames than a run.
        """
        frames, indices = self._frames(frames)
        sizes = [(frames.cameras[index].width, frames.cameras[index].height) for index in indices]
        chosen = FrameOrder(indices, sizes, self.run, self.split).batch(self.batch // self.run, step, seed)
        if not chosen:
            raise ConfigError(f"{len(indices)} frames of split '{self.split}' make no run of {self.run}")
        batch = self._batch(frames, chosen, self.backgrounds(step, seed), step)
        if self.patch is None:
            return batch
        return self._part(batch, self.patch, generator(seed, "patch", self.split, step))

    def _part(self, batch: ViewBatch, patch: int, draws: torch.Generator) -> ViewBatch:
        """A square part of all images, or all of a side that is shorter; every position is as likely as another."""
        assert batch.rgba is not None
        cameras = batch.cameras
        width, height = min(patch, cameras.width), min(patch, cameras.height)
        left = int(torch.randint(cameras.width - width + 1, (), generator=draws))
        top = int(torch.randint(cameras.height - height + 1, (), generator=draws))
        rgba = batch.rgba[:, top : top + height, left : left + width]
        return ViewBatch(cameras.cropped(left, top, width, height), batch.times, batch.background, rgba)

    def preview(self, frames: Frames | None) -> ViewBatch:
        """The first frame."""
        frames, indices = self._frames(frames)
        return self._batch(frames, indices[:1], self.backgrounds(0, 0)[:1])

    def finest_pixel(self, frames: Frames | None) -> float:
        """Of the frames of the split, at the last size."""
        frames, indices = self._frames(frames)
        cameras = [frames.cameras[index] for index in indices]
        sizes = [self._size(LAST_STEP) or max(camera.width, camera.height) for camera in cameras]
        return min(
            float(pixel_sizes(camera)) * max(1.0, max(camera.width, camera.height) / size)
            for camera, size in zip(cameras, sizes, strict=True)
        )

    def every_frame(self, frames: Frames | None) -> Iterator[ViewBatch]:
        """Each frame of the split once, alone, in the workspace's order."""
        frames, indices = self._frames(frames)
        for index in indices:
            yield self._batch(frames, [index], self.backgrounds(0, 0)[:1])

    def _frames(self, frames: Frames | None) -> tuple[Frames, list[int]]:
        indices = [] if frames is None else frames.select(self.split)
        if frames is None or not indices:
            raise MissingInputError(f"there are no frames of split '{self.split}'", "Run `a4d preprocess` on the input")
        return frames, indices

    def _size(self, step: int) -> int | None:
        """Pixels of the longer side at a step."""
        if self.size is None:
            return None
        size = value_at(self.size, step)
        # Few sizes, each of which is made once.
        return SIZE_STEP * max(1, round(size / SIZE_STEP)) if isinstance(self.size, Schedule) else round(size)

    def _batch(self, frames: Frames, indices: list[int], background: Tensor, step: int | None = None) -> ViewBatch:
        """Some frames at the size of a step, or at the last size."""
        size = self._size(LAST_STEP if step is None else step)
        parts = [frames.reduced(i, size) for i in indices]
        sizes = {tuple(rgba.shape) for rgba, _ in parts}
        if len(sizes) > 1:
            raise ConfigError("frames of different sizes cannot share a batch", "Set the view set's batch to 1")
        if len(parts) == 1:
            rgba, cameras = parts[0][0][None], parts[0][1]
        else:
            first = parts[0][1]
            rgba = torch.stack([part[0] for part in parts])
            cameras = Cameras(
                torch.cat([camera.world_from_camera for _, camera in parts]),
                torch.cat([camera.intrinsics for _, camera in parts]),
                first.width,
                first.height,
            )
        times = None if frames.times is None else frames.times[indices]
        return ViewBatch(cameras, times, background, rgba)


class MomentViews(ObservedViews):
    """Frames of a clip that was seen by several cameras: all that were taken at a few moments, more and more of them.

    The first moment is the scene at rest and never chosen. The schedules are those of Animate3D: `chosen: null` takes
    all moments that are unlocked, `chosen: 2` the newest of them and one more.
    """

    kind: Literal["moments"] = "moments"  # type: ignore[assignment]
    unlocked: Number = Field(default=1e9, description="moments after the first that take part; rounded down")
    chosen: int | None = Field(default=None, ge=1, description="moments per step; null is all that are unlocked")
    newest: bool = Field(default=True, description="the newest unlocked moment is chosen until all are unlocked")
    turn: int | None = Field(
        default=None, ge=1, description="steps in which each moment is the newest, the last one too; not as `unlocked`"
    )

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """All frames of the moments chosen by this step."""
        frames, indices = self._frames(frames)
        if frames.times is None:
            raise MissingInputError("the frames have no times", "Run `a4d preprocess` on an animated mesh or a video")
        moments = frames.times[indices].unique()[1:]
        unlocked = value_at(self.unlocked, step) if self.turn is None else 1 + step // self.turn
        count = max(1, min(int(unlocked), len(moments)))
        has_turn = unlocked <= len(moments) if self.turn is not None else count < len(moments)
        draws = generator(seed, "moments", self.split, step)
        if self.chosen is None or self.chosen >= count:
            chosen = torch.arange(count)
        elif self.newest and has_turn:
            earlier = torch.randperm(count - 1, generator=draws)[: self.chosen - 1]
            chosen = torch.cat([earlier, torch.tensor([count - 1])])
        else:
            chosen = torch.randperm(count, generator=draws)[: self.chosen]
        is_chosen = torch.isin(frames.times, moments[chosen])
        taken = [index for index in indices if is_chosen[index]]
        if self.background == "random":
            background = torch.rand(len(taken), 3, generator=generator(seed, "background", step))
        else:
            background = self.backgrounds(step, seed)[:1].expand(len(taken), 3)
        return self._batch(frames, taken, background, step)


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
    size: int = Field(default=128, ge=8, le=4096)
    stratified: bool = Field(default=False, description="one camera, or ring, per equal sector of azimuth")
    ring: int = Field(default=1, ge=1, le=4096, description="views evenly around the axis that share all but azimuth")
    frames: int | None = Field(
        default=None, ge=2, le=1024, description="moments that each camera sees, from 0 to 1 of the clip"
    )

    @model_validator(mode="after")
    def _check_rings(self) -> OrbitViews:
        if self.batch % self.ring:
            raise ValueError(f"batch {self.batch} is not a multiple of ring {self.ring}")
        return self

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """Uniform azimuth, elevation, radius and field of view; the field of view is shared by a batch."""
        count = self.batch // self.ring
        draw = torch.rand(4, count, generator=generator(seed, "orbit", step))
        share = (torch.arange(count) + draw[0]) / count if self.stratified else draw[0]
        fov = float(_between(self.fov, draw[1, :1], step))
        azimuth = _between(self.azimuth, share, step)[:, None] + torch.arange(self.ring) * (360 / self.ring)
        elevation, radius = _between(self.elevation, draw[2], step), self._distance(draw[3], fov, step)
        cameras = orbit(
            azimuth.flatten(), elevation.repeat_interleave(self.ring), radius.repeat_interleave(self.ring), fov,
            self.size, self.size,
        )  # fmt: skip
        return self._over_the_clip(ViewBatch(cameras, None, self.backgrounds(step, seed)))

    def _distance(self, share: Tensor, fov: float, step: int) -> Tensor:
        """Metres between cameras and the origin, at shares (B,) of the interval."""
        radius = _between(self.radius, share, step)
        return radius / math.tan(math.radians(fov) / 2) if self.relative else radius

    def _over_the_clip(self, batch: ViewBatch) -> ViewBatch:
        """Every view of a batch at every moment, from the same place and over the same background."""
        if self.frames is None:
            return batch
        each = torch.arange(len(batch.cameras)).repeat_interleave(self.frames)
        times = torch.linspace(0, 1, self.frames).repeat(len(batch.cameras))
        return ViewBatch(batch.cameras[each], times, batch.background[each])

    def preview(self, frames: Frames | None) -> ViewBatch:
        """A three-quarter view, in the middle of a clip."""
        half = torch.full((1,), 0.5)
        fov = float(_between(self.fov, half, 0))
        distance = self._distance(half, fov, 0)
        cameras = orbit(torch.tensor([30.0]), torch.tensor([15.0]), distance, fov, self.size, self.size)
        return ViewBatch(cameras, half if self.frames else None, self.backgrounds(0, 0)[:1])

    def finest_pixel(self, frames: Frames | None) -> float:
        """From the nearest and narrowest cameras, at the end."""
        nearest = torch.zeros(1)
        fov = float(_between(self.fov, nearest, LAST_STEP))
        distance = self._distance(nearest, fov, LAST_STEP)
        return float(pixel_sizes(orbit(nearest, nearest, distance, fov, self.size, self.size)))


KINDS: dict[str, type[Views]] = {"moments": MomentViews, "observed": ObservedViews, "orbit": OrbitViews}


def build_views(specs: Mapping[str, Spec]) -> dict[str, Views]:
    """View sets from their configurations, by name.

    Raises:
        ConfigError: an unknown kind or key.
    """
    views = {}
    for name, spec in specs.items():
        kind = str(spec.get("kind"))
        if kind not in KINDS:
            raise unknown_key(f"views.{name}.kind: {kind}", kind, KINDS)
        views[name] = parse(KINDS[kind], spec, f"views.{name}")
    return views


def _between(interval: Interval | Number, share: Tensor, step: int) -> Tensor:
    if isinstance(interval, tuple):
        low, high = interval
        return low + (high - low) * share
    return torch.full_like(share, value_at(interval, step))


def _resized(rgba: Tensor, camera: Cameras, size: int) -> tuple[Tensor, Cameras]:
    """An image and its camera at a smaller size; resampled with premultiplied colours, so that edges stay clean."""
    longer = max(camera.width, camera.height)
    width, height = max(1, round(camera.width * size / longer)), max(1, round(camera.height * size / longer))
    premultiplied = torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], dim=-1).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(premultiplied, (height, width), mode="area")[0].permute(1, 2, 0)
    alpha = small[..., 3:]
    return torch.cat([small[..., :3] / alpha.clamp_min(1e-6), alpha], dim=-1), camera.resized(width, height)
