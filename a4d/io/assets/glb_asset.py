"""Writer of whole assets as binary glTF: hierarchy, meshes, skins, materials, clips; counterpart of the reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.geometry.assets.asset import Asset, CompositeMesh, Instance, Primitive, Skin
from a4d.geometry.assets.material import Material
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.arrays import numpy_from_tensor, require_finite
from a4d.io.assets.glb import GlbBuilder, Target, add_primitive
from a4d.io.assets.glb_animation import XYZW, add_clip
from a4d.io.assets.glb_material import MaterialWriter, PictureOptions
from a4d.io.files import write_bytes

SET_SIZE = 4
"""Influences in one pair of JOINTS_n and WEIGHTS_n."""


def write_asset(path: Path, asset: Asset, pictures: PictureOptions | None = None) -> None:
    """Write an asset; what is read back has the same nodes, surfaces, materials and clips and poses the same.

    All nodes belong to one scene. Meshes without triangles and clips without channels are left out; vectors that must
    have unit length and vanish are replaced.

    Args:
        path: the `.glb` file.
        asset: loaded, or made by `a4d.geometry.assets.assembly`.
        pictures: how textures are embedded; lossless by default.

    Raises:
        InvalidInputError: a position is not finite.
        WorkspaceError: the file cannot be written.
    """
    builder = GlbBuilder()
    materials = MaterialWriter(builder, pictures or PictureOptions())
    # A reader adds the material of primitives that name none at the end; written back it stays unnamed.
    count = len(asset.materials) - (asset.materials[-1:] == (Material(),))
    material_indices = {index: materials.add(material) for index, material in enumerate(asset.materials[:count])}
    mesh_indices: dict[int, int] = {}
    for index, mesh in enumerate(asset.meshes):
        if any(len(primitive.faces) for primitive in mesh.primitives):
            mesh_indices[index] = _add_mesh(builder, path, mesh, material_indices)
    for skin in asset.skins:
        _add_skin(builder, skin)
    shown = {instance.node: instance for instance in asset.instances if instance.mesh in mesh_indices}
    children = _children(asset)
    moved = {channel.node for clip in asset.clips for channel in clip.channels if channel.target != "weights"}
    for node in range(len(asset.nodes)):
        item = _described_node(asset, node, is_moved=node in moved)
        if children[node]:
            item["children"] = children[node]
        if node in shown:
            item.update(_shown_mesh(asset, shown[node], mesh_indices))
        builder.append("nodes", item)
    morphing = {node for node, instance in shown.items() if len(instance.morph_weights)}
    for clip in asset.clips:
        driven = tuple(c for c in clip.channels if c.target != "weights" or c.node in morphing)
        add_clip(builder, replace(clip, channels=driven))
    if children[-1]:
        builder.add_scene(children[-1])
    write_bytes(path, builder.to_bytes())


def _children(asset: Asset) -> dict[int, list[int]]:
    """The children of each node, and the roots as those of -1, in the order in which they lead to the instances."""
    parents = asset.nodes.parents.tolist()
    last = len(asset.instances)
    rank = [last] * len(parents)
    for position, instance in enumerate(asset.instances):
        node = instance.node
        while node >= 0 and rank[node] == last:
            rank[node] = position
            node = parents[node]
    children: dict[int, list[int]] = {node: [] for node in range(-1, len(parents))}
    for node in sorted(range(len(parents)), key=lambda node: (rank[node], node)):
        children[parents[node]].append(node)
    return children


def _described_node(asset: Asset, node: int, *, is_moved: bool) -> dict[str, Any]:
    """The name and the transform of a node; parts that do nothing are left out. One that a clip moves has no matrix."""
    item: dict[str, Any] = {"name": asset.nodes.names[node]} if asset.nodes.names[node] else {}
    parts = asset.parts
    translation, rotation, scale = parts.translations[node], parts.rotations[node], parts.scales[node]
    composed = rigid_from_parts(rotation_from_quaternion(rotation) * scale, translation)
    if not is_moved and not torch.allclose(composed, asset.nodes.rest[node], rtol=0, atol=1e-9):
        return {**item, "matrix": asset.nodes.rest[node].T.reshape(-1).tolist()}
    if translation.any():
        item["translation"] = translation.tolist()
    if rotation[1:].any():
        item["rotation"] = rotation[XYZW].tolist()
    if (scale != 1).any():
        item["scale"] = scale.tolist()
    return item


def _shown_mesh(asset: Asset, instance: Instance, mesh_indices: dict[int, int]) -> dict[str, Any]:
    mesh = asset.meshes[instance.mesh]
    item: dict[str, Any] = {"mesh": mesh_indices[instance.mesh]}
    # The format allows a skin only where there is something to weigh.
    if instance.skin is not None and any(primitive.influences is not None for primitive in mesh.primitives):
        item["skin"] = instance.skin
    if not torch.equal(instance.morph_weights, mesh.morph_weights):
        item["weights"] = instance.morph_weights.tolist()
    return item


def _add_skin(builder: GlbBuilder, skin: Skin) -> None:
    item: dict[str, Any] = {"name": skin.name} if skin.name else {}
    item["joints"] = skin.joints.tolist()
    item["inverseBindMatrices"] = builder.add_accessor(numpy_from_tensor(skin.inverse_bind))
    builder.append("skins", item)


def _add_mesh(builder: GlbBuilder, path: Path, mesh: CompositeMesh, material_indices: dict[int, int]) -> int:
    item: dict[str, Any] = {"name": mesh.name} if mesh.name else {}
    item["primitives"] = []
    for primitive in mesh.primitives:
        if len(primitive.faces):
            described = _add_surface(builder, path, primitive)
            if mesh.morph_names:
                described["targets"] = _add_targets(builder, primitive, len(mesh.morph_names))
            if primitive.material in material_indices:
                described["material"] = material_indices[primitive.material]
            item["primitives"].append(described)
    if mesh.morph_names:
        item["weights"] = mesh.morph_weights.tolist()
        item["extras"] = {"targetNames": list(mesh.morph_names)}
    return builder.append("meshes", item)


def _add_surface(builder: GlbBuilder, path: Path, primitive: Primitive) -> dict[str, Any]:
    positions = numpy_from_tensor(primitive.positions)
    require_finite(path, "vertex", positions)
    normals = None if primitive.normals is None else _unit(primitive.normals)
    colours = None if primitive.colours is None else numpy_from_tensor(primitive.colours.clamp(0, 1))
    described = add_primitive(builder, positions, numpy_from_tensor(primitive.faces, np.int64), normals, colours)
    attributes = described["attributes"]
    if primitive.tangents is not None and normals is not None:
        tangents = np.concatenate([_unit(primitive.tangents[:, :3]), numpy_from_tensor(primitive.tangents[:, 3:])], 1)
        attributes["TANGENT"] = builder.add_accessor(tangents, Target.VERTICES)
    for number, uvs in enumerate(primitive.uvs):
        attributes[f"TEXCOORD_{number}"] = builder.add_accessor(numpy_from_tensor(uvs), Target.VERTICES)
    if primitive.influences is not None:
        joints, weights = _stored_influences(primitive.influences)
        for number in range(joints.shape[1] // SET_SIZE):
            columns = slice(number * SET_SIZE, (number + 1) * SET_SIZE)
            attributes[f"JOINTS_{number}"] = builder.add_accessor(joints[:, columns], Target.VERTICES)
            attributes[f"WEIGHTS_{number}"] = builder.add_accessor(weights[:, columns], Target.VERTICES)
    return described


def _unit(
    directions: Tensor,  # (V, 3)
) -> NDArray[np.float32]:
    """The same with an arbitrary direction where there is none, for the format demands unit length."""
    stored = numpy_from_tensor(directions)
    stored[np.linalg.norm(stored, axis=1) < 0.5] = (0.0, 1.0, 0.0)
    return stored


def _stored_influences(influences: Influences) -> tuple[NDArray, NDArray[np.float32]]:
    """(V, K) joints and weights, K a multiple of four; no vertex names a joint twice or one that does not move it."""
    missing = -influences.joints.shape[1] % SET_SIZE
    joints = np.pad(numpy_from_tensor(influences.joints, np.int64), ((0, 0), (0, missing)))
    weights = np.pad(numpy_from_tensor(influences.weights, np.float64), ((0, 0), (0, missing)))
    for later in range(1, joints.shape[1]):
        for earlier in range(later):
            is_same = (joints[:, later] == joints[:, earlier]) & (weights[:, later] > 0)
            weights[is_same, earlier] += weights[is_same, later]
            weights[is_same, later] = 0
    joints[weights == 0] = 0
    weights /= weights.sum(1, keepdims=True)
    return joints.astype(np.uint8 if joints.max() < 256 else np.uint16), weights.astype(np.float32)


def _add_targets(builder: GlbBuilder, primitive: Primitive, count: int) -> list[dict[str, int]]:
    """The displacements of each morph target; a mesh whose targets do nothing still states that they exist."""
    morphs = primitive.morphs
    positions = morphs.positions
    if positions is None and morphs.normals is None and morphs.tangents is None:
        positions = torch.zeros(count, *primitive.positions.shape)
    given = (("POSITION", positions), ("NORMAL", morphs.normals), ("TANGENT", morphs.tangents))
    return [
        {
            name: builder.add_accessor(
                numpy_from_tensor(deltas[number]), Target.VERTICES, has_bounds=name == "POSITION"
            )
            for name, deltas in given
            if deltas is not None
        }
        for number in range(count)
    ]
