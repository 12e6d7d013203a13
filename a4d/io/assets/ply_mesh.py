"""Reading polygon meshes from PLY files: faces of any number of corners, strips, and properties of many names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.geometry.assets.left_out import quoted
from a4d.geometry.assets.polygon_mesh import CornerAttribute, PolygonMesh
from a4d.io.assets.mesh_file import (
    PLAIN,
    MeshFile,
    colour_fractions,
    many,
    opaque,
    per_face,
    per_vertex,
    require_corners,
)
from a4d.io.assets.texture_files import TextureFiles, texture
from a4d.io.ply.header import PlyHeader
from a4d.io.ply.records import PlyLists, PlyTable
from a4d.io.ply.tables import read_ply_tables

PREFIXES = ("", "diffuse_", "vertex_", "face_")
"""Of the names of colours."""
CHANNELS = (("red", "green", "blue", "alpha"), ("r", "g", "b", "a"))
UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("tex_u", "tex_v"))
NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))
CORNERS = ("vertex_indices", "vertex_index", "vertex_indexes", "indices")
GAUSSIANS = ({"f_dc_0", "opacity"}, {"scale_0", "rot_0"}, {"packed_position"})
"""Properties that only Gaussian splats have."""


def is_gaussian(names: Iterable[str]) -> bool:
    """Whether the properties of vertices are those of Gaussian splats, compressed or not."""
    return any(marks <= set(names) for marks in GAUSSIANS)


def vertex_colours(table: PlyTable) -> NDArray[np.float64] | None:
    """(N, 3), or (N, 4) with alpha: sRGB in [0, 1] of records, under any of the usual names, or None."""
    for prefix in PREFIXES:
        for channels in CHANNELS:
            names = [prefix + channel for channel in channels]
            if all(name in table.columns for name in names[:3]):
                kinds = {p.name: p.type for p in table.element.properties}
                colours = np.stack([table.columns[name] for name in names[:3]], axis=1)
                fractions = colour_fractions(colours, kinds[names[0]])
                if names[3] not in table.columns:
                    return fractions
                alpha = colour_fractions(table.columns[names[3]], kinds[names[3]])
                return np.concatenate([fractions, alpha[:, None]], axis=1)
    return None


def read_ply_mesh(path: Path) -> MeshFile:
    """The polygons of a PLY file.

    A picture that a `TextureFile` comment names is laid over faces with texture coordinates.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged or truncated, names vertices that it does not hold, or is a point cloud or a
            Gaussian splat.
    """
    header, tables = read_ply_tables(path)
    vertices = tables.get("vertex")
    if vertices is None or not vertices.element.count or not {"x", "y", "z"} <= vertices.columns.keys():
        raise InvalidInputError(f"{path} holds no vertices", "Export the mesh again")
    positions = np.stack([vertices.columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    faces, strips = _faces(tables), _strips(path, tables, len(positions))
    if faces is None and not len(strips):
        raise _no_mesh(path, vertices)
    corners, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if faces is not None:
        corners, counts = require_corners(path, faces.values, len(positions)), faces.counts
    corners = np.concatenate([corners, strips.reshape(-1)])
    counts = np.concatenate([counts, np.full(len(strips), 3)])
    mesh = _mesh(positions, corners, counts, vertices, None if len(strips) else tables.get("face"))
    return _textured(path, header, tables, mesh)


def _faces(tables: dict[str, PlyTable]) -> PlyLists | None:
    """The corners of the faces, by their usual names, else the only list of whole numbers."""
    faces = tables.get("face")
    if faces is None or not faces.element.count:
        return None
    named = next((faces.lists[name] for name in CORNERS if name in faces.lists), None)
    kinds = {p.name: p.type for p in faces.element.properties}
    whole = [lists for name, lists in faces.lists.items() if kinds[name][0] in "iu"]
    return named or (whole[0] if len(whole) == 1 else None)


def _strips(path: Path, tables: dict[str, PlyTable], count: int) -> NDArray[np.int64]:
    """(F, 3) the triangles of strips, in which -1 begins a new one."""
    table = tables.get("tristrips")
    none = np.zeros((0, 3), np.int64)
    triangles = [none]
    for lists in table.lists.values() if table else ():
        ends = np.flatnonzero(np.isin(np.arange(len(lists.values)), np.cumsum(lists.counts)[:-1]))
        for strip in np.split(lists.values, ends):
            for run in np.split(strip, np.flatnonzero(strip == -1)):
                corners = require_corners(path, run[run != -1], count)
                faces = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1) if len(corners) > 2 else none
                faces[1::2] = faces[1::2, [0, 2, 1]]
                # Strips are joined by triangles without area, which are no part of the surface.
                a, b, c = faces.T
                triangles.append(faces[(a != b) & (b != c) & (c != a)])
    return np.concatenate(triangles)


def _no_mesh(path: Path, vertices: PlyTable) -> InvalidInputError:
    count = vertices.element.count
    if is_gaussian(vertices.columns):
        problem = f"{path} is a Gaussian splat of {many(count, 'Gaussian')}, not a mesh"
        return InvalidInputError(problem, "Give the images that it was made from, or a mesh of the same subject")
    problem = f"{path} is a point cloud: it holds {many(count, 'point')} and no faces"
    return InvalidInputError(problem, "Make a surface of it first, for example in MeshLab by Screened Poisson")


def _mesh(
    positions: NDArray[np.float64],
    corners: NDArray[np.int64],
    counts: NDArray[np.int64],
    vertices: PlyTable,
    faces: PlyTable | None,
) -> PolygonMesh:
    colours, by_face = vertex_colours(vertices), None
    if colours is None and faces is not None:
        by_face = vertex_colours(faces)
    return PolygonMesh(
        positions,
        corners,
        counts,
        np.zeros(len(counts), np.int64),
        per_vertex(_first(vertices, NORMALS), corners),
        _corner_uvs(faces, counts) or per_vertex(_downward(_first(vertices, UVS)), corners),
        per_vertex(_with_alpha(colours), corners) or per_face(_with_alpha(by_face), counts),
    )


def _first(table: PlyTable, names: tuple[tuple[str, ...], ...]) -> NDArray[np.float64] | None:
    """The columns of the first set of names that is there whole."""
    found = next((columns for columns in names if all(name in table.columns for name in columns)), None)
    return None if found is None else np.stack([table.columns[name] for name in found], axis=1).astype(np.float64)


def _downward(uvs: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if uvs is None else np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1)


def _with_alpha(colours: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Colours with alpha; one that is nowhere above 0 was never meant."""
    if colours is None:
        return None
    return colours if colours.shape[1] == 4 and colours[:, 3].any() else opaque(colours[:, :3])


