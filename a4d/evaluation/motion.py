"""A shape over time as it is compared, whatever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import transform_points


@dataclass(frozen=True)
class Joints:
    """J joints at T moments.

    Args:
        names: J, as their file has them.
        world_from_joint: (T, J, 4, 4) affine, metres.
    """

    names: tuple[str, ...]
    world_from_joint: Tensor

    @property
    def positions(self) -> Tensor:
        """(T, J, 3)."""
        return self.world_from_joint[..., :3, 3]

    @property
    def rotations(self) -> Tensor:
        """(T, J, 3, 3) without scale; the nearest rotation of what shears."""
        left, _, right = torch.linalg.svd(self.world_from_joint[..., :3, :3].double())
        return left @ right


@dataclass(frozen=True)
class MovingShape:
    """A surface at T moments, and what is known of its points and joints.

    Args:
        surfaces: of each moment.
        tracks: (T, P, 3) points that belong to the subject and move with it, or None where none can be followed.
        joints: or None where it has none.
    """

    surfaces: tuple[Mesh, ...]
    tracks: Tensor | None = None
    joints: Joints | None = None

    @property
    def diagonal(self) -> float:
        """Of the box around the first moment's surface, metres."""
        vertices = self.surfaces[0].vertices
        return float((vertices.amax(0) - vertices.amin(0)).norm())

    def moved(
        self,
        target_from_shape: Tensor,  # (4, 4) similarity
    ) -> MovingShape:
        """The same in another frame, at all moments alike."""
        matrix = target_from_shape.double()

        def apply(points: Tensor) -> Tensor:
            return transform_points(matrix, points.double()).to(points)

        joints = self.joints and replace(
            self.joints, world_from_joint=matrix.to(self.joints.world_from_joint) @ self.joints.world_from_joint
        )
        surfaces = tuple(surface.with_vertices(apply(surface.vertices)) for surface in self.surfaces)
        return MovingShape(surfaces, None if self.tracks is None else apply(self.tracks), joints)
