"""How a subject becomes a surface."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from a4d.geometry.assets.animating import AnimationOptions
from a4d.scenes.extraction import Reconstruction

FINEST_TEXTURED = 80
"""Cells along a side of a surface that is extracted to carry a picture and keeps all of its faces: cutting open the
hundred thousand of a finer one takes minutes."""

TEXTURED_FACES = 30_000
"""Of a fine surface that carries a picture, which holds the detail."""

PHOTOGRAPHED_FACES = 60_000
"""Of one that photographs from several sides tell, which know more of its shape."""

USUAL_CELLS = 160
"""Along a side of a surface that is extracted where nothing says how fine it is known."""

MOST_CELLS = 256
"""Along a side of a surface that is as fine as photographs tell: more would take minutes."""


@dataclass(frozen=True)
class SurfaceOptions:
    """How a subject becomes a surface.

    Args:
        resolution: cells along a side where a surface has to be extracted; None is `USUAL_CELLS`, or as many as
            photographs tell of.
        texture: pixels along either side of baked pictures; None bakes only what the scene bakes by itself.
        texel: metres of a picture's pixel that decide its size in place of `texture`.
        reconstruction: how a surface is extracted.
        faces: at most, of a surface that is made here; None leaves all.
        animation: how a motion is stored.
        is_brought_to_renders: whether a surface that is extracted then moves until it looks like the scene.
    """

    resolution: int | None = None
    texture: int | None = None
    texel: float | None = None
    reconstruction: Reconstruction = "fused"
    faces: int | None = None
    animation: AnimationOptions = field(default_factory=AnimationOptions)
    is_brought_to_renders: bool = False

    @property
    def has_picture(self) -> bool:
        """Whether a surface that is extracted carries a picture."""
        return self.texture is not None or self.texel is not None

    @property
    def cells(self) -> int:
        """Along a side of a surface that is extracted; see `FINEST_TEXTURED`."""
        wanted = self.resolution or USUAL_CELLS
        return min(wanted, FINEST_TEXTURED) if self.has_picture and not self.faces else wanted

    def as_fine_as_photographs(self, pixel: float, radius: float) -> SurfaceOptions:
        """What is not decided yet, such that a surface holds what photographs from several sides tell.

        Args:
            pixel: metres that theirs are wide.
            radius: of the subject, metres.
        """
        cells = min(max(math.ceil(2 * radius / pixel), USUAL_CELLS), MOST_CELLS)
        return replace(
            self,
            faces=self.faces or PHOTOGRAPHED_FACES,
            resolution=self.resolution or cells,
            is_brought_to_renders=True,
        )
