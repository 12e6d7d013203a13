"""What one sample of a view set asks to be rendered, and what was observed of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras


@dataclass(frozen=True)
class ViewBatch:
    """B views of one step, of one image size.

    Args:
        cameras: B cameras.
        times: (B,) in [0, 1], or None.
        background: (B, 3) sRGB.
        rgba: (B, H, W, 4) what was observed, straight alpha, or None where nothing was; (B, 1, K, 4) where `pixels`
            alone are looked at.
        moments: (B,) int64, the same for views of the same moment and larger for later ones, or None without times.
        frames: (B,) int64, which of the workspace's frames each view is, or None where it is none.
        channels: by name, (B, H, W, C) or (B, 1, K, C) likewise, and for `tracks` (B, N, 3); see `Frames.channel`.
        pixels: (B, K, 2) int64 column and row of the only pixels that count, or None where all do.
        clip: views that follow each other and make a clip, or None where the moments alone tell.
        around: the cameras as they stand around a subject that moves, or None where it stays at the world's origin.
    """

    cameras: Cameras
    times: Tensor | None
    background: Tensor
    rgba: Tensor | None = None
    moments: Tensor | None = None
    frames: Tensor | None = None
    channels: Mapping[str, Tensor] = field(default_factory=dict)
    pixels: Tensor | None = None
    clip: int | None = None
    around: Cameras | None = None

    def __getitem__(self, rows: Tensor) -> ViewBatch:
        """Some of the views, by their indices (R,)."""
        parts = {
            name: None if (value := getattr(self, name)) is None else value[rows.to(value.device)]
            for name in ("times", "rgba", "moments", "frames", "pixels")
        }
        rows = rows.to(self.background.device)
        channels = {name: values[rows] for name, values in self.channels.items()}
        around = None if self.around is None else self.around[rows]
        return ViewBatch(
            self.cameras[rows], background=self.background[rows], channels=channels, around=around, **parts
        )

    @property
    def cameras_around_subject(self) -> Cameras:
        """B cameras in the frame of the subject: those that a prior is told of."""
        return self.cameras if self.around is None else self.around

    @property
    def rgb(self) -> Tensor:
        """(B, H, W, 3) the observation over the background."""
        assert self.rgba is not None
        return self.rgba[..., :3] * self.alpha + self.background[:, None, None] * (1 - self.alpha)

    @property
    def alpha(self) -> Tensor:
        """(B, H, W, 1) how much of the observation is opaque."""
        assert self.rgba is not None
        return self.rgba[..., 3:]

    @property
    def distinct_times(self) -> Tensor:
        """(M,) in [0, 1], of each moment that is seen, in their order.

        Raises:
            ValueError: the views are of no moments.
        """
        if self.times is None or self.moments is None:
            raise ValueError("views without moments have no times")
        index = self.moments.unique(return_inverse=True)[1]
        times = self.times.new_zeros(int(index.max()) + 1)
        return times.scatter(0, index, self.times)

    @property
    def places(self) -> Tensor | None:
        """(B,) int64, each view's place in its clip, from 0; None where no time passes."""
        if self.clip is not None:
            return torch.arange(len(self.cameras)) % self.clip
        return None if self.moments is None else self.moments.unique(return_inverse=True)[1].cpu()

    def cropped(self, left: int, top: int, width: int, height: int) -> ViewBatch:
        """The same rectangle of all images."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        offset = torch.tensor([left, top, 0.0])
        channels = {
            name: values[:, rows, columns] if values.ndim == 4 else values - offset.to(values)
            for name, values in self.channels.items()
        }
        rgba = None if self.rgba is None else self.rgba[:, rows, columns]
        cameras, around = (
            None if each is None else each.cropped(left, top, width, height) for each in (self.cameras, self.around)
        )
        assert cameras is not None
        return replace(self, cameras=cameras, around=around, rgba=rgba, channels=channels)

    def at(self, pixels: Tensor) -> ViewBatch:
        """The same views, of which some pixels (B, K, 2), columns and rows, alone count."""
        channels = {
            name: picked(values, pixels) if values.ndim == 4 else values for name, values in self.channels.items()
        }
        return replace(
            self, rgba=None if self.rgba is None else picked(self.rgba, pixels), channels=channels, pixels=pixels
        )

    def to(self, device: torch.device | str) -> ViewBatch:
        """The same batch on another device."""
        moved = {
            name: None if (value := getattr(self, name)) is None else value.to(device)
            for name in ("times", "rgba", "moments", "frames", "pixels")
        }
        return ViewBatch(
            self.cameras.to(device),
            background=self.background.to(device),
            channels={name: values.to(device) for name, values in self.channels.items()},
            clip=self.clip,
            around=None if self.around is None else self.around.to(device),
            **moved,
        )


def picked(
    images: Tensor,  # (B, H, W, C)
    pixels: Tensor,  # (B, K, 2) int64 column and row
) -> Tensor:
    """(B, 1, K, C) some pixels of each image, side by side."""
    each = torch.arange(len(images), device=images.device)[:, None]
    return images[each, pixels[..., 1], pixels[..., 0]][:, None]
