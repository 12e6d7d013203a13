"""Triangle meshes from files of any common kind, as one welded surface with vertex colours."""

from __future__ import annotations

import logging
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.mesh import Mesh
from a4d.io.arrays import require_finite
from a4d.io.colour import linear_from_srgb, srgb_from_linear

SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
ADVICE = {
    ".fbx": "In Blender, import the FBX file and export it as glTF",
    ".blend": "In Blender, export it as glTF",
    ".zip": "Unpack it and name the mesh file inside",
}
PLAIN_COLOUR = 0.8
"""sRGB of the parts without a colour of their own in a file where other parts have one."""
WELDING_DISTANCE = 1e-6
"""In units of the shape's extent."""

# Without a handler Python prints a library's warnings to standard error by itself; what matters becomes an error here.
logging.getLogger("trimesh").addHandler(logging.NullHandler())


def read_mesh(path: Path, is_welded: bool = True) -> Mesh:
    """All surfaces of a file in its world frame, as one mesh.

    Colours come from vertex colours, face colours, or the base-colour texture sampled at the vertices, and are absent
    where the file has none. Skins and animations are not applied.

    Args:
        path: `.glb`, `.gltf`, `.obj`, `.off`, `.ply` or `.stl`.
        is_welded: make one vertex of those at the same place and average their colours, so that seams of textures and
            sharp edges do not tear the surface.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: another format, damaged, without faces of positive area, or not finite.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingInputError(f"{path} does not exist")
    if suffix not in SUFFIXES:
        advice = ADVICE.get(suffix, f"Convert it to one of {', '.join(SUFFIXES)}")
        raise InvalidInputError(f"{path}: meshes are not read from {suffix or 'files without a suffix'}", advice)
    parts = _load_parts(path, is_linear=suffix in (".glb", ".gltf"))
    if not parts:
        raise InvalidInputError(f"{path} holds no triangles", "Points and lines alone make no surface")
    vertices, faces, colours = _merged(parts)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite and is refused
        vertices = vertices.astype(np.float32).astype(np.float64)
    require_finite(path, "vertex", vertices)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InvalidInputError(f"{path} has a face that names vertices which do not exist")
    if is_welded:
        vertices, faces, colours = _welded(vertices, faces, colours)
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.any():
        raise InvalidInputError(f"{path} holds no triangle of positive area")
    return Mesh(
        torch.from_numpy(vertices.astype(np.float32)),
        torch.from_numpy(np.ascontiguousarray(faces, dtype=np.int64)),
        None if colours is None else torch.from_numpy(colours.astype(np.float32)),
    )


Part = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64] | None]
"""Vertices (V, 3) in the world of the file, faces (F, 3), and colours (V, 3) sRGB in [0, 1] or None."""


def _load_parts(path: Path, is_linear: bool) -> list[Part]:
    import trimesh

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            # With a material, trimesh drops the vertex colours of an OBJ file.
            options: dict[str, Any] = {"skip_materials": True} if _is_obj_with_colours(path) else {}
            scene = trimesh.load_scene(path, process=False, **options)
            parts = []
            for node in scene.graph.nodes_geometry:
                world_from_part, name = scene.graph[node]
                geometry = scene.geometry[name]
                if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
                    parts.append(_part(geometry, world_from_part, is_linear))
    # A damaged file makes a foreign reader fail in any way at all.
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidInputError(f"{path} cannot be read as a mesh: {reason}") from error
    return parts


def _is_obj_with_colours(path: Path) -> bool:
    """Whether the first vertex of an OBJ file has a colour and no vertex a texture coordinate."""
    if path.suffix.lower() != ".obj":
        return False
    content = path.read_bytes()
    vertex = re.search(rb"^v[ \t]+(.*)$", content, re.MULTILINE)
    return vertex is not None and len(vertex[1].split()) >= 6 and not re.search(rb"^vt\s", content, re.MULTILINE)


def _part(geometry: Any, world_from_part: NDArray[np.float64], is_linear: bool) -> Part:
    vertices, faces = np.asarray(geometry.vertices, np.float64), np.asarray(geometry.faces, np.int64)
    colours = None
    if geometry.visual.kind == "face":
        colours = np.repeat(geometry.visual.face_colors[:, :3] / 255.0, 3, axis=0)
        vertices, faces = vertices[faces.reshape(-1)], np.arange(faces.size).reshape(-1, 3)
    elif geometry.visual.kind == "vertex":
        stored = geometry.visual.vertex_colors[:, :3] / 255.0
        colours = srgb_from_linear(stored) if is_linear else stored
    elif geometry.visual.kind == "texture" and is_linear:
        colours = _gltf_colours(geometry.visual, len(vertices))
    elif geometry.visual.kind == "texture":
        colours = _plain_colours(geometry.visual.material, geometry.visual.uv, len(vertices))
        if colours is None and "color" in geometry.vertex_attributes:
            colours = _fractions(geometry.vertex_attributes["color"])
    vertices = vertices @ world_from_part[:3, :3].T + world_from_part[:3, 3]
    if np.linalg.det(world_from_part[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return vertices, faces, colours


def _gltf_colours(visual: Any, count: int) -> NDArray[np.float64] | None:
    """(count, 3) sRGB: the product of texture, base colour and COLOR_0 in linear light (glTF 2.0, section 3.9.2)."""
    material = visual.material
    factors = []
    if material.baseColorTexture is not None and visual.uv is not None:
        factors.append(linear_from_srgb(_sampled(material.baseColorTexture, visual.uv)))
    if material.baseColorFactor is not None:
        factors.append(np.asarray(material.baseColorFactor[:3], np.float64) / 255.0)
    if "color" in visual.vertex_attributes:
        factors.append(_fractions(visual.vertex_attributes["color"]))
    if not factors:
        return None
    return np.broadcast_to(srgb_from_linear(math.prod(factors[1:], start=factors[0])), (count, 3))


def _plain_colours(material: Any, uv: NDArray | None, count: int) -> NDArray[np.float64] | None:
    """(count, 3) sRGB: the texture, or where there is none the diffuse colour if the file states one."""
    if material.image is not None and uv is not None and not _is_placeholder(material.image):
        return _sampled(material.image, uv)
    if "kd" not in material.kwargs:
        return None
    return np.broadcast_to(np.asarray(material.diffuse[:3], np.float64) / 255.0, (count, 3))


def _is_placeholder(image: Any) -> bool:
    """Whether trimesh made the image up because the file names no texture, or one that is not there."""
    from trimesh.visual.material import color_image

    return image.size == (2, 2) and image.mode == "RGBA" and image.tobytes() == color_image().tobytes()


def _fractions(colours: NDArray) -> NDArray[np.float64]:
    """(V, 3) in [0, 1] of stored colours (V, 3 or 4), integers or floating point."""
    scale = float(np.iinfo(colours.dtype).max) if colours.dtype.kind in "iu" else 1.0
    return np.asarray(colours, np.float64)[:, :3].clip(0.0, scale) / scale


def _sampled(
    image: Any,
    uv: NDArray,  # (V, 2), origin at the lower left, repeating
) -> NDArray[np.float64]:
    """(V, 3) bilinear samples of a PIL image, in [0, 1]."""
    texture = np.asarray(image.convert("RGB"), np.float64) / 255.0
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    x, y = np.nan_to_num(x) % width, np.nan_to_num(y) % height
    left, top = np.floor(x).astype(int) % width, np.floor(y).astype(int) % height
    right, bottom = (left + 1) % width, (top + 1) % height
    s, t = (x - np.floor(x))[:, None], (y - np.floor(y))[:, None]
    above = texture[top, left] * (1 - s) + texture[top, right] * s
    below = texture[bottom, left] * (1 - s) + texture[bottom, right] * s
    return above * (1 - t) + below * t


def _merged(parts: list[Part]) -> Part:
    offsets = np.cumsum([0, *(len(vertices) for vertices, _, _ in parts)])
    vertices = np.concatenate([vertices for vertices, _, _ in parts])
    faces = np.concatenate([faces + offset for (_, faces, _), offset in zip(parts, offsets[:-1], strict=True)])
    if all(colours is None for _, _, colours in parts):
        return vertices, faces, None
    colours = [np.full_like(v, PLAIN_COLOUR) if c is None else np.asarray(c) for v, _, c in parts]
    return vertices, faces, np.concatenate(colours)


def _welded(vertices: NDArray[np.float64], faces: NDArray[np.int64], colours: NDArray[np.float64] | None) -> Part:
    used = np.unique(faces)
    # Formats such as STL repeat a corner in every face, not always with the same last digit.
    grid = max(float(np.ptp(vertices[used], axis=0).max()) * WELDING_DISTANCE, 1e-30)
    cells = np.rint((vertices[used] - vertices[used].min(axis=0)) / grid).astype(np.int64)
    _, first, index = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    places, index = vertices[used][first], index.reshape(-1)
    faces = index[np.searchsorted(used, faces)]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    if colours is not None:
        sums = np.stack([np.bincount(index, colours[used, channel], len(places)) for channel in range(3)], axis=1)
        colours = sums / np.bincount(index, minlength=len(places))[:, None]
    return places, faces, colours
