"""What every renderer returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Shading = Literal["albedo", "lambertian", "normal", "shaded", "textureless"]
"""Ways to show a surface: its own colour, with a light at the camera, its normals, lit by an environment, or grey."""


@dataclass(frozen=True)
class Render:
    """Images of a scene from B cameras.

    Args:
        rgb: (B, H, W, 3) sRGB, composited over the background the renderer was given (black if none).
        alpha: (B, H, W, 1) coverage in [0, 1].
        depth: (B, H, W, 1) expected depth along the viewing axis in metres, 0 where nothing is seen.
        normal: (B, H, W, 3) world-space normals scaled by alpha, or None where the renderer was not asked for them.
        visible: (B, N) bool, which of the scene's N primitives reach each image, or None where there are none to count.
    """

    rgb: Tensor
    alpha: Tensor
    depth: Tensor
    normal: Tensor | None = None
    visible: Tensor | None = None

    def __getitem__(self, views: Tensor) -> Render:
        """The images of some of the cameras."""
        return Render(
            self.rgb[views],
            self.alpha[views],
            self.depth[views],
            None if self.normal is None else self.normal[views],
            None if self.visible is None else self.visible[views],
        )


def concatenated(renders: Sequence[Render]) -> Render:
    """Images of one scene from several batches of cameras, of one size, as one."""
    normals = [render.normal for render in renders if render.normal is not None]
    visible = [render.visible for render in renders if render.visible is not None]
    return Render(
        torch.cat([render.rgb for render in renders]),
        torch.cat([render.alpha for render in renders]),
        torch.cat([render.depth for render in renders]),
        torch.cat(normals) if normals else None,
        torch.cat(visible) if visible else None,
    )
