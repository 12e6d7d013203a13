"""Bringing assets of any axes, size and place into our world, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.assets.asset import Asset, TransformParts
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.transforms import quaternion_from_rotation, rigid_from_parts

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
AXES: tuple[Axis, ...] = get_args(Axis)


@dataclass(frozen=True)
class Orientation:
    """Which axes of a source point up and to the front.

    Args:
        up: becomes +Y.
        front: becomes +Z.
    """

    up: Axis = "+y"
    front: Axis = "+z"

    def __post_init__(self) -> None:
        """Check that the two are perpendicular.

        Raises:
            UsageError: both lie along the same line.
        """
        if self.up[1] == self.front[1]:
            raise UsageError(f"up {self.up} and front {self.front} lie along the same line", "Choose another front")

    @property
    def world_from_source(self) -> Tensor:
        """(3, 3) float64 rotation."""
        up, front = direction(self.up), direction(self.front)
        return torch.stack([torch.linalg.cross(up, front), up, front])


def direction(axis: Axis) -> Tensor:
    """(3,) float64 unit vector."""
    vector = torch.zeros(3, dtype=torch.float64)
    vector["xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return vector


def normalising(orientation: Orientation, surfaces: Iterable[Tensor]) -> Tensor:
    """The similarity after which a subject looks to the front and fills the unit ball at all of its moments.

    The centre is that of the box around all moments.

    Args:
        orientation: of the source.
        surfaces: (V, 3) vertices of each moment, in the source.

    Returns:
        (4, 4) float64 world_from_source.
    """
    rotation = orientation.world_from_source
    clouds = [points.double() @ rotation.T for points in surfaces]
    low = torch.stack([cloud.amin(0) for cloud in clouds]).amin(0)
    high = torch.stack([cloud.amax(0) for cloud in clouds]).amax(0)
    centre = (low + high) / 2
    radius = max(float((cloud - centre).norm(dim=1).max()) for cloud in clouds)
    # A single point has no size that could be changed.
    scale = 1 / radius if radius > 0 else 1.0
    return rigid_from_parts(scale * rotation, -scale * centre)


def placed(asset: Asset, world_from_source: Tensor) -> Asset:
    """The same asset below one more node, so that everything that is read from it lies in another world.

    Args:
        asset: in its own world.
        world_from_source: (4, 4) similarity without mirroring.
    """
    matrix = world_from_source.double()
    scale = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
    nodes, parts, count = asset.nodes, asset.parts, len(asset.nodes)
    parents = torch.where(nodes.parents < 0, count, nodes.parents)
    skeleton = Skeleton(
        (*nodes.names, "placement"),
        torch.cat([parents, torch.tensor([-1])]),
        torch.cat([nodes.rest, matrix[None]]),
    )
    placement = TransformParts(
        torch.cat([parts.translations, matrix[None, :3, 3]]),
        torch.cat([parts.rotations, quaternion_from_rotation(matrix[:3, :3] / scale)[None]]),
        torch.cat([parts.scales, scale.expand(1, 3)]),
    )
    return replace(asset, nodes=skeleton, parts=placement)
