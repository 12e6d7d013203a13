"""Assets from mesh and motion files of any common kind: shape, materials, and what moves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.asset import Asset, CompositeMesh, Instance, MorphTargets, Primitive, TransformParts
from a4d.geometry.capsules import capsule_asset
from a4d.geometry.material import Material, TextureMap
from a4d.geometry.mesh import Mesh
from a4d.geometry.posing import deform
from a4d.geometry.skeleton import Skeleton
from a4d.io.arrays import require_finite
from a4d.io.bvh import read_bvh
from a4d.io.colour import linear_from_srgb
from a4d.io.gltf.reader import SUFFIXES as GLTF_SUFFIXES
from a4d.io.gltf.reader import read_gltf
from a4d.io.images import read_image
from a4d.io.mesh_parts import (
    SUFFIXES,
    colour_fractions,
    is_placeholder,
    load_parts,
    refusing_damage,
    require_mesh_file,
    require_surface,
)

NORMAL_MAPS = ("norm", "map_kn", "map_bump", "bump")
"""Keys of an MTL file under which exporters name normal maps; the last two may also hold heights."""

Y_UP_FORMATS = (".glb", ".gltf", ".bvh")
"""Those in which +Y is up and +Z the front, by their specification or by custom."""

ROUGHNESS = 0.9


def read_asset(path: Path) -> Asset:
    """Read what a file says about shape, look and motion, in its own world.

    Args:
        path: `.glb` and `.gltf` with skins, morph targets and clips; `.obj`, `.ply`, `.stl` and `.off`, which stand
            still; `.bvh`, whose skeleton gets a body of capsules and whose motion is a clip.

    Raises:
        MissingInputError: the file, or a buffer that it cannot do without, does not exist.
        InvalidInputError: another format, damaged, not finite, or without faces of positive area.
    """
    require_mesh_file(path, (*SUFFIXES, ".bvh"))
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return capsule_asset(path.stem, read_bvh(path))
    if suffix not in GLTF_SUFFIXES:
        return _static(path)
    asset = read_gltf(path)
    shown = deform(asset)
    require_finite(path, "vertex", shown.vertices.numpy())
    require_surface(path, shown.vertices.double().numpy(), shown.faces.numpy())
    return asset


def _static(path: Path) -> Asset:
    """The parts of a file as primitives of one mesh at one node."""
    primitives, materials = list[Primitive](), list[Material]()
    with refusing_damage(path):
        for geometry, world_from_part in load_parts(path):
            primitives.append(_primitive(path, geometry, world_from_part, len(materials)))
            materials.append(_material(path, geometry.visual))
    unmorphed, identity = torch.zeros(0, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[None]
    mesh = CompositeMesh(path.stem, tuple(primitives), (), unmorphed)
    nodes = Skeleton((path.stem,), torch.tensor([-1]), identity)
    rotation = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    parts = TransformParts(identity[:, :3, 3], rotation, torch.ones(1, 3, dtype=torch.float64))
    return Asset(path.name, nodes, parts, (Instance(0, 0, None, unmorphed),), (mesh,), (), tuple(materials), ())


def _primitive(path: Path, geometry: Any, world_from_part: NDArray[np.float64], material: int) -> Primitive:
    vertices, faces = np.asarray(geometry.vertices, np.float64), np.asarray(geometry.faces, np.int64)
    vertices = vertices @ world_from_part[:3, :3].T + world_from_part[:3, 3]
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite and is refused
        require_finite(path, "vertex", vertices.astype(np.float32))
    require_surface(path, vertices, faces)
    colours = _colours(geometry)
    uvs = _uvs(geometry.visual, len(vertices))
    # trimesh keeps normals that stand in the file; others it would compute face by face across seams.
    normals = np.array(geometry.vertex_normals) if "vertex_normals" in geometry._cache else None  # noqa: SLF001
    if normals is not None and not (np.isfinite(normals).all() and np.abs(normals).any()):
        normals = None
    if normals is not None:
        normals = normals @ np.linalg.inv(world_from_part[:3, :3])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    if path.suffix.lower() == ".stl":  # which repeats a corner in every face
        vertices, index = np.unique(vertices.astype(np.float32), axis=0, return_inverse=True)
        faces, uvs, normals = index.reshape(-1)[faces], np.zeros((0, len(vertices), 2)), None
    if geometry.visual.kind == "face":
        corners = faces.reshape(-1)
        vertices, faces = vertices[corners], np.arange(len(corners)).reshape(-1, 3)
        uvs, normals = uvs[:, corners], None if normals is None else normals[corners]
    if np.linalg.det(world_from_part[:3, :3]) < 0:
        faces = faces[:, ::-1]
    positions, triangles = torch.from_numpy(vertices).float(), torch.from_numpy(np.ascontiguousarray(faces))
    return Primitive(
        positions,
        triangles,
        material,
        smooth_normals(positions, triangles) if normals is None else torch.from_numpy(normals).float(),
        None,
        torch.from_numpy(uvs).float(),
        None if colours is None else torch.from_numpy(colours).float(),
        None,
        MorphTargets(None, None, None),
    )


def smooth_normals(
    positions: Tensor,  # (V, 3)
    faces: Tensor,  # (F, 3)
) -> Tensor:
    """(V, 3) unit normals that do not know of seams: vertices at the same place share the mean over all their faces."""
    places, index = positions.unique(dim=0, return_inverse=True)
    return Mesh(places, index[faces]).vertex_normals[index]


def _colours(geometry: Any) -> NDArray[np.float64] | None:
    """(V, 4) sRGB and alpha; of face colours, one for each corner."""
    visual = geometry.visual
    if visual.kind == "face":
        colours = np.repeat(visual.face_colors / 255.0, 3, axis=0)
    elif visual.kind == "vertex":
        colours = visual.vertex_colors / 255.0
    elif "color" in geometry.vertex_attributes and not _has_picture(visual):
        colours = colour_fractions(geometry.vertex_attributes["color"])
    else:
        return None
    return np.concatenate([colours[:, :3], np.ones((len(colours), 1))], axis=1)


def _uvs(visual: Any, count: int) -> NDArray[np.float64]:
    """(S, V, 2) with v down; trimesh has it up."""
    uv = getattr(visual, "uv", None) if visual.kind == "texture" else None
    if uv is None or len(uv) != count:
        return np.zeros((0, count, 2))
    uv = np.nan_to_num(np.asarray(uv, np.float64)[:, :2])
    return np.stack([uv[:, 0], 1 - uv[:, 1]], axis=-1)[None]


def _has_picture(visual: Any) -> bool:
    image = getattr(getattr(visual, "material", None), "image", None)
    return image is not None and visual.uv is not None and not is_placeholder(image)


def _material(path: Path, visual: Any) -> Material:
    """The look that a part's material describes: its picture, else its diffuse colour where the file states one."""
    plain = Material(metallic=0.0, roughness=ROUGHNESS, is_double_sided=True)
    if visual.kind != "texture":
        return plain
    material = visual.material
    values = {"name": str(getattr(material, "name", None) or ""), "metallic": 0.0, "roughness": ROUGHNESS}
    stated = getattr(material, "kwargs", {})
    base, picture = (1.0, 1.0, 1.0, 1.0), None
    if _has_picture(visual):
        try:
            samples = np.asarray(material.image.convert("RGB"), np.float32) / np.float32(255)
        except (OSError, SyntaxError, ValueError) as error:  # trimesh opens pictures but leaves them to be decoded
            raise InvalidInputError(f"{path}: a texture is damaged: {error}") from error
        picture = _texture(torch.from_numpy(samples))
    elif "kd" in stated:
        red, green, blue = linear_from_srgb(np.asarray(material.diffuse[:3], np.float64) / 255.0).tolist()
        base = (red, green, blue, 1.0)
    return Material(
        **values,  # type: ignore[arg-type]
        base_colour=base,
        base_colour_map=picture,
        normal_map=_normal_map(path, stated) if visual.uv is not None else None,
        is_double_sided=True,
    )


def _normal_map(path: Path, stated: dict[str, Any]) -> TextureMap | None:
    """The normal map that an MTL file names; a picture that is not mostly blue holds heights and is left out."""
    for key in NORMAL_MAPS:
        words = stated.get(key) or []
        file = path.parent / (str(words[-1]) if words else "")
        if words and file.is_file() and file.resolve().is_relative_to(path.parent.resolve()):
            image = torch.from_numpy(read_image(file)[..., :3].copy())
            if float(image[..., 2].mean()) > 0.7 > float(image[..., :2].mean()):
                return _texture(image)
    return None


def _texture(image: Tensor) -> TextureMap:
    return TextureMap(image, 0, ("repeat", "repeat"), True, torch.eye(2, 3))
