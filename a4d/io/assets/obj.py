"""Wavefront OBJ meshes, with the widely read `v x y z r g b` vertex colours or a material file and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a4d.io.arrays import mesh_arrays, numpy_from_tensor, require_finite
from a4d.io.assets.mtl import texture_of, write_material_library
from a4d.io.files import write_text

if TYPE_CHECKING:
    from a4d.geometry.assets.material import Material
    from a4d.geometry.assets.posing import PosedMesh
    from a4d.geometry.mesh import Mesh

MATERIAL = "newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"


def write_obj(path: Path, mesh: Mesh) -> None:
    """Write a mesh with normals and either colours or a plain white material in a `.mtl` file beside it.

    Never both: readers that find a material ignore the colours of the vertices.

    Args:
        path: the `.obj` file.
        mesh: its colours are stored in sRGB, as readers expect them.

    Raises:
        InvalidInputError: the mesh is empty or not finite.
        WorkspaceError: a file cannot be written.
    """
    arrays = mesh_arrays(path, mesh)
    lines = [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in arrays.vertices.tolist()]
    header = [f"o {path.stem}"]
    if arrays.colours is not None:
        colours = arrays.colours.tolist()
        lines = [f"{line} {r:.5g} {g:.5g} {b:.5g}" for line, (r, g, b) in zip(lines, colours, strict=True)]
    else:
        material_path = path.with_suffix(".mtl")
        write_text(material_path, MATERIAL)
        header = [f"mtllib {material_path.name}", *header, "usemtl surface"]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in arrays.normals.tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (arrays.faces + 1).tolist()]
    write_text(path, "\n".join([*header, *lines]) + "\n")


@dataclass(frozen=True)
class MaterialLibrary:
    """Materials that one or many OBJ files refer to.

    Args:
        path: the `.mtl` file, in the folder of those that refer to it.
        materials: in the order of a surface's material indices.
        names: of the materials in the file.
    """

    path: Path
    materials: Sequence[Material]
    names: Sequence[str]

    @classmethod
    def write(cls, path: Path, materials: Sequence[Material]) -> MaterialLibrary:
        """Write the file and its pictures; see `a4d.io.assets.mtl.write_material_library`."""
        return cls(path, materials, write_material_library(path, materials))


def write_textured_obj(path: Path, surface: PosedMesh, library: MaterialLibrary) -> None:
    """Write a surface with texture coordinates and a group of faces for each material.

    Colours of vertices are left out: readers that find a material ignore them.

    Args:
        path: the `.obj` file.
        surface: at some moment; its vertices stay in their order.
        library: written before, in the same folder.

    Raises:
        InvalidInputError: the surface has no faces or is not finite.
        WorkspaceError: the file cannot be written.
    """
    arrays = mesh_arrays(path, surface.mesh)
    uvs = _file_uvs(surface, library.materials)
    require_finite(path, "texture coordinate", uvs)
    normals = numpy_from_tensor(surface.normals)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 1.0, 0.0)
    lines = [f"mtllib {library.path.name}", f"o {path.stem}"]
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in arrays.vertices.tolist()]
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in uvs.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in normals.tolist()]
    materials = numpy_from_tensor(surface.materials, np.int64)
    for material in np.unique(materials).tolist():
        lines.append(f"usemtl {library.names[material]}")
        corners = (arrays.faces[materials == material].astype(np.int64) + 1).tolist()
        lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in corners]
    write_text(path, "\n".join(lines) + "\n")


def _file_uvs(surface: PosedMesh, materials: Sequence[Material]) -> NDArray[np.float32]:
    """(V, 2) u right and v up, as the texture of each vertex's material is laid out."""
    uvs = np.zeros((len(surface.vertices), 2), np.float32)
    for index, material in enumerate(materials):
        picture = texture_of(material)
        if picture is None or picture.uv_set >= len(surface.uvs):
            continue
        used = surface.faces[surface.materials == index].unique()
        transform = picture.transform.to(surface.uvs)
        placed = surface.uvs[picture.uv_set, used] @ transform[:, :2].T + transform[:, 2]
        uvs[used.cpu().numpy()] = numpy_from_tensor(placed)
    uvs[:, 1] = 1 - uvs[:, 1]
    return uvs
