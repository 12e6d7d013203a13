"""View sets of what was observed: frames of the workspace, pairs of them, and parts and pixels of their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from a4d.config import Config, Number, Schedule, largest_value, value_at, within
from a4d.errors import ConfigError, MissingInputError
from a4d.geometry.cameras import Cameras, concatenate
from a4d.randomness import generator
from a4d.render.footprint import pixel_sizes
from a4d.scenes.protocols import Lensed
from a4d.views.batch import ViewBatch
from a4d.views.frame_order import FrameOrder
from a4d.views.frames import Frames
from a4d.views.view_set import LAST_STEP, Views

SIZE_STEP = 32
"""Pixels by which a size that changes over the steps grows."""

LEAST_REDUCED = 256
"""Pixels of the longer side below which an image is not reduced."""

LEAST_SHARE = 0.02
"""Of a cycle, so that there is a frame at least wherever the pose was taken from one."""

PARTNER_FLOW = "flow"
"""The channel of a view set of pairs that leads from each frame to the other of its pair."""


class Pairs(Config):
    """Two frames of one camera, some moments apart; a batch holds both, one after the other."""

    strides: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        min_length=1, max_length=64, description="moments between the two, one drawn per step"
    )


class Around(Config):
    """A pose of a motion that repeats, of which frames are shown that are not too far from it."""

    share: Number = Field(default=1.0, description="of the cycle around the pose; a schedule lets it grow")
    time: float | None = Field(default=None, ge=0, le=1, description="of the pose; the stage's if not given")
    cycles: float | None = Field(default=None, gt=0, description="in the clip; the stage's if not given")

    def chosen(self, times: Tensor, step: int) -> Tensor:
        """(F,) which frames at times (F,) in [0, 1] a step shows; all where the pose or the cycles are not known."""
        if self.time is None or self.cycles is None:
            return torch.ones(len(times), dtype=torch.bool)
        apart = (times - self.time) * self.cycles
        return 2 * (apart - apart.round()).abs() <= max(value_at(self.share, step), LEAST_SHARE)


class ObservedViews(Views):
    """Frames of the workspace, every one once per epoch in an order that the seed decides."""

    kind: Literal["observed"] = "observed"
    split: Literal["train", "test", "all", "proxy"] = "train"
    size: Number | None = Field(default=None, description="pixels of the longer side; None keeps the image's own")
    reduce: Annotated[Number, AfterValidator(within(1, 1024))] = Field(
        default=1.0,
        description="times as wide as an image's pixels, or those of `size`, that those are which are seen, down to "
        f"{LEAST_REDUCED} along the longer side",
    )
    patch: int | None = Field(
        default=None, ge=8, le=8192, description="side of a square drawn anew each step; None: all"
    )
    pixels: int | None = Field(
        default=None, ge=1, le=1_000_000, description="of each image, drawn anew each step; None: all"
    )
    run: int = Field(
        default=1, ge=1, le=4096, description="frames that follow each other and stay together: a ring or a clip"
    )
    pairs: Pairs | None = Field(default=None, description="frames of one camera some moments apart; not with `run`")
    around: Around | None = Field(default=None, description="only frames near to a pose, of a motion that repeats")
    channels: list[str] = Field(
        default=[],
        description="what a batch holds beside the colours: depth, normal, visibility, tracks, flow_forward_N, "
        "flow_backward_N, features_NAME; of pairs also flow, from each frame to the other",
    )

    @model_validator(mode="after")
    def _check_runs(self) -> ObservedViews:
        if self.batch % self.run:
            raise ValueError(f"batch {self.batch} is not a multiple of run {self.run}")
        if self.pairs is not None and (self.batch % 2 or self.run > 1):
            raise ValueError("pairs need an even batch and no run")
        if self.around is not None and (self.pairs is not None or self.run > 1):
            raise ValueError("frames around a pose are neither pairs nor runs")
        if self.patch is not None and self.pixels is not None:
            raise ValueError("patch and pixels are two ways to see a part of an image; give one")
        if PARTNER_FLOW in self.channels and self.pairs is None:
            raise ValueError("the channel flow leads to the other frame of a pair; name flow_forward_N, or give pairs")
        return self

    @property
    def reads_frames(self) -> bool:
        """Always: they are what it samples."""
        return True

    @property
    def is_observed(self) -> bool:
        """Always."""
        return True

    @property
    def channels_read(self) -> Sequence[str]:
        """Those that the configuration names."""
        return self.channels

    def observing(self, channels: Sequence[str]) -> ObservedViews:
        """The same view set with further channels of the frames in its batches."""
        wanted = list(dict.fromkeys([*self.channels, *channels]))
        return self.model_copy(update={"channels": wanted})

    def require_channels(self, frames: Frames | None) -> None:
        """Check that the frames have what this set is to carry.

        Raises:
            MissingInputError: a channel is missing; a flow to the partners where it is there in neither direction.
        """
        frames, _ = self._frames(frames)
        for name in self.channels:
            if name != PARTNER_FLOW:
                frames.require_channel(name)
                continue
            for stride in self.pairs.strides if self.pairs is not None else ():
                if f"flow_backward_{stride}" not in frames.channels:
                    frames.require_channel(f"flow_forward_{stride}")

    def sample(self, step: int, seed: int, frames: Frames | None) -> ViewBatch:
        """The next frames of the epoch's order, or the next runs of them; frames that make no whole run are left out.

        Frames of several sizes come in batches of one size each.

        Raises:
            MissingInputError: the split has no frames, or a channel is missing.
            ConfigError: it has fewer frames than a run, or none that are a stride apart.
        """
        frames, indices = self._frames(frames)
        if self.around is not None and frames.times is not None:
            is_chosen = self.around.chosen(frames.times, step)
            indices = [index for index in indices if is_chosen[index]]
        if self.pairs is None:
            sizes = [_size(frames, index) for index in indices]
            chosen = FrameOrder(indices, sizes, self.run, self.split).batch(self.batch // self.run, step, seed)
            if not chosen:
                raise ConfigError(f"{len(indices)} frames of split '{self.split}' make no run of {self.run}")
            flows: list[str] = []
        else:
            chosen, flows = self._pairs(frames, indices, step, seed)
        whole = self._batch(frames, chosen, self.backgrounds(step, seed), step, flows)
        return self._part(self.jittered(whole, seed, self.split, step), step, seed)

    def placed(self, batch: ViewBatch, scene: object) -> ViewBatch:
        """The cameras that the scene has learnt, where it learns any."""
        if not isinstance(scene, Lensed):
            return batch
        times = None if batch.times is None else batch.times.tolist()
        return replace(batch, cameras=scene.seen_from(batch.cameras, times))

    def _pairs(self, frames: Frames, indices: list[int], step: int, seed: int) -> tuple[list[int], list[str]]:
        """Both frames of each pair of a step, and the flow that leads from each to the other."""
        assert self.pairs is not None
        partners = {stride: _partners(frames, indices, stride) for stride in self.pairs.strides}
        able = [stride for stride in self.pairs.strides if partners[stride]]
        if not able:
            raise ConfigError(f"no two frames of split '{self.split}' are {self.pairs.strides} moments apart")
        stride = able[int(torch.randint(len(able), (), generator=generator(seed, "stride", self.split, step)))]
        starts = list(partners[stride])
        sizes = [_size(frames, index) for index in starts]
        first = FrameOrder(starts, sizes, 1, f"{self.split}/pairs").batch(self.batch // 2, step, seed)
        both = [frame for start in first for frame in (start, partners[stride][start])]
        return both, [f"flow_forward_{stride}", f"flow_backward_{stride}"] * len(first)

    def _part(self, batch: ViewBatch, step: int, seed: int) -> ViewBatch:
        """A square part of all images, or all of a side that is shorter, or pixels of each; all are equally likely."""
        cameras = batch.cameras
        if self.pixels is not None:
            draws = generator(seed, "pixels", self.split, step)
            place = torch.randint(cameras.width * cameras.height, (len(cameras), self.pixels), generator=draws)
            return batch.at(torch.stack([place % cameras.width, place // cameras.width], dim=-1))
        if self.patch is None:
            return batch
        draws = generator(seed, "patch", self.split, step)
        width, height = min(self.patch, cameras.width), min(self.patch, cameras.height)
        left = int(torch.randint(cameras.width - width + 1, (), generator=draws))
        top = int(torch.randint(cameras.height - height + 1, (), generator=draws))
        return batch.cropped(left, top, width, height)

    def preview(self, frames: Frames | None) -> ViewBatch:
        """The first frame."""
        frames, indices = self._frames(frames)
        return self._batch(frames, indices[:1], self.backgrounds(0, 0)[:1])

    def finest_pixel(self, frames: Frames | None, step: int) -> float:
        """Of the frames of the split, at the last size, or as far as they are reduced at a step."""
        frames, indices = self._frames(frames)
        cameras = [frames.cameras[index] for index in indices]
        whole = self._whole_size(LAST_STEP)
        sizes = [self._size(camera, whole, step) or max(camera.width, camera.height) for camera in cameras]
        return min(
            float(pixel_sizes(camera)) * max(1.0, max(camera.width, camera.height) / size)
            for camera, size in zip(cameras, sizes, strict=True)
        )

    def refines(self, step: int) -> bool:
        """Where images are reduced less than in the step before."""
        return value_at(self.reduce, step) < value_at(self.reduce, max(step - 1, 0))

    def pixels_per_step(self, frames: Frames | None) -> int:
        """Those of as many of the smallest frames, in the step that sees them largest."""
        if frames is None:
            return 0
        cameras = [frames.cameras[index] for index in frames.select(self.split)]
        pixels = min((camera.width * camera.height for camera in cameras), default=0)
        if self.size is not None:
            longest = max((max(camera.width, camera.height) for camera in cameras), default=1)
            pixels = int(pixels * min(self._whole(largest_value(self.size)) / longest, 1) ** 2)
        return self.batch * min(pixels, pixels if self.patch is None else self.patch**2)

    def every_frame(self, frames: Frames | None) -> Iterator[ViewBatch]:
        """Each frame of the split once, alone, in the workspace's order.

        Raises:
            MissingInputError: the split has no frames.
        """
        frames, indices = self._frames(frames)
        for index in indices:
            yield self._batch(frames, [index], self.backgrounds(0, 0)[:1])

    def _frames(self, frames: Frames | None) -> tuple[Frames, list[int]]:
        indices = [] if frames is None else frames.select(self.split)
        if frames is None or not indices:
            raise MissingInputError(f"there are no frames of split '{self.split}'", "Run `a4d preprocess` on the input")
        return frames, indices

    def _size(self, camera: Cameras, whole: int | None, step: int) -> int | None:
        """Pixels of the longer side of what a camera shows at a step, `whole` of which are reduced; None is its own."""
        times, longer = value_at(self.reduce, step), max(camera.width, camera.height)
        if times == 1:
            return whole
        own = longer if whole is None else min(whole, longer)
        return max(_stepped(own / times), min(own, LEAST_REDUCED))

    def _whole_size(self, step: int) -> int | None:
        """Pixels of the longer side of what is not reduced; None keeps an image's own."""
        return None if self.size is None else self._whole(value_at(self.size, step))

    def _whole(self, size: float) -> int:
        """A value of `size` in whole pixels."""
        return _stepped(size) if isinstance(self.size, Schedule) else round(size)

    def _batch(
        self,
        frames: Frames,
        indices: list[int],
        background: Tensor,
        step: int | None = None,
        flows: Sequence[str] = (),
    ) -> ViewBatch:
        """Some frames at the size of a step, or at the last size; channels where they belong to a step."""
        seen = LAST_STEP if step is None else step
        sizes = [self._size(frames.cameras[i], self._whole_size(seen), seen) for i in indices]
        parts = [frames.reduced(i, size) for i, size in zip(indices, sizes, strict=True)]
        if len({tuple(rgba.shape) for rgba, _ in parts}) > 1:
            raise ConfigError("frames of different sizes cannot share a batch", "Set the view set's batch to 1")
        channels = {} if step is None else {
            name: _stacked(_channels(frames, name, indices, flows, sizes[0])) for name in self.channels
        }  # fmt: skip
        is_timed = frames.times is not None
        return ViewBatch(
            concatenate([camera for _, camera in parts]),
            frames.times[indices] if frames.times is not None else None,
            background,
            _stacked([rgba for rgba, _ in parts]),
            frames.moment_of[indices] if is_timed else None,
            torch.tensor(indices),
            channels,
            clip=self.run if is_timed and self.run > 1 else None,
        )


