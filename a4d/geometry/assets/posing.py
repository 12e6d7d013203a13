"""Animated assets at a moment: world matrices of the nodes, and the deformed surface with a fixed vertex order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset, Instance, Primitive
from a4d.geometry.deformation.skinning import (
    apply_per_vertex,
    blend_bones,
    blend_morph_targets,
    rotate_normals,
    rotate_tangents,
)
from a4d.geometry.mesh import Mesh
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion


@dataclass(frozen=True)
class Pose:
    """An asset's nodes at a moment.

    Args:
        world_from_node: (N, 4, 4) float64.
        morph_weights: for each instance (M,) float64.
    """

    world_from_node: Tensor
    morph_weights: tuple[Tensor, ...]

    @property
    def positions(self) -> Tensor:
        """(N, 3) origins of the nodes, world, metres."""
        return self.world_from_node[:, :3, 3]


@dataclass(frozen=True)
class PosedMesh:
    """All triangles of a scene at a moment; everything but positions and directions is the same at all times.

    Args:
        vertices: (V, 3) float32 world, metres; row v is the same material point at all times.
        faces: (F, 3) int64, counter-clockwise from outside; a part that an animation mirrors changes its winding.
        normals: (V, 3) float32 unit.
        tangents: (V, 4) float32 unit and sign of the bitangent; zero where the file gives none.
        uvs: (S, V, 2) float32 texture coordinate sets, zero where the file gives none.
        colours: (V, 4) float32 sRGB and straight alpha, opaque white where the file gives none.
        materials: (F,) int64 index into the asset's materials.
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    tangents: Tensor
    uvs: Tensor
    colours: Tensor
    materials: Tensor

    @property
    def mesh(self) -> Mesh:
        """Positions, faces and vertex colours alone."""
        return Mesh(self.vertices, self.faces, self.colours[:, :3])


def pose(asset: Asset, clip: Clip | None = None, time: float = 0.0) -> Pose:
    """Evaluate a clip in double precision.

    Args:
        asset: with N nodes.
        clip: one of the asset's, or None for the rest pose.
        time: seconds; the first and last keys hold before and after.

    Returns:
        The nodes' transforms in the world and the weights of the morph targets.
    """
    parts = {
        "translation": asset.parts.translations.clone(),
        "rotation": asset.parts.rotations.clone(),
        "scale": asset.parts.scales.clone(),
    }
    is_animated = torch.zeros(len(asset.nodes), dtype=torch.bool)
    weights: dict[int, Tensor] = {}
    for channel in clip.channels if clip else ():
        value = channel.curve.at(time)
        if channel.target == "weights":
            weights[channel.node] = value
        else:
            parts[channel.target][channel.node] = value
            is_animated[channel.node] = True
    linear = rotation_from_quaternion(parts["rotation"]) * parts["scale"][:, None, :]
    animated = rigid_from_parts(linear, parts["translation"])
    parent_from_node = torch.where(is_animated[:, None, None], animated, asset.nodes.rest)
    return Pose(
        asset.nodes.world_from_joint(parent_from_node),
        tuple(weights.get(instance.node, instance.morph_weights) for instance in asset.instances),
    )


def deform(asset: Asset, clip: Clip | None = None, time: float = 0.0) -> PosedMesh:
    """The scene's surface at a moment: morph targets, then skinning or the node's transform, all parts merged.

    Computed in double precision and rounded once. Where the file gives no normals they are the area-weighted means
    over the adjacent faces, so that vertices stay shared.

    Args:
        asset: with at least one triangle in its scene.
        clip: one of the asset's, or None for the rest pose.
        time: seconds; the first and last keys hold before and after.

    Returns:
        The merged mesh, in the order of instances and their primitives.

    Raises:
        InvalidInputError: the scene shows no triangles.
    """
    moment = pose(asset, clip, time)
    pieces = [
        _deform_primitive(asset, instance, primitive, moment.world_from_node, weights)
        for instance, weights in zip(asset.instances, moment.morph_weights, strict=True)
        for primitive in asset.meshes[instance.mesh].primitives
    ]
    if not pieces:
        raise InvalidInputError(f"{asset.name} shows no triangles", "Choose a file with a mesh in its scene")
    return _merge(pieces)


def _deform_primitive(
    asset: Asset, instance: Instance, primitive: Primitive, world_from_node: Tensor, morph_weights: Tensor
) -> PosedMesh:
    faces = primitive.faces
    if instance.skin is not None and primitive.influences is not None:
        skin = asset.skins[instance.skin]
        bones = world_from_node[skin.joints] @ skin.inverse_bind
        transforms = blend_bones(primitive.influences.weights.double(), bones, primitive.influences.joints)
    else:
        transforms = world_from_node[instance.node][None]
        if torch.linalg.det(transforms[0, :3, :3]) < 0:
            faces = faces.flip(1)
    morphs = primitive.morphs
    vertices = apply_per_vertex(transforms, _morphed(primitive.positions, morphs.positions, morph_weights))
    if primitive.normals is None:
        normals = Mesh(vertices, faces).vertex_normals
    else:
        normals = rotate_normals(transforms, _morphed(primitive.normals, morphs.normals, morph_weights))
    count = len(vertices)
    tangents = vertices.new_zeros(count, 4)
    if primitive.tangents is not None:
        directions = _morphed(primitive.tangents[:, :3], morphs.tangents, morph_weights)
        tangents = torch.cat([rotate_tangents(transforms, directions), primitive.tangents[:, 3:].double()], dim=1)
    return PosedMesh(
        vertices.float(),
        faces,
        normals.float(),
        tangents.float(),
        primitive.uvs,
        torch.ones(count, 4) if primitive.colours is None else primitive.colours,
        torch.full((len(faces),), primitive.material),
    )


def _morphed(base: Tensor, deltas: Tensor | None, weights: Tensor) -> Tensor:
    return base.double() if deltas is None else blend_morph_targets(base.double(), deltas.double(), weights)


def _merge(pieces: list[PosedMesh]) -> PosedMesh:
    sets = max(len(piece.uvs) for piece in pieces)
    shifted, first = [], 0
    for piece in pieces:
        missing = piece.uvs.new_zeros(sets - len(piece.uvs), len(piece.vertices), 2)
        shifted.append(replace(piece, faces=piece.faces + first, uvs=torch.cat([piece.uvs, missing])))
        first += len(piece.vertices)

    def joined(tensors: Iterable[Tensor], dim: int = 0) -> Tensor:
        return torch.cat(list(tensors), dim=dim)

    return PosedMesh(
        joined(piece.vertices for piece in shifted),
        joined(piece.faces for piece in shifted),
        joined(piece.normals for piece in shifted),
        joined(piece.tangents for piece in shifted),
        joined((piece.uvs for piece in shifted), dim=1),
        joined(piece.colours for piece in shifted),
        joined(piece.materials for piece in shifted),
    )
