"""Reading animated and static assets from glTF files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from a4d.errors import InvalidInputError
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset, CompositeMesh, Instance, Skin
from a4d.io.assets.gltf.accessors import Accessors
from a4d.io.assets.gltf.appearance import read_materials, read_pictures
from a4d.io.assets.gltf.container import Container, read_container
from a4d.io.assets.gltf.hierarchy import ShownScene, affine, read_hierarchy, shown_scene
from a4d.io.assets.gltf.left_out import left_out
from a4d.io.assets.gltf.motion import read_clips
from a4d.io.assets.gltf.surfaces import read_mesh

SUFFIXES = frozenset({".gltf", ".glb"})

FACE_LIMIT = 2**23
"""Faces that a scene may show by repeating meshes, which no size of the file bounds."""


def read_gltf(path: Path | str) -> Asset:
    """Read a .gltf or .glb file (glTF 2.0) with its buffers and pictures.

    Shown is the scene that the file names, else its first, else all nodes, without those that are hidden. A mesh that
    an extension shows at several places gets a node for each. What the asset has no room for, and pictures that do not
    exist, are listed in its `left_out`.

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
    hierarchy, scene = read_hierarchy(accessors), shown_scene(container)
    for index in range(len(container.gltf.buffer_views)):
        container.view(index)
    for index in range(len(container.gltf.accessors)):
        accessors.array(index)
    meshes = tuple(read_mesh(accessors, index) for index in range(len(container.gltf.meshes)))
    skins = tuple(_read_skin(accessors, index) for index in range(len(container.gltf.skins)))
    instances = _read_instances(container, meshes, skins, scene, hierarchy.places)
    morph_counts = [0 if node.mesh is None else len(meshes[node.mesh].morph_names) for node in container.gltf.nodes]
    pictures = read_pictures(container)
    return Asset(
        path.name,
        hierarchy.nodes,
        hierarchy.parts,
        instances,
        meshes,
        skins,
        read_materials(container, pictures),
        tuple(_at_all_places(clip, hierarchy.places) for clip in read_clips(accessors, morph_counts)),
        left_out(container, scene, pictures),
    )


def _at_all_places(clip: Clip, places: Mapping[int, range]) -> Clip:
    """The clip with the weights of an instanced mesh's morph targets driven wherever it is shown."""
    channels = [
        replace(channel, node=node)
        for channel in clip.channels
        for node in (places.get(channel.node, [channel.node]) if channel.target == "weights" else [channel.node])
    ]
    return replace(clip, channels=tuple(channels))


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
        inverse_bind = affine(matrices[:count])
    return Skin(skin.name, torch.tensor(skin.joints, dtype=torch.int64), inverse_bind)


def _read_instances(
    container: Container,
    meshes: tuple[CompositeMesh, ...],
    skins: tuple[Skin, ...],
    scene: ShownScene,
    places: Mapping[int, range],
) -> tuple[Instance, ...]:
    """The meshes of the scene, depth first; every node's references are checked, in the scene or not."""
    instances = {
        index: _read_instance(container, index, node.mesh, meshes, skins)
        for index, node in enumerate(container.gltf.nodes)
        if node.mesh is not None
    }
    shown = [
        replace(instances[index], node=place)
        for index in scene.nodes
        if index in instances
        for place in places.get(index, [index])
    ]
    faces = [sum(len(primitive.faces) for primitive in mesh.primitives) for mesh in meshes]
    count = sum(faces[instance.mesh] for instance in shown)
    if count > max(FACE_LIMIT, sum(faces)):
        raise container.invalid(f"its instances show {count} faces, more than {FACE_LIMIT}", "Export fewer of them")
    return tuple(shown)


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
