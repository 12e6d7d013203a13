"""The interface of all bodies: a surface and joints of some shape at rest, and what turning the joints does to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from a4d.geometry.deformation.skeleton import Skeleton, world_from_joints
from a4d.geometry.deformation.skinning import linear_blend_skinning
from a4d.geometry.transforms import rigid_from_parts, transform_points


@dataclass(frozen=True)
class PosedBody:
    """A body in poses.

    Args:
        transforms: (..., J, 4, 4) rigid posed_from_rest of each joint, which move any point that is bound to the body.
        vertices: (..., V, 3) world, metres.
        joints: (..., J, 3) world, metres.
    """

    transforms: Tensor
    vertices: Tensor
    joints: Tensor


@dataclass(frozen=True)
class Body(ABC):
    """A surface of V vertices that J joints move, in shapes of S numbers.

    World: metres, +Y up (gravity is -Y), front +Z, the body's left +X. A pose is a rotation matrix per joint: how it
    turns about its own place, in axes that are the world's at rest and turn with its parent; the identity is the rest
    pose (SMPL, Loper et al. 2015, equations 2 to 4). Leading dimensions of pose, shape and translation are frames,
    and broadcast. Everything is differentiable in all three.

    Args:
        names: of the J joints.
        parents: (J,) int64 index of each joint's parent, -1 for a root.
        faces: (F, 3) int64, counter-clockwise from outside.
        weights: (V, J) float of each joint at each vertex, each row sums to 1.
        uvs: (F, 3, 2) float texture coordinates of each face's corners in [0, 1], u right and v down; None where the
            body comes without, see `a4d.geometry.assets.unwrapping.unwrap`.
    """

    names: tuple[str, ...]
    parents: Tensor
    faces: Tensor
    weights: Tensor
    uvs: Tensor | None

    @property
    @abstractmethod
    def shape_names(self) -> tuple[str, ...]:
        """What each of the S numbers of a shape says."""

    @property
    @abstractmethod
    def default_shape(self) -> Tensor:
        """(S,) of the body that nothing is known of."""

    @abstractmethod
    def rest(
        self,
        shape: Tensor | None = None,  # (..., S), the default one if None
    ) -> tuple[Tensor, Tensor]:
        """(..., V, 3) vertices and (..., J, 3) joints in the rest pose, metres."""

    def displacements(
        self,
        rotations: Tensor,  # (..., J, 3, 3)
    ) -> Tensor | None:
        """(..., V, 3) metres by which a pose moves rest vertices before they are skinned; None where no pose does."""
        del rotations
        return None

    def skeleton(
        self,
        shape: Tensor | None = None,  # (S,), the default one if None
    ) -> Skeleton:
        """The joints at rest, their axes those of the world."""
        joints = self.rest(shape)[1]
        axes = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(self.names), 3, 3)
        return Skeleton(self.names, self.parents, rigid_from_parts(axes, self._offsets(joints)))

    def posed(
        self,
        rotations: Tensor,  # (..., J, 3, 3) see the class
        shape: Tensor | None = None,  # (..., S), the default one if None
        translation: Tensor | None = None,  # (..., 3) metres, after all rotations
    ) -> PosedBody:
        """The body with its joints turned: linear blend skinning of its displaced rest surface.

        A root turns about its own joint, not about the world's origin; the translation then moves the whole.
        """
        vertices, joints = self.rest(shape)
        transforms = self.transforms(rotations, joints, translation)
        displacements = self.displacements(rotations)
        if displacements is not None:
            vertices = vertices + displacements
        return PosedBody(
            transforms,
            linear_blend_skinning(vertices, self.weights, transforms),
            transform_points(transforms, joints[..., None, :]).squeeze(-2),
        )

    def local_transforms(
        self,
        rotations: Tensor,  # (..., J, 3, 3)
        joints: Tensor,  # (..., J, 3) at rest
        translation: Tensor | None = None,  # (..., 3)
    ) -> Tensor:
        """(..., J, 4, 4) parent_from_joint of joints with the world's axes at rest; a root's parent is the world."""
        offsets = self._offsets(joints)
        if translation is not None:
            is_root = (self.parents < 0)[:, None]
            offsets = offsets + torch.where(is_root, translation[..., None, :], 0.0)
        frames = torch.broadcast_shapes(rotations.shape[:-2], offsets.shape[:-1])
        return rigid_from_parts(rotations.expand(*frames, 3, 3), offsets.expand(*frames, 3))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same body elsewhere, its floating numbers of another type."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {name: moved(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **tensors)

    def transforms(
        self,
        rotations: Tensor,  # (..., J, 3, 3)
        joints: Tensor,  # (..., J, 3) at rest
        translation: Tensor | None = None,  # (..., 3)
    ) -> Tensor:
        """(..., J, 4, 4) posed_from_rest of each joint."""
        world = world_from_joints(self.parents, self.local_transforms(rotations, joints, translation))
        # Joints at rest have the world's axes: undoing one is a shift.
        moved = world[..., :3, 3] - (world[..., :3, :3] @ joints[..., None]).squeeze(-1)
        return rigid_from_parts(world[..., :3, :3], moved)

    def _offsets(self, joints: Tensor) -> Tensor:
        """(..., J, 3) from each joint's parent to it; of a root, from the origin."""
        above = joints.index_select(-2, self.parents.clamp(min=0))
        return joints - torch.where((self.parents >= 0)[:, None], above, 0.0)
