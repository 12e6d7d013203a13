"""Triangle meshes from files of any common kind, as one welded surface with vertex colours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.geometry.mesh import Mesh
from a4d.io.arrays import require_finite
from a4d.io.colour import linear_from_srgb, srgb_from_linear
from a4d.io.mesh_parts import (
    colour_fractions,
    is_placeholder,
    load_parts,
    refusing_damage,
    require_mesh_file,
    require_surface,
)

PLAIN_COLOUR = 0.8
"""sRGB of the parts without a colour of their own in a file where other parts have one."""
WELDING_DISTANCE = 1e-6
"""In units of the shape's extent."""


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
    require_mesh_file(path)
    is_linear = path.suffix.lower() in (".glb", ".gltf")
    with refusing_damage(path):
        vertices, faces, colours = _merged([_part(*part, is_linear) for part in load_parts(path)])
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite and is refused
        vertices = vertices.astype(np.float32).astype(np.float64)
    require_finite(path, "vertex", vertices)
    require_surface(path, vertices, faces)
    if is_welded:
        vertices, faces, colours = _welded(vertices, faces, colours)
        require_surface(path, vertices, faces)
    return Mesh(
        torch.from_numpy(vertices.astype(np.float32)),
        torch.from_numpy(np.ascontiguousarray(faces, dtype=np.int64)),
        None if colours is None else torch.from_numpy(colours.astype(np.float32)),
    )


Part = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64] | None]
"""Vertices (V, 3) in the world of the file, faces (F, 3), and colours (V, 3) sRGB in [0, 1] or None."""


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
            colours = colour_fractions(geometry.vertex_attributes["color"])
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
        factors.append(colour_fractions(visual.vertex_attributes["color"]))
    if not factors:
        return None
    return np.broadcast_to(srgb_from_linear(math.prod(factors[1:], start=factors[0])), (count, 3))


def _plain_colours(material: Any, uv: NDArray | None, count: int) -> NDArray[np.float64] | None:
    """(count, 3) sRGB: the texture, or where there is none the diffuse colour if the file states one."""
    if material.image is not None and uv is not None and not is_placeholder(material.image):
        return _sampled(material.image, uv)
    if "kd" not in material.kwargs:
        return None
    return np.broadcast_to(np.asarray(material.diffuse[:3], np.float64) / 255.0, (count, 3))


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
