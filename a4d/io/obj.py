"""Wavefront OBJ meshes, with the widely read `v x y z r g b` vertex colours or a material file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from a4d.io.arrays import mesh_arrays
from a4d.io.files import write_text

if TYPE_CHECKING:
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
