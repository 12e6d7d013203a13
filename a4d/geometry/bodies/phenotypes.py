"""A body whose shape is told by words, such as age and height: between known bodies it is interpolated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body


@dataclass(frozen=True)
class PhenotypeBody(Body):
    """A body known at the corners of a grid of S phenotypes, each in [0, 1], and multilinear in between.

    Bodies at the corners differ from a template in combinations of R directions.

    Args:
        template: (V, 3) vertices, metres.
        template_joints: (J, 3) metres.
        directions: (R, V, 3) metres.
        joint_directions: (R, J, 3) metres.
        corners: (N1, ..., NS, R) how far each corner lies along the directions; those of an axis are evenly spaced.
        phenotypes: S names of the axes.
        usual: (S,) of the body that nothing is known of.
    """

    template: Tensor
    template_joints: Tensor
    directions: Tensor
    joint_directions: Tensor
    corners: Tensor
    phenotypes: tuple[str, ...]
    usual: Tensor

    @property
    def shape_names(self) -> tuple[str, ...]:
        """The phenotypes; one that is beyond [0, 1] counts as the nearest end."""
        return self.phenotypes

    @property
    def default_shape(self) -> Tensor:
        """(S,) an adult between all extremes."""
        return self.usual

    def rest(
        self,
        shape: Tensor | None = None,  # (..., S) in [0, 1]
    ) -> tuple[Tensor, Tensor]:
        """The mean of the bodies at the corners around a shape, by how near they are along each axis."""
        shares = self._shares(self.usual if shape is None else shape)
        along = shares @ self.corners.flatten(0, -2)
        vertices = self.template + torch.einsum("...r,rvc->...vc", along, self.directions)
        return vertices, self.template_joints + torch.einsum("...r,rjc->...jc", along, self.joint_directions)

    def at(
        self,
        vertices: Tensor,  # (N,) int64
    ) -> PhenotypeBody:
        """The same body with some of its vertices alone, and without faces."""
        return replace(
            self,
            faces=self.faces[:0],
            weights=self.weights[vertices],
            uvs=None,
            template=self.template[vertices],
            directions=self.directions[:, vertices],
        )

    def _shares(self, shape: Tensor) -> Tensor:
        """(..., N1 * ... * NS) of each corner; they sum to 1."""
        shares = torch.ones_like(shape[..., :1])
        for value, count in zip(shape.clamp(0.0, 1.0).unbind(-1), self.corners.shape[:-1], strict=True):
            knots = torch.arange(count, dtype=shape.dtype, device=shape.device)
            nearness = (1.0 - (value[..., None] * (count - 1) - knots).abs()).clamp(min=0.0)
            shares = (shares[..., :, None] * nearness[..., None, :]).flatten(-2)
        return shares
