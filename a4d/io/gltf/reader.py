"""Reading animated and static assets from glTF files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.asset import Asset, CompositeMesh, Instance, Skin, TransformParts
from a4d.geometry.skeleton import Skeleton, joint_in_loop
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.gltf.accessors import Accessors
from a4d.io.gltf.appearance import read_materials, read_pictures
from a4d.io.gltf.container import Container, read_container
from a4d.io.gltf.motion import WXYZ, read_clips
from a4d.io.gltf.surfaces import read_mesh

SUFFIXES = frozenset({".gltf", ".glb"})


def read_gltf(path: Path | str) -> Asset:
    """Read a .gltf or .glb file (glTF 2.0) with its buffers and pictures.

    Shown is the scene that the file names, else its first, else all nodes. Cameras, lights and extensions that multiply
    meshes are left out. A picture that does not exist is left out too, and noted in the asset's `missing_pictures`.

    Args:
        path: the file; buffers and pictures outside its folder are refused.

    Raises:
        MissingInputError: the file, or a buffer that it refers to, does not exist.
        InvalidInputError: it is of another format, damaged, inconsistent, or requires an unknown extension; names the
            reason.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInputError(
            f"{path} is no glTF file", "Convert it to .glb, for example with Blender: File > Export > glTF 2.0"
        )
    container = read_container(path)
    accessors = Accessors(container)
    # Also what nothing uses is read, so that a damaged file is refused whole rather than surprising later.
    nodes, parts = _read_nodes(container)
    for index in range(len(container.gltf.buffer_views)):
        container.view(index)
    for index in range(len(container.gltf.accessors)):
        accessors.array(index)
    meshes = tuple(read_mesh(accessors, index) for index in range(len(container.gltf.meshes)))
    skins = tuple(_read_skin(accessors, index) for index in range(len(container.gltf.skins)))
    instances = _read_instances(container, meshes, skins)
    morph_counts = [0 if node.mesh is None else len(meshes[node.mesh].morph_names) for node in container.gltf.nodes]
    pictures = read_pictures(container)
    return Asset(
        path.name,
        nodes,
        parts,
        instances,
        meshes,
        skins,
        read_materials(container, pictures),
        read_clips(accessors, morph_counts),
        tuple(pictures.missing.values()),
    )


def _read_nodes(container: Container) -> tuple[Skeleton, TransformParts]:
    nodes = container.gltf.nodes
    parents = [-1] * len(nodes)
    for index, node in enumerate(nodes):
        for child in node.children:
            container.item(nodes, child, "node")
            if parents[child] >= 0:
                raise container.invalid(f"node {child} has two parents")
            parents[child] = index
    looping = joint_in_loop(parents)
    if looping is not None:
        raise container.invalid(f"node {looping} is its own ancestor")

    def stacked(rows: list[list[float]], width: int) -> Tensor:
        return torch.tensor(rows, dtype=torch.float64).reshape(len(nodes), width)

    parts = TransformParts(
        stacked([node.translation for node in nodes], 3),
        stacked([node.rotation for node in nodes], 4)[:, WXYZ],
        stacked([node.scale for node in nodes], 3),
    )
    rest = rigid_from_parts(rotation_from_quaternion(parts.rotations) * parts.scales[:, None, :], parts.translations)
    for index, node in enumerate(nodes):
        if node.matrix is not None:
            rest[index] = _affine(torch.tensor(node.matrix, dtype=torch.float64).reshape(4, 4).T)
    return Skeleton(tuple(node.name for node in nodes), torch.tensor(parents, dtype=torch.int64), rest), parts


def _affine(
    matrices: Tensor,  # (..., 4, 4)
) -> Tensor:
    """The same with the last row that the specification demands and some exporters get wrong."""
    matrices = matrices.clone()
    matrices[..., 3, :] = matrices.new_tensor([0.0, 0.0, 0.0, 1.0])
    return matrices


def _read_skin(accessors: Accessors, index: int) -> Skin:
    container = accessors.container
    skin = container.gltf.skins[index]
    for node in [*skin.joints, *([] if skin.skeleton is None else [skin.skeleton])]:
        container.item(container.gltf.nodes, node, "node")
    if len(set(skin.joints)) != len(skin.joints):
        raise container.invalid(f"skin {index} names a joint twice")
    count = len(skin.joints)
    inverse_bind = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    if skin.inverse_bind_matrices is not None:
        what = f"skin {index}'s inverse bind matrices"
        matrices = accessors.floats(skin.inverse_bind_matrices, (4, 4), what, torch.float64)
        if len(matrices) < count:
            raise container.invalid(f"skin {index} has {len(matrices)} inverse bind matrices for {count} joints")
        inverse_bind = _affine(matrices[:count])
    return Skin(skin.name, torch.tensor(skin.joints, dtype=torch.int64), inverse_bind)


def _read_instances(
    container: Container, meshes: tuple[CompositeMesh, ...], skins: tuple[Skin, ...]
) -> tuple[Instance, ...]:
    """The meshes of the scene, depth first; every node's references are checked, in the scene or not."""
    nodes = container.gltf.nodes
    instances = {
        index: _read_instance(container, index, node.mesh, meshes, skins)
        for index, node in enumerate(nodes)
        if node.mesh is not None
    }
    order: dict[int, None] = {}
    waiting = list(reversed(_scene_roots(container)))
    while waiting:
        index = waiting.pop()
        if index not in order:
            order[index] = None
            waiting.extend(reversed(nodes[index].children))
    return tuple(instances[index] for index in order if index in instances)


def _scene_roots(container: Container) -> list[int]:
    gltf = container.gltf
    for scene in gltf.scenes:
        for root in scene.nodes:
            container.item(gltf.nodes, root, "node")
    if gltf.scene is not None:
        return container.item(gltf.scenes, gltf.scene, "scene").nodes
    if gltf.scenes:
        return gltf.scenes[0].nodes
    children = {child for node in gltf.nodes for child in node.children}
    return [index for index in range(len(gltf.nodes)) if index not in children]


def _read_instance(
    container: Container, index: int, mesh_index: int, meshes: tuple[CompositeMesh, ...], skins: tuple[Skin, ...]
) -> Instance:
    node = container.gltf.nodes[index]
    mesh = container.item(meshes, mesh_index, "mesh")
    weights = mesh.morph_weights
    if node.weights is not None:
        if len(node.weights) != len(weights):
            raise container.invalid(f"node {index} has {len(node.weights)} weights for {len(weights)} morph targets")
        weights = torch.tensor(node.weights, dtype=torch.float64)
    if node.skin is not None:
        skin = container.item(skins, node.skin, "skin")
        for primitive in mesh.primitives:
            if primitive.influences is not None and int(primitive.influences.joints.max()) >= len(skin.joints):
                highest = int(primitive.influences.joints.max())
                raise container.invalid(f"mesh {mesh_index} names joint {highest} of {len(skin.joints)}")
    return Instance(index, mesh_index, node.skin, weights)
