"""Bodies of the SMPL family: SMPL, SMPL+H and SMPL-X are one formula with different numbers of joints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body


@dataclass(frozen=True)
class SmplBody(Body):
    """A skinned vertex-based model (Loper et al. 2015; with hands and expressions, Pavlakos et al. 2019).

    Hands rest flat: no mean hand pose is added.

    Args:
        template: (V, 3) vertices of the mean shape, metres.
        shape_directions: (S, V, 3) metres per unit of each number of a shape.
        pose_directions: (9(J - 1), V, 3) metres per unit of each entry, row by row, of the joints' rotations less the
            identity, the root's left out; joints in order.
        joint_regressor: (J, V) how much each rest vertex counts for each joint.
        named_shapes: S names of the numbers of a shape.
    """

    template: Tensor
    shape_directions: Tensor
    pose_directions: Tensor
    joint_regressor: Tensor
    named_shapes: tuple[str, ...]

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Principal components of shapes, in the model's order, and of expressions where it has them."""
        return self.named_shapes

    @property
    def default_shape(self) -> Tensor:
        """(S,) zeros: the mean shape."""
        return self.template.new_zeros(len(self.shape_directions))

    def rest(
        self,
        shape: Tensor | None = None,  # (..., S) standard deviations
    ) -> tuple[Tensor, Tensor]:
        """Shape blend shapes, and the joints regressed from them (Loper et al. 2015, equations 8 and 10)."""
        shape = self.default_shape if shape is None else shape
        vertices = self.template + torch.einsum("...s,svc->...vc", shape, self.shape_directions)
        return vertices, torch.einsum("jv,...vc->...jc", self.joint_regressor, vertices)

    def displacements(
        self,
        rotations: Tensor,  # (..., J, 3, 3)
    ) -> Tensor:
        """Pose blend shapes (Loper et al. 2015, equation 9)."""
        feature = rotations[..., 1:, :, :] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        return torch.einsum("...p,pvc->...vc", feature.flatten(-3), self.pose_directions)
