"""What was observed: the images of a workspace, further channels of them, their cameras and their moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from a4d.errors import MissingInputError
from a4d.geometry.cameras import Cameras
from a4d.io.frame_channels import option_for
from a4d.pixels import SOLID
from a4d.scenes.protocols import Lensed
from a4d.views.recent import Chosen, Recent

FLOW, TRACKS, FEATURES = "flow_", "tracks", "features_"
"""How the names of channels begin whose values are not just those of a pixel."""


OBSERVED = ("train", "test")
"""Splits of frames that show the subject itself."""


@dataclass(frozen=True)
class Frames:
    """The observed images of a workspace, of one size per frame; files are read when they are asked for.

    Args:
        rgba: F images, each (H, W, 4) sRGB in [0, 1] with straight alpha.
        cameras: F single cameras, one per image.
        times: (F,) seconds in [0, 1] of the clip, or None for a static capture.
        names: F image names, for messages.
        splits: F of `train`, `test`, `unseen` (frames that do not show the subject) or `proxy`.
        channels: by name, F of (h, w, C) each, or for `tracks` (N, 3); see `channel`.
        recent: what was made of them last.
    """

    rgba: Sequence[Tensor]
    cameras: list[Cameras]
    times: Tensor | None
    names: list[str]
    splits: list[str]
    channels: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent, compare=False)

    def __len__(self) -> int:
        return len(self.rgba)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        if self.times is None:
            raise MissingInputError("the frames have no times", "Run `a4d preprocess` on an animated mesh or a video")
        values, index = torch.unique(self.times, return_inverse=True)
        return values, index

    @property
    def moments(self) -> Tensor:
        """(M,) the times at which there are frames, ascending.

        Raises:
            MissingInputError: the frames have no times.
        """
        return self._moments[0]

    @property
    def moment_of(self) -> Tensor:
        """(F,) int64, which of the moments each frame was taken at.

        Raises:
            MissingInputError: the frames have no times.
        """
        return self._moments[1]

    def showing(self) -> list[int]:
        """Indices of those to train on in which there is anything of the subject."""
        return [index for index in self.select("train") if bool((self.rgba[index][..., 3] > SOLID).any())]

    def seen_by(self, scene: object) -> Frames:
        """These frames with the cameras that a scene has learnt of them, where it learns any."""
        if not isinstance(scene, Lensed):
            return self
        times = [None] * len(self) if self.times is None else [[time] for time in self.times.tolist()]
        with torch.no_grad():
            cameras = [
                scene.seen_from(camera, moment).to(camera.intrinsics.device)
                for camera, moment in zip(self.cameras, times, strict=True)
            ]
        return replace(self, cameras=cameras)

    def extended(self, other: Frames) -> Frames:
        """These frames followed by others of the same kind, of which channels are left out."""
        times = None if self.times is None or other.times is None else torch.cat([self.times, other.times])
        rgba = Chosen((each.rgba, index) for each in (self, other) for index in range(len(each)))
        return Frames(
            rgba, self.cameras + other.cameras, times, self.names + other.names, self.splits + other.splits
        )  # fmt: skip

    def subset(self, indices: Sequence[int]) -> Frames:
        """Some of these frames."""
        return Frames(
            Chosen((self.rgba, index) for index in indices),
            [self.cameras[index] for index in indices],
            None if self.times is None else self.times[list(indices)],
            [self.names[index] for index in indices],
            [self.splits[index] for index in indices],
            {name: Chosen((each, index) for index in indices) for name, each in self.channels.items()},
        )

    def only(self, index: int) -> Frames:
        """One of these frames, as one to train on."""
        one = self.subset([index])
        return Frames(one.rgba, one.cameras, one.times, one.names, ["train"], one.channels)

    def at(self, moment: int) -> Frames:
        """The frames of one moment, by its place among all of them, as a static capture.

        Raises:
            MissingInputError: the frames have no times.
        """
        part = self.subset((self.moment_of == moment).nonzero()[:, 0].tolist())
        return Frames(part.rgba, part.cameras, None, part.names, part.splits, part.channels)

    def reduced(self, index: int, size: int | None) -> tuple[Tensor, Cameras]:
        """A frame and its camera with `size` pixels along the longer side, or as they are if that is not less."""
        camera = self._camera(index, size)
        if camera is self.cameras[index]:
            return self.rgba[index], camera
        return self.recent.get(("reduced", index, size), lambda: _shrunk(self.rgba[index], camera)), camera

    def channel(self, name: str, index: int, size: int | None = None) -> Tensor:
        """A channel of a frame, as wide and high as the image that `reduced` gives.

        Features are interpolated; of everything else the nearest value stands, for one between two is none.

        Returns:
            (H, W, C). `depth`: 1, larger where farther, in metres or relative, as the workspace holds it; `normal`: 3,
            world; `visibility`: 1, in [0, 1]; `flow_forward_N` and `flow_backward_N`: 3, pixels right and down to where
            the point is N moments later or earlier, and 1 where that is known; `features_NAME`: as many as they are.
            `tracks`: (N, 3), pixels of each followed point, and 1 where it is seen.

        Raises:
            MissingInputError: the frames have no such channel, or not of this frame.
        """
        values, camera = self.require_channel(name)[index].float(), self._camera(index, size)
        shrink = values.new_tensor(
            [camera.width / self.cameras[index].width, camera.height / self.cameras[index].height]
        )
        if name == TRACKS or name.startswith(FLOW):
            values = torch.cat([values[..., :2] * shrink, values[..., 2:]], dim=-1)
        if name == TRACKS or values.shape[:2] == (camera.height, camera.width):
            return values
        mode = "bilinear" if name.startswith(FEATURES) else "nearest-exact"
        resized = interpolate(values.permute(2, 0, 1)[None], (camera.height, camera.width), mode=mode)
        return resized[0].permute(1, 2, 0)

    def require_channel(self, name: str) -> Sequence[Tensor]:
        """A channel of all frames, of which nothing is read yet.

        Raises:
            MissingInputError: there is no such channel.
        """
        if name not in self.channels:
            known = f", but {', '.join(self.channels)}" if self.channels else ""
            raise MissingInputError(f"the workspace's frames have no channel '{name}'{known}", option_for(name))
        return self.channels[name]

    def select(self, split: str) -> list[int]:
        """Indices of the frames of a split; `all` is every frame that shows the subject and was observed."""
        return [i for i, name in enumerate(self.splits) if name == split or (split == "all" and name in OBSERVED)]

    def _camera(self, index: int, size: int | None) -> Cameras:
        camera = self.cameras[index]
        longer = max(camera.width, camera.height)
        if size is None or size >= longer:
            return camera
        return camera.resized(max(1, round(camera.width * size / longer)), max(1, round(camera.height * size / longer)))


def _shrunk(rgba: Tensor, camera: Cameras) -> Tensor:
    """An image (H, W, 4) as a smaller camera takes it; with premultiplied colours, so that edges stay clean."""
    premultiplied = torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], dim=-1).permute(2, 0, 1)[None]
    small = interpolate(premultiplied, (camera.height, camera.width), mode="area")[0].permute(1, 2, 0)
    alpha = small[..., 3:]
    return torch.cat([small[..., :3] / alpha.clamp_min(1e-6), alpha], dim=-1)