def _corner_uvs(faces: PlyTable | None, counts: NDArray[np.int64]) -> CornerAttribute | None:
    """Texture coordinates that each face lists for its corners; an empty list is a face without them."""
    lists = faces.lists.get("texcoord") if faces is not None else None
    if lists is None or not len(lists.values):
        return None
    has_them = lists.counts == 2 * counts
    stated = lists.values[np.repeat(has_them, lists.counts)].astype(np.float32)
    # A pair of them is compared as the one number that its bytes make.
    _, first, same = np.unique(stated.view(np.uint64), return_index=True, return_inverse=True)
    index = np.full(int(counts.sum()), -1)
    index[np.repeat(has_them, counts)] = same
    return CornerAttribute(stated.reshape(-1, 2)[first] * (1.0, -1.0) + (0.0, 1.0), index)


def _textured(path: Path, header: PlyHeader, tables: dict[str, PlyTable], mesh: PolygonMesh) -> MeshFile:
    """The mesh with the pictures that comments name, and the rest of what the file holds in words."""
    names, textures = texture_names(header), TextureFiles(path)
    images = [textures.image(name) for name in names]
    materials = [
        PLAIN if image is None else replace(PLAIN, base_colour_map=texture(image[..., :3])) for image in images
    ]
    number = tables["face"].columns.get("texnumber") if "face" in tables else None
    if number is not None and len(names) > 1 and len(number) == len(mesh.counts):
        chosen = np.nan_to_num(number, nan=0.0).clip(0, len(names) - 1).astype(np.int64)
        mesh = replace(mesh, materials=chosen)
    others = [
        many(table.element.count, f"record of the element {quoted(name)}", f"records of the element {quoted(name)}")
        for name, table in tables.items()
        if name not in ("vertex", "face", "tristrips") and table.element.count
    ]
    return MeshFile(mesh, tuple(materials) or (PLAIN,), (*textures.left_out, *others))


def texture_names(header: PlyHeader) -> list[str]:
    """The pictures that comments name, in the order of their numbers."""
    words = (comment.partition(" ") for comment in header.comments)
    return [name.strip() for keyword, _, name in words if keyword.lower() == "texturefile" and name.strip()]