def _stepped(size: float) -> int:
    """Few sizes, each of which is made once."""
    return SIZE_STEP * max(1, round(size / SIZE_STEP))


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """Images (H, W, C) as (B, H, W, C); a single one, which may be large, is not copied."""
    return images[0][None] if len(images) == 1 else torch.stack(list(images))


def _channels(frames: Frames, name: str, indices: list[int], flows: Sequence[str], size: int | None) -> list[Tensor]:
    """A channel of some frames, or the flow of each to its partner; one that is not there is known nowhere."""
    if name != PARTNER_FLOW:
        return [frames.channel(name, index, size) for index in indices]
    found = [
        frames.channel(flow, index, size) if flow in frames.channels else None
        for index, flow in zip(indices, flows, strict=True)
    ]
    known = [values for values in found if values is not None]
    if not known:
        raise MissingInputError(f"the frames have no channel '{flows[0]}' nor '{flows[1]}'", "Leave out that stride")
    return [torch.zeros_like(known[0]) if values is None else values for values in found]


def _partners(frames: Frames, indices: list[int], stride: int) -> dict[int, int]:
    """Of the frames of a split that have one, the frame of the same camera so many moments later.

    Cameras come in the same order at every moment; see the order of frames in the workspace's format.
    """
    at: dict[int, list[int]] = {}
    for index in indices:
        at.setdefault(int(frames.moment_of[index]), []).append(index)
    return {
        index: at[moment + stride][rank]
        for moment, here in sorted(at.items())
        for rank, index in enumerate(here)
        if rank < len(at.get(moment + stride, ()))
    }


def _size(frames: Frames, index: int) -> tuple[int, int]:
    return frames.cameras[index].width, frames.cameras[index].height
