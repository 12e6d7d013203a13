"""Meshes: attributes, triangles of all modes, skin influences and morph targets."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.assets.asset import CompositeMesh, MorphTargets, Primitive
from a4d.geometry.deformation.influences import Influences
from a4d.io.assets.gltf import schema
from a4d.io.assets.gltf.accessors import Accessors
from a4d.io.pictures.colour import srgb_from_linear

TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = 4, 5, 6

DELTA_LIMIT = 2**26
"""Morph targets times vertices; targets may be empty, so that no buffer bounds their number."""


def read_mesh(accessors: Accessors, index: int) -> CompositeMesh:
    """The triangles of a mesh; points and lines are left out.

    The material of a primitive that names none is the one after the file's last.

    Raises:
        InvalidInputError: attributes of different lengths or wrong types, indices out of range, morph targets that
            do not fit.
    """
    container = accessors.container
    mesh = container.gltf.meshes[index]
    counts = {len(primitive.targets) for primitive in mesh.primitives}
    if len(counts) > 1:
        raise container.invalid(f"the primitives of mesh {index} have different numbers of morph targets")
    count = counts.pop() if counts else 0
    if mesh.weights is not None and len(mesh.weights) != count:
        raise container.invalid(f"mesh {index} has {count} morph targets but {len(mesh.weights)} weights")
    primitives = [
        _read_primitive(accessors, primitive, f"mesh {index}")
        for primitive in mesh.primitives
        # Without positions there is nothing to show; an extension may know better.
        if primitive.mode >= TRIANGLES and "POSITION" in primitive.attributes
    ]
    weights = torch.tensor(mesh.weights or [0.0] * count, dtype=torch.float64)
    return CompositeMesh(mesh.name, tuple(primitives), _morph_names(mesh.extras, count), weights)


def _morph_names(extras: Any, count: int) -> tuple[str, ...]:
    """The names that exporters agree to put into the mesh's extras, else numbers."""
    names = extras.get("targetNames") if isinstance(extras, dict) else None
    if isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names):
        return tuple(names)
    return tuple(f"target {number}" for number in range(count))


def _read_primitive(accessors: Accessors, primitive: schema.Primitive, what: str) -> Primitive:
    attributes = primitive.attributes
    positions = accessors.floats(attributes["POSITION"], (3,), f"{what}'s POSITION")
    count = len(positions)

    def vectors(name: str, size: int) -> Tensor | None:
        if name not in attributes:
            return None
        values = accessors.floats(attributes[name], (size,), f"{what}'s {name}")
        _require_count(accessors, values, count, f"{what}'s {name}")
        return values

    normals, tangents = vectors("NORMAL", 3), vectors("TANGENT", 4)
    if tangents is not None:
        sign = torch.where(tangents[:, 3:] < 0, -1.0, 1.0)
        tangents = torch.cat([normalize(tangents[:, :3], dim=1), sign], dim=1)
    material = len(accessors.container.gltf.materials) if primitive.material is None else primitive.material
    uvs = [vectors(f"TEXCOORD_{number}", 2) for number in range(_uv_sets(accessors, primitive, what))]
    return Primitive(
        positions,
        _read_faces(accessors, primitive, count, what),
        material,
        None if normals is None else normalize(normals, dim=1),
        tangents,
        torch.stack([torch.zeros(count, 2) if uv is None else uv for uv in uvs]) if uvs else torch.zeros(0, count, 2),
        _read_colours(accessors, attributes, count, what),
        _read_influences(accessors, attributes, count, what),
        _read_morphs(accessors, primitive, count, what),
    )


def _require_count(accessors: Accessors, values: Tensor, count: int, what: str) -> None:
    if len(values) != count:
        raise accessors.container.invalid(f"{what} has {len(values)} elements for {count} vertices")


def _uv_sets(accessors: Accessors, primitive: schema.Primitive, what: str) -> int:
    """How many sets of texture coordinates the primitive gives or its material asks for."""
    gltf = accessors.container.gltf
    numbers = [int(name[9:]) for name in primitive.attributes if re.fullmatch(r"TEXCOORD_[0-9]", name)]
    if primitive.material is not None:
        material = accessors.container.item(gltf.materials, primitive.material, f"{what}'s material")
        numbers += [map_.uv_set for map_ in texture_maps(material)]
    return max(numbers, default=-1) + 1


def texture_maps(material: schema.Material) -> list[schema.TextureInfo]:
    """All textures of a material that we use."""
    metallic, specular = material.pbr_metallic_roughness, material.extensions.specular_glossiness
    maps = [
        metallic.base_color_texture,
        metallic.metallic_roughness_texture,
        material.normal_texture,
        material.occlusion_texture,
        material.emissive_texture,
        specular.diffuse_texture if specular else None,
        material.extensions.transmission.transmission_texture,
    ]
    return [map_ for map_ in maps if map_ is not None]


