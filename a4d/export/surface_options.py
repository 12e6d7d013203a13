"""How a subject becomes a surface."""

from __future__ import annotations

from dataclasses import dataclass, field

from a4d.geometry.assets.animating import AnimationOptions
from a4d.scenes.extraction import Reconstruction

FINEST_TEXTURED = 80
"""Cells along a side of a surface that is extracted to carry a picture and keeps all of its faces: cutting open the
hundred thousand of a finer one takes minutes."""

TEXTURED_FACES = 30_000
"""Of a fine surface that carries a picture, which holds the detail."""


@dataclass(frozen=True)
class SurfaceOptions:
    """How a subject becomes a surface.

    Args:
        resolution: cells along a side where a surface has to be extracted.
        texture: pixels along either side of baked pictures; None bakes only what the scene bakes by itself.
        texel: metres of a picture's pixel that decide its size in place of `texture`.
        reconstruction: how a surface is extracted.
        faces: at most, of a surface that is made here; None leaves all.
        animation: how a motion is stored.
    """

    resolution: int = 160
    texture: int | None = None
    texel: float | None = None
    reconstruction: Reconstruction = "fused"
    faces: int | None = None
    animation: AnimationOptions = field(default_factory=AnimationOptions)

    @property
    def has_picture(self) -> bool:
        """Whether a surface that is extracted carries a picture."""
        return self.texture is not None or self.texel is not None

    @property
    def cells(self) -> int:
        """Along a side of a surface that is extracted; see `FINEST_TEXTURED`."""
        return min(self.resolution, FINEST_TEXTURED) if self.has_picture and not self.faces else self.resolution
