"""Animated assets as plain data: a hierarchy of nodes, the meshes they carry, skins, materials and clips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.assets.animation import Clip, named_index
from a4d.geometry.assets.material import Material
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Skeleton


@dataclass(frozen=True)
class MorphTargets:
    """Displacements of M targets, zero where only some targets give them, None where none does.

    Args:
        positions: (M, V, 3) float32.
        normals: (M, V, 3) float32.
        tangents: (M, V, 3) float32.
    """

    positions: Tensor | None
    normals: Tensor | None
    tangents: Tensor | None


@dataclass(frozen=True)
class Primitive:
    """Triangles of one material.

    Args:
        positions: (V, 3) float32 in the frame of the node that carries the mesh, or of the skin.
        faces: (F, 3) int64, counter-clockwise from outside.
        material: index into the asset's materials.
        normals: (V, 3) float32 unit, or None where the file gives none.
        tangents: (V, 4) float32, w is the sign of the bitangent; or None.
        uvs: (S, V, 2) float32 texture coordinate sets, u right and v down.
        colours: (V, 4) float32 sRGB and straight alpha in [0, 1], or None.
        influences: of the skin's joints, or None.
        morphs: the targets of the mesh.
    """

    positions: Tensor
    faces: Tensor
    material: int
    normals: Tensor | None
    tangents: Tensor | None
    uvs: Tensor
    colours: Tensor | None
    influences: Influences | None
    morphs: MorphTargets


@dataclass(frozen=True)
class CompositeMesh:
    """What glTF calls a mesh: primitives that move together.

    Args:
        name: as in the file, may be empty.
        primitives: all with M morph targets.
        morph_names: M names.
        morph_weights: (M,) float64 where neither node nor clip says otherwise.
    """

    name: str
    primitives: tuple[Primitive, ...]
    morph_names: tuple[str, ...]
    morph_weights: Tensor


@dataclass(frozen=True)
class Skin:
    """The joints that deform a mesh.

    Args:
        name: as in the file, may be empty.
        joints: (J,) int64 node indices.
        inverse_bind: (J, 4, 4) float64 joint_from_mesh in the bind pose.
    """

    name: str
    joints: Tensor
    inverse_bind: Tensor


@dataclass(frozen=True)
class Instance:
    """A mesh shown at a node.

    Args:
        node: index of the node.
        mesh: index into the asset's meshes.
        skin: index into the asset's skins, or None for a mesh that moves with its node.
        morph_weights: (M,) float64 at rest.
    """

    node: int
    mesh: int
    skin: int | None
    morph_weights: Tensor


@dataclass(frozen=True)
class TransformParts:
    """Rest translation, rotation and scale of N nodes; the identity for a node whose matrix shears.

    Args:
        translations: (N, 3) float64.
        rotations: (N, 4) float64 wxyz.
        scales: (N, 3) float64.
    """

    translations: Tensor
    rotations: Tensor
    scales: Tensor


@dataclass(frozen=True)
class Asset:
    """Everything a glTF file says about the shape, look and motion of its scene; world +Y up, front +Z, metres.

    Args:
        name: of the file, for messages.
        nodes: the hierarchy of N nodes and their rest transforms, float64.
        parts: those rest transforms as translation, rotation and scale.
        instances: the meshes of the scene, in the order of its depth-first traversal.
        meshes: also those that no instance shows.
        skins: also those that no instance uses.
        materials: what the primitives refer to.
        clips: in the order of the file, each with a name of its own.
        left_out: what the file holds and the asset lacks, in words for a list, such as "the points of mesh 'cloud'".
    """

    name: str
    nodes: Skeleton
    parts: TransformParts
    instances: tuple[Instance, ...]
    meshes: tuple[CompositeMesh, ...]
    skins: tuple[Skin, ...]
    materials: tuple[Material, ...]
    clips: tuple[Clip, ...]
    left_out: tuple[str, ...] = ()

    def clip(self, name: str) -> Clip:
        """The clip that a name means; see `named_index`.

        Raises:
            UsageError: there is none; lists those there are.
        """
        names = [clip.name for clip in self.clips]
        index = named_index(names, name)
        if index is None:
            known = f"{', '.join(names)}; a number counts from 1" if names else "none"
            raise UsageError(f"{self.name} has no clip {name!r}", f"Its clips: {known}")
        return self.clips[index]

    def skeleton(self, skin: int) -> Skeleton:
        """The joints of a skin alone, in the skin's order.

        Args:
            skin: index into the skins.

        Returns:
            The parent of a joint is its nearest ancestor among the joints; nodes in between are part of its rest
            transform.
        """
        return self.skeleton_of(self.skins[skin].joints.tolist())

    def shown_joints(self) -> list[int]:
        """The nodes that are joints of a skin in the scene, in the order of the skins."""
        skins = [instance.skin for instance in self.instances if instance.skin is not None]
        return list(dict.fromkeys(node for skin in skins for node in self.skins[skin].joints.tolist()))

    def skeleton_of(self, nodes: list[int]) -> Skeleton:
        """Some nodes alone, in the given order; see `skeleton`."""
        joint_of_node = {node: joint for joint, node in enumerate(nodes)}
        node_parents = self.nodes.parents.tolist()
        parents, rest = [], []
        for node in nodes:
            parent_from_joint = self.nodes.rest[node]
            above = node_parents[node]
            while above >= 0 and above not in joint_of_node:
                parent_from_joint = self.nodes.rest[above] @ parent_from_joint
                above = node_parents[above]
            parents.append(joint_of_node.get(above, -1))
            rest.append(parent_from_joint)
        names = tuple(self.nodes.names[node] for node in nodes)
        return Skeleton(names, torch.tensor(parents, dtype=torch.int64), torch.stack(rest))
