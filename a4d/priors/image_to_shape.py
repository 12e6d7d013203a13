"""Priors of another kind, which make a shape of one picture: a field of density and colour, with its box and axes."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class ShapeField(Protocol):
    """A shape in the cube [-radius, radius]³, in the model's own axes.

    Attributes:
        radius: half of the cube's side, in the model's own unit.
        threshold: density at the surface.
        world_from_field: (3, 3) rotation after which +Y is up and the side that the picture shows looks to +Z.
    """

    radius: float
    threshold: float
    world_from_field: Tensor

    def density(self, points: Tensor) -> Tensor:
        """(N,) at points (N, 3) of the cube, not negative, larger inside."""

    def colours(self, points: Tensor) -> Tensor:
        """(N, 3) sRGB in [0, 1] at points (N, 3) of the cube."""


class ImageToShape(Protocol):
    """A model of the kind."""

    def shape(
        self,
        picture: Tensor,  # (H, W, 4) sRGB in [0, 1], straight alpha
    ) -> ShapeField:
        """What the picture's subject may look like from all sides.

        Raises:
            InvalidInputError: the picture shows nothing.
        """
