"""The tree of nodes: transforms, the places of instanced meshes, and what the scene shows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.geometry.assets.assembly import parts_of
from a4d.geometry.assets.asset import TransformParts
from a4d.geometry.deformation.skeleton import Skeleton, joint_in_loop
from a4d.geometry.transforms import rigid_from_parts, rotation_from_quaternion
from a4d.io.assets.gltf.accessors import Accessors
from a4d.io.assets.gltf.container import Container
from a4d.io.assets.gltf.motion import WXYZ

PLACE_LIMIT = 2**16
"""Places of instanced meshes in a file; what a few bytes multiply by more would take hours to look at."""

PLACE_SHAPES = {"TRANSLATION": 3, "ROTATION": 4, "SCALE": 3}


@dataclass(frozen=True)
class Hierarchy:
    """All nodes of a file, and after them one below each instanced node for every place of its mesh.

    Args:
        nodes: the hierarchy and its rest transforms.
        parts: those transforms as translation, rotation and scale.
        places: the nodes at the places of each instanced node's mesh.
    """

    nodes: Skeleton
    parts: TransformParts
    places: Mapping[int, range]


@dataclass(frozen=True)
class ShownScene:
    """What the scene of a file shows, in the order of its depth-first traversal.

    Args:
        nodes: indices of those that are seen.
        hidden: of those that are not, or stand below one that is not.
    """

    nodes: tuple[int, ...]
    hidden: tuple[int, ...]


def read_hierarchy(accessors: Accessors) -> Hierarchy:
    """The nodes of a file.

    Raises:
        InvalidInputError: a node does not exist, has two parents or is its own ancestor; places of a mesh that do not
            fit each other, or are too many.
    """
    container = accessors.container
    nodes = container.gltf.nodes
    parents, parts = _parents(container), _stated_parts(container)
    names, places = [node.name for node in nodes], dict[int, range]()
    for index, node in enumerate(nodes):
        # Where there is a skin the nodes have no say in where its mesh stands.
        if node.extensions.instancing is None or node.mesh is None or node.skin is not None:
            continue
        own = _places(accessors, index, node.extensions.instancing.attributes)
        count = len(own.translations)
        places[index] = range(len(parents), len(parents) + count)
        if len(parents) + count > len(nodes) + PLACE_LIMIT:
            raise container.invalid(f"instances are more than {PLACE_LIMIT}", "Export fewer of them")
        parents += [index] * count
        names += [f"{node.name} {number}" if node.name else "" for number in range(1, count + 1)]
        parts = TransformParts(
            torch.cat([parts.translations, own.translations]),
            torch.cat([parts.rotations, own.rotations]),
            torch.cat([parts.scales, own.scales]),
        )
    rest = rigid_from_parts(rotation_from_quaternion(parts.rotations) * parts.scales[:, None, :], parts.translations)
    for index, node in enumerate(nodes):
        if node.matrix is not None:
            rest[index] = affine(torch.tensor(node.matrix, dtype=torch.float64).reshape(4, 4).T)
            with suppress(UsageError):  # what shears has no parts
                own = parts_of(rest[index])
                parts.translations[index], parts.rotations[index] = own.translations, own.rotations
                parts.scales[index] = own.scales
    return Hierarchy(Skeleton(tuple(names), torch.tensor(parents, dtype=torch.int64), rest), parts, places)


def _parents(container: Container) -> list[int]:
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
    return parents


def _stated_parts(container: Container) -> TransformParts:
    nodes = container.gltf.nodes

    def stacked(rows: list[list[float]], width: int) -> Tensor:
        return torch.tensor(rows, dtype=torch.float64).reshape(len(nodes), width)

    return TransformParts(
        stacked([node.translation for node in nodes], 3),
        stacked([node.rotation for node in nodes], 4)[:, WXYZ],
        stacked([node.scale for node in nodes], 3),
    )


def _places(accessors: Accessors, index: int, attributes: Mapping[str, int]) -> TransformParts:
    """Where EXT_mesh_gpu_instancing shows a node's mesh, relative to the node."""
    container = accessors.container
    counts = {len(accessors.array(attribute)) for attribute in attributes.values()}
    if len(counts) != 1:
        raise container.invalid(f"the instances of node {index} have attributes of different lengths, or none")
    (count,) = counts

    def given(name: str) -> Tensor | None:
        if name not in attributes:
            return None
        what = f"node {index}'s instances' {name}"
        return accessors.floats(attributes[name], (PLACE_SHAPES[name],), what, torch.float64)

    translations, rotations, scales = (given(name) for name in PLACE_SHAPES)
    unturned = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    return TransformParts(
        torch.zeros(count, 3, dtype=torch.float64) if translations is None else translations,
        unturned.repeat(count, 1) if rotations is None else rotations[:, WXYZ],
        torch.ones(count, 3, dtype=torch.float64) if scales is None else scales,
    )


def affine(
    matrices: Tensor,  # (..., 4, 4)
) -> Tensor:
    """The same with the last row that the specification demands and some exporters get wrong."""
    matrices = matrices.clone()
    matrices[..., 3, :] = matrices.new_tensor([0.0, 0.0, 0.0, 1.0])
    return matrices


def shown_scene(container: Container) -> ShownScene:
    """The nodes of the scene that the file names, else of its first, else all.

    Raises:
        InvalidInputError: a scene or one of its nodes does not exist.
    """
    nodes = container.gltf.nodes
    is_seen: dict[int, bool] = {}
    waiting = [(root, True) for root in reversed(_scene_roots(container))]
    while waiting:
        index, is_parent_seen = waiting.pop()
        if index not in is_seen:
            is_seen[index] = is_parent_seen and nodes[index].extensions.visibility.visible
            waiting.extend((child, is_seen[index]) for child in reversed(nodes[index].children))
    return ShownScene(
        tuple(index for index, seen in is_seen.items() if seen),
        tuple(index for index, seen in is_seen.items() if not seen),
    )


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
