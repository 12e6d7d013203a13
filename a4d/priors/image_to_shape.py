"""Priors of another kind, which make a shape of one picture: a field of density and colour, with its box and axes."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.coarse_to_fine import COARSEST, find_surface


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


LEAST_DENSITY = 1e-12
"""Of which a logarithm is taken."""


def surface_of(field: ShapeField, resolution: int = 256) -> Mesh:
    """A field's surface with its colours, +Y up and the side that the picture shows toward +Z, in the field's own unit.

    Between the nodes of the grid it lies where the logarithm of the density says: densities are exponentials of what
    changes evenly.

    Args:
        field: of any model.
        resolution: cells along the side of its cube.

    Raises:
        SurfaceVanishedError: the field is nowhere dense enough.
    """

    def level(points: Tensor) -> Tensor:
        return (field.density(points).clamp_min(LEAST_DENSITY) / field.threshold).log()

    mesh = find_surface(level, field.radius, resolution, min(COARSEST, resolution)).mesh
    colours = field.colours(mesh.vertices).clamp(0, 1)
    return Mesh(mesh.vertices @ field.world_from_field.to(mesh.vertices).T, mesh.faces, colours)
