"""Wavefront OBJ meshes with a material file and the widely read `v x y z r g b` vertex colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from a4d.io.arrays import mesh_arrays
from a4d.io.files import write_text

if TYPE_CHECKING:
    from a4d.geometry.mesh import Mesh

MATERIAL = "newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"


def write_obj(path: Path, mesh: Mesh) -> None:
    """Write a mesh with normals, and the material file of the same name beside it.

    Args:
        path: the `.obj` file.
        mesh: its colours, where there are any, are stored in sRGB as readers expect them.

    Raises:
        InvalidInputError: the mesh is empty or not finite.
        WorkspaceError: a file cannot be written.
    """
    arrays = mesh_arrays(path, mesh)
    material_path = path.with_suffix(".mtl")
    positions = [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in arrays.vertices.tolist()]
    if arrays.colours is not None:
        colours = arrays.colours.tolist()
        positions = [f"{line} {r:.5g} {g:.5g} {b:.5g}" for line, (r, g, b) in zip(positions, colours, strict=True)]
    normals = [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in arrays.normals.tolist()]
    faces = [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (arrays.faces + 1).tolist()]
    header = [f"mtllib {material_path.name}", f"o {path.stem}"]
    write_text(material_path, MATERIAL)
    write_text(path, "\n".join([*header, *positions, *normals, "usemtl surface", *faces]) + "\n")
