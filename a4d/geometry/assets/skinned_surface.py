"""A surface at rest with the joints that move it, all parts of an asset in one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.assets.asset import Asset, Instance, Primitive
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.reposing import rig_of
from a4d.geometry.deformation.skeleton import Skeleton
from a4d.geometry.mesh import Mesh


@dataclass(frozen=True)
class SkinnedSurface:
    """V vertices and the J joints that move them, at rest.

    Args:
        mesh: in the world of the joints.
        skeleton: J joints.
        weights: (V, J) float32; the row of a vertex that no joint moves is zero.
    """

    mesh: Mesh
    skeleton: Skeleton
    weights: Tensor

    @classmethod
    def of(cls, asset: Asset) -> SkinnedSurface:
        """What an asset shows, in its own world.

        Raises:
            InvalidInputError: it shows no triangles, or has no skin.
        """
        places = {node: joint for joint, node in enumerate(asset.shown_joints())}
        parts = [
            _dense_weights(asset, instance, primitive, places)
            for instance in asset.instances
            for primitive in asset.meshes[instance.mesh].primitives
        ]
        return cls(deform(asset).mesh, rig_of(asset), torch.cat(parts))

    @property
    def shares(self) -> Tensor:
        """(J,) in [0, 1] of the surface's area that each joint moves."""
        areas = self.mesh.vertex_areas
        return areas @ self.weights / areas.sum().clamp_min(1e-30)

    @property
    def parts(self) -> Tensor:
        """(J, 3) the middle of what each joint moves; the joint itself where it moves nothing."""
        held = self.mesh.vertex_areas[:, None] * self.weights
        masses = held.sum(0)[:, None]
        middles = held.T @ self.mesh.vertices / masses.clamp_min(1e-30)
        return torch.where(masses > 0, middles, self.skeleton.rest_world[:, :3, 3].to(middles))


def _dense_weights(asset: Asset, instance: Instance, primitive: Primitive, places: dict[int, int]) -> Tensor:
    weights = torch.zeros(len(primitive.positions), len(places))
    if instance.skin is None or primitive.influences is None:
        return weights
    columns = torch.tensor([places[node] for node in asset.skins[instance.skin].joints.tolist()])
    return weights.scatter_add(1, columns[primitive.influences.joints], primitive.influences.weights.float())