def _read_colours(accessors: Accessors, attributes: dict[str, int], count: int, what: str) -> Tensor | None:
    """The first colour set, (V, 4) sRGB and straight alpha."""
    if "COLOR_0" not in attributes:
        return None
    array = accessors.array(attributes["COLOR_0"])
    size = 3 if array.shape[1:] == (3,) else 4
    linear = accessors.floats(attributes["COLOR_0"], (size,), f"{what}'s COLOR_0").clamp(0, 1)
    _require_count(accessors, linear, count, f"{what}'s COLOR_0")
    encoded = torch.from_numpy(srgb_from_linear(linear[:, :3].double().numpy())).float()
    return torch.cat([encoded, linear[:, 3:] if size == 4 else torch.ones(count, 1)], dim=1)


def _read_influences(accessors: Accessors, attributes: dict[str, int], count: int, what: str) -> Influences | None:
    """All sets of joints and weights; a vertex that nothing weighs follows the first joint it names."""
    joints: list[Tensor] = []
    weights: list[Tensor] = []
    while (joint_name := f"JOINTS_{len(joints)}") in attributes:
        weight_name = f"WEIGHTS_{len(joints)}"
        if weight_name not in attributes:
            raise accessors.container.invalid(f"{what} has {joint_name} without {weight_name}")
        joints.append(accessors.integers(attributes[joint_name], (4,), f"{what}'s {joint_name}"))
        weights.append(accessors.floats(attributes[weight_name], (4,), f"{what}'s {weight_name}", torch.float64))
        _require_count(accessors, joints[-1], count, f"{what}'s {joint_name}")
        _require_count(accessors, weights[-1], count, f"{what}'s {weight_name}")
    if not joints:
        return None
    weight, joint = torch.cat(weights, dim=1), torch.cat(joints, dim=1)
    if (weight < 0).any():
        raise accessors.container.invalid(f"{what} has negative skin weights")
    weight[weight.sum(1) == 0, 0] = 1.0
    weight /= weight.sum(1, keepdim=True)
    # What weighs nothing may name a joint that does not exist.
    return Influences(torch.where(weight > 0, joint, torch.zeros_like(joint)), weight.float())


def _read_morphs(accessors: Accessors, primitive: schema.Primitive, count: int, what: str) -> MorphTargets:
    if len(primitive.targets) * count > DELTA_LIMIT:
        problem = f"{what} has {len(primitive.targets)} morph targets of {count} vertices"
        raise accessors.container.invalid(problem, "Export fewer of them")

    def deltas(name: str) -> Tensor | None:
        """(K, V, 3) of an attribute, zero for targets without it; None where none has it."""
        if not any(name in target for target in primitive.targets):
            return None
        stacked = torch.zeros(len(primitive.targets), count, 3)
        for number, target in enumerate(primitive.targets):
            if name in target:
                values = accessors.floats(target[name], (3,), f"{what}'s morph target {number}'s {name}")
                _require_count(accessors, values, count, f"{what}'s morph target {number}'s {name}")
                stacked[number] = values
        return stacked

    return MorphTargets(deltas("POSITION"), deltas("NORMAL"), deltas("TANGENT"))


def _read_faces(accessors: Accessors, primitive: schema.Primitive, count: int, what: str) -> Tensor:
    """(F, 3) with the winding that the specification gives strips and fans (section 3.7.2.1)."""
    if primitive.indices is None:
        corners = torch.arange(count)
    else:
        corners = accessors.integers(primitive.indices, (), f"{what}'s indices")
        highest = int(corners.max())
        if highest >= count:
            raise accessors.container.invalid(f"{what} has index {highest} for {count} vertices")
        if highest == np.iinfo(accessors.array(primitive.indices).dtype).max:
            raise accessors.container.invalid(f"{what} has index {highest}, which restarts primitives in other readers")
    if primitive.mode == TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return torch.zeros(0, 3, dtype=torch.int64)
    if primitive.mode == TRIANGLE_FAN:
        return torch.stack([corners[1:-1], corners[2:], corners[:1].expand(len(corners) - 2)], dim=1)
    faces = torch.stack([corners[:-2], corners[1:-1], corners[2:]], dim=1)
    faces[1::2] = faces[1::2][:, [0, 2, 1]]
    # Strips are joined by triangles without area, which are no part of the surface.
    a, b, c = faces.unbind(1)
    return faces[(a != b) & (b != c) & (c != a)]
