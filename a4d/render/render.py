"""What every renderer returns: colour, coverage, depth and the channels that were wanted, as one batch of images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

Shading = Literal["albedo", "lambertian", "normal", "shaded", "textureless"]
"""Ways to show a surface: its own colour, with a light at the camera, its normals, lit by an environment, or grey."""

Channel = Literal["normal", "position", "orientation", "entropy", "distortion"]
"""What a scene may be asked for beside colour, coverage and depth, which cost nothing more than each other.

- `normal`: (3) unit normals in the world, times alpha.
- `position`: (3) where the surface is in the world, metres, times alpha.
- `orientation`: (1) how far what is seen faces away, max(0, n . d)² by weight (Verbin et al. 2022, equation 11).
- `entropy`: (1) bits, the sum over a ray's samples of the binary entropies of their weights.
- `distortion`: (1) metres, how spread a ray's weights are (Barron et al. 2022, equation 15).
"""

Wants = Collection[Channel]
"""The channels that somebody wants of a render."""


@dataclass(frozen=True)
class Render:
    """Images of a scene from B cameras.

    Args:
        rgb: (B, H, W, 3) sRGB, composited over the background the renderer was given (black if none).
        alpha: (B, H, W, 1) coverage in [0, 1].
        depth: (B, H, W, 1) expected depth along the viewing axis in metres, 0 where nothing is seen.
        channels: (B, H, W, C) what else the renderer was asked for, by name, composited like colours over 0.
        visible: (B, N) bool, which of the scene's N primitives reach each image, or None where there are none to count.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor
    channels: Mapping[str, Tensor] = field(default_factory=dict)
    visible: Tensor | None = None

    def __getitem__(self, views: Tensor) -> Render:
        """The images of some of the cameras."""
        return Render(
            self.rgb[views],
            self.alpha[views],
            self.depth[views],
            {name: channel[views] for name, channel in self.channels.items()},
            None if self.visible is None else self.visible[views],
        )

    def over(
        self,
        background: Tensor | None,  # (3,) or (B, 3) sRGB; None is black
    ) -> Render:
        """The same images over a colour, of images over black."""
        if background is None:
            return self
        behind = background.to(self.rgb).expand(len(self.rgb), 3)[:, None, None]
        return replace(self, rgb=self.rgb + (1 - self.alpha) * behind)

    @property
    def normal(self) -> Tensor | None:
        """(B, H, W, 3) world-space normals times alpha, or None where the renderer was not asked for them."""
        return self.channels.get("normal")


def concatenated(renders: Sequence[Render]) -> Render:
    """Images of one scene from several batches of cameras, of one size, as one."""
    visible = [render.visible for render in renders if render.visible is not None]
    return Render(
        torch.cat([render.rgb for render in renders]),
        torch.cat([render.alpha for render in renders]),
        torch.cat([render.depth for render in renders]),
        {name: torch.cat([render.channels[name] for render in renders]) for name in renders[0].channels},
        torch.cat(visible) if visible else None,
    )


def per_view(signals: Mapping[str, Tensor], count: int, like: Tensor) -> dict[str, Tensor]:
    """Signals (N, C) or (B, N, C) as (B, N, C) for B = `count` views, of the type and the device of another tensor."""
    return {name: values.to(like).expand(count, *values.shape[-2:]) for name, values in signals.items()}


def joined_signals(signals: Mapping[str, Tensor]) -> Tensor | None:
    """Signals (..., N, C) of one leading shape side by side, or None where there are none."""
    return torch.cat(list(signals.values()), dim=-1) if signals else None


def split_signals(image: Tensor, signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The channels of an image (..., C) of `joined_signals`, by name."""
    if not signals:
        return {}
    parts = image.split([values.shape[-1] for values in signals.values()], dim=-1)
    return dict(zip(signals, parts, strict=True))
