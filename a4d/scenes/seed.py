"""What is known of a subject's shape before it is optimised; every kind of scene can start from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from a4d.geometry.mesh import Mesh


Paint = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(P, 3) sRGB at places on a mesh: (P,) faces, (P, 3) barycentric weights, (P,) diameters in metres to average over."""


@dataclass(frozen=True)
class Seed:
    """A first guess of a shape: a closed surface, a cloud of points on it, or nothing but its extent.

    Args:
        mesh: with colours where they are known, or None.
        points: (P, 3) world, metres, or None.
        colours: (P, 3) sRGB in [0, 1] of the points, or None.
        radius: of a ball around the origin that holds the subject, metres.
        paint: the colours of the mesh where they are known more finely than at its vertices, or None.
        per_vertex: primitives should stand at the mesh's vertices, one each, rather than be spread over its area.
    """

    mesh: Mesh | None = None
    points: Tensor | None = None
    colours: Tensor | None = None
    radius: float = 1.0
    paint: Paint | None = None
    per_vertex: bool = False
