"""Hierarchies of joints and their motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Skeleton:
    """J joints (or nodes of any kind), each placed relative to its parent; parents may come in any order.

    Args:
        names: J names, not necessarily unique.
        parents: (J,) int64 index of each joint's parent, -1 for a root.
        rest: (J, 4, 4) parent_from_joint in the rest pose; of a root, world_from_joint.
    """

    names: tuple[str, ...]
    parents: Tensor
    rest: Tensor

    def __post_init__(self) -> None:
        """Check here, once, that the parents form trees.

        Raises:
            ValueError: the lengths differ, a parent does not exist, or a joint is its own ancestor.
        """
        count = len(self.names)
        if self.parents.shape != (count,) or self.rest.shape != (count, 4, 4):
            raise ValueError(f"{count} joints need parents ({count},) and rest ({count}, 4, 4)")
        parents = self.parents.tolist()
        if any(not -1 <= parent < count for parent in parents):
            raise ValueError("a joint has a parent that does not exist")
        joint = joint_in_loop(parents)
        if joint is not None:
            raise ValueError(f"joint {joint} is its own ancestor")

    def __len__(self) -> int:
        return len(self.names)

    def from_the_roots(self) -> list[int]:
        """All joints, each after its parent; of the same generation in their own order."""
        parents = self.parents.tolist()
        generation = [0] * len(parents)
        for joint in range(len(parents)):
            above = parents[joint]
            while above >= 0:
                generation[joint], above = generation[joint] + 1, parents[above]
        return sorted(range(len(parents)), key=lambda joint: generation[joint])

    @property
    def rest_world(self) -> Tensor:
        """(J, 4, 4) world_from_joint in the rest pose."""
        return self.world_from_joint(self.rest)

    def world_from_joint(self, parent_from_joint: Tensor) -> Tensor:
        """Forward kinematics, differentiable; see `world_from_joints`.

        Args:
            parent_from_joint: (..., J, 4, 4).

        Returns:
            (..., J, 4, 4).
        """
        return world_from_joints(self.parents, parent_from_joint)

    def parent_from_joint(self, world_from_joint: Tensor) -> Tensor:
        """What forward kinematics undoes.

        Args:
            world_from_joint: (..., J, 4, 4).

        Returns:
            (..., J, 4, 4).
        """
        above = world_from_joint[..., self.parents.clamp(min=0), :, :]
        above = torch.where((self.parents >= 0)[:, None, None], above, torch.eye(4).to(above))
        return torch.linalg.solve(above, world_from_joint)


@dataclass(frozen=True)
class Motion:
    """A skeleton sampled at a constant rate.

    Args:
        skeleton: J joints.
        parent_from_joint: (T, J, 4, 4).
        seconds_per_frame: positive.
    """

    skeleton: Skeleton
    parent_from_joint: Tensor
    seconds_per_frame: float

    def __len__(self) -> int:
        return self.parent_from_joint.shape[0]

    @property
    def world_from_joint(self) -> Tensor:
        """(T, J, 4, 4)."""
        return self.skeleton.world_from_joint(self.parent_from_joint)

    @property
    def positions(self) -> Tensor:
        """(T, J, 3) joints in world coordinates."""
        return self.world_from_joint[..., :3, 3]

    def seen_from(
        self,
        other_from_world: Tensor,  # (4, 4) affine
    ) -> Motion:
        """The same motion in another world, float64."""
        is_root = (self.skeleton.parents < 0)[:, None, None]

        def moved(parent_from_joint: Tensor) -> Tensor:
            matrices = parent_from_joint.double()
            return torch.where(is_root, other_from_world.double() @ matrices, matrices)

        skeleton = replace(self.skeleton, rest=moved(self.skeleton.rest))
        return Motion(skeleton, moved(self.parent_from_joint), self.seconds_per_frame)


def world_from_joints(parents: Tensor, parent_from_joint: Tensor) -> Tensor:
    """Forward kinematics, differentiable.

    Args:
        parents: (J,) int64 index of each joint's parent, -1 for a root, in any order and without loops.
        parent_from_joint: (..., J, 4, 4).

    Returns:
        (..., J, 4, 4).
    """
    world = parent_from_joint
    ancestor = parents.to(parent_from_joint.device)
    # Pointer jumping: each round doubles the number of ancestors that a joint's matrix already contains.
    while bool((has_ancestor := ancestor >= 0).any()):
        above = ancestor.clamp(min=0)
        world = torch.where(has_ancestor[:, None, None], world[..., above, :, :] @ world, world)
        ancestor = torch.where(has_ancestor, ancestor[above], ancestor)
    return world


def joint_in_loop(parents: list[int]) -> int | None:
    """A joint that is its own ancestor, or None where all joints hang from roots.

    Args:
        parents: index of each joint's parent, -1 for a root.
    """
    is_rooted = [parent < 0 for parent in parents]
    for start in range(len(parents)):
        path, joint = set[int](), start
        while not is_rooted[joint]:
            if joint in path:
                return joint
            path.add(joint)
            joint = parents[joint]
        for joint in path:
            is_rooted[joint] = True
    return None
