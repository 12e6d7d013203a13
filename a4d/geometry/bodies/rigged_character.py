"""Any rigged asset as a body: its shape is the only one it has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.asset import Asset, Instance, Primitive, Skin
from a4d.geometry.assets.posing import deform
from a4d.geometry.assets.reposing import rig_of
from a4d.geometry.bodies.body import Body
from a4d.geometry.deformation.skinning import blend_morph_targets, linear_blend_skinning
from a4d.geometry.transforms import transform_points

FLAT = 1e-12
"""Determinant below which a matrix flattens what it moves."""


@dataclass(frozen=True)
class RiggedCharacter(Body):
    """A body with a single shape, of no numbers.

    Args:
        vertices: (V, 3) in the rest pose, metres.
        joints: (J, 3) in the rest pose, metres.
    """

    vertices: Tensor
    joints: Tensor

    @property
    def shape_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def default_shape(self) -> Tensor:
        """(0,)."""
        return self.vertices.new_zeros(0)

    def rest(
        self,
        shape: Tensor | None = None,  # (..., 0)
    ) -> tuple[Tensor, Tensor]:
        """The surface and joints, repeated for each of the shapes."""
        frames = () if shape is None else shape.shape[:-1]
        return self.vertices.expand(*frames, *self.vertices.shape), self.joints.expand(*frames, *self.joints.shape)


def rigged_character(asset: Asset) -> RiggedCharacter:
    """The body that a rigged asset is: all its triangles, in the pose in which its skins were bound.

    That pose stands where the file's rest pose has the topmost joint. A part that hangs on a node is bound to the
    nearest joint above it, or to the first joint where there is none. Morph targets stay at their rest weights.

    Args:
        asset: with a skin in its scene; +Y up and front +Z.

    Returns:
        A body, float32; its joints are in the order of `Asset.shown_joints`, its vertices and faces in that of
        `a4d.geometry.assets.posing.deform`.

    Raises:
        InvalidInputError: it has no skin, or a joint that is bound or stands flat, so that nothing can turn about it.
    """
    skeleton = rig_of(asset)
    binding = _Binding(asset)
    parts = [
        binding.bound(instance, primitive)
        for instance in asset.instances
        for primitive in asset.meshes[instance.mesh].primitives
    ]
    surface = deform(asset)
    character = RiggedCharacter(
        names=skeleton.names,
        parents=skeleton.parents,
        faces=surface.faces,
        weights=torch.cat([weights for _, weights in parts]),
        uvs=surface.uvs[0, surface.faces] if len(surface.uvs) else None,
        vertices=torch.cat([vertices for vertices, _ in parts]),
        joints=binding.world_from_joint[:, :3, 3],
    )
    return character.to(dtype=torch.float32)


class _Binding:
    """Where the parts of an asset are in the pose in which its skins were bound, and what moves them.

    Args:
        asset: with a skin in its scene.

    Raises:
        InvalidInputError: a joint is flat.
    """

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.joint_of_node = {node: joint for joint, node in enumerate(asset.shown_joints())}
        self.world_from_node = asset.nodes.rest_world.double()
        bound = dict[int, Tensor]()
        for skin in dict.fromkeys(instance.skin for instance in asset.instances if instance.skin is not None):
            bound = self._joints_bound_by(asset.skins[skin]) | bound
        self.world_from_joint = torch.stack([bound[joint] for joint in range(len(self.joint_of_node))])

    def bound(self, instance: Instance, primitive: Primitive) -> tuple[Tensor, Tensor]:
        """(V, 3) vertices of a part, world, and (V, J) how much each joint moves them, float64."""
        positions, targets = primitive.positions.double(), primitive.morphs.positions
        if targets is not None:
            positions = blend_morph_targets(positions, targets.double(), instance.morph_weights)
        weights = positions.new_zeros(len(positions), len(self.joint_of_node))
        if instance.skin is None or primitive.influences is None:
            joint, world_from_mesh = self._carried(instance.node)
            weights[:, joint] = 1.0
            return transform_points(world_from_mesh, positions), weights
        skin, influences = self.asset.skins[instance.skin], primitive.influences
        joints = torch.tensor([self.joint_of_node[node] for node in skin.joints.tolist()])
        weights.scatter_add_(1, joints[influences.joints], influences.weights.double())
        world_from_mesh = positions.new_zeros(len(self.joint_of_node), 4, 4)
        world_from_mesh[joints] = self.world_from_joint[joints] @ skin.inverse_bind
        return linear_blend_skinning(positions, weights, world_from_mesh), weights

    def _joints_bound_by(self, skin: Skin) -> dict[int, Tensor]:
        """The world matrices of a skin's joints in its bind pose, by their index among all joints."""
        nodes = skin.joints.tolist()
        topmost = self.asset.skeleton_of(nodes).from_the_roots()[0]
        world_from_bind = self.world_from_node[nodes[topmost]] @ skin.inverse_bind[topmost]
        world_from_joint = world_from_bind @ self._inverse(skin.inverse_bind)
        return {self.joint_of_node[node]: matrix for node, matrix in zip(nodes, world_from_joint, strict=True)}

    def _carried(self, node: int) -> tuple[int, Tensor]:
        """The joint that carries a node, and the (4, 4) world matrix of the node in the bind pose."""
        parents, above = self.asset.nodes.parents.tolist(), node
        while above >= 0 and above not in self.joint_of_node:
            above = parents[above]
        carrier = above if above >= 0 else next(iter(self.joint_of_node))
        joint = self.joint_of_node[carrier]
        joint_from_node = self._inverse(self.world_from_node[carrier]) @ self.world_from_node[node]
        return joint, self.world_from_joint[joint] @ joint_from_node

    def _inverse(self, matrices: Tensor) -> Tensor:
        if not bool((torch.linalg.det(matrices[..., :3, :3]).abs() > FLAT).all()):
            raise InvalidInputError(f"{self.asset.name} has a joint that is flat", "Export it with joints of some size")
        return torch.linalg.inv(matrices)
