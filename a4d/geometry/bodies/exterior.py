"""What of a body can be seen: its skin and clothes, and not the inside of its mouth nor the backs of its eyes."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.openness import openness

CLOSED = 0.03
"""Share of a face's rays that may slip through a gap between lips or lids though the face lies behind them."""


def exterior_faces(
    body: Body,
    shape: Tensor | None = None,  # (S,), the default one if None
) -> Tensor:
    """(F,) bool: the faces that can be seen from outside of the body at rest; all of one that is turned inside out.

    Raises:
        InvalidInputError: the body has no face, or a vertex that is not finite.
    """
    share = openness(Mesh(body.rest(shape)[0].detach(), body.faces))
    is_open = share > CLOSED
    return is_open if bool(is_open.any()) else torch.ones_like(is_open)
