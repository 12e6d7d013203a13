"""What every renderer returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

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
        parts: list[Any] = [getattr(self, field.name) for field in fields(self)]
        return Render(*(None if part is None else part[views] for part in parts))


def concatenated(renders: Sequence[Render]) -> Render:
    """Images of one scene from several batches of cameras, of one size, as one."""
    parts: list[Any] = [[getattr(render, field.name) for render in renders] for field in fields(Render)]
    return Render(*(None if part[0] is None else torch.cat(part) for part in parts))
