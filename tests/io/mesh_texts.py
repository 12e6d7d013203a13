"""Mesh files of a few lines, for the tests of their readers."""

import struct
from pathlib import Path

import numpy as np

from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.io.assets.asset_reader import read_asset

SQUARE = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3 4/4\n"

CORNERS = ((-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0), (0, 2, 0))
"""Of a square and a triangle on top, 5 square metres in all."""


def surface_of(path: Path, content: str | bytes) -> PosedMesh:
    """Write a file and read it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return deform(read_asset(path))


def area(surface: PosedMesh) -> float:
    return float(surface.mesh.face_normals.double().norm(dim=1).sum() / 2)


def ply(kind: str, properties: dict[str, str], rows: list[tuple], faces: list[tuple], more: str = "") -> bytes:
    """A PLY file of vertices with scalar properties and of faces that list their corners.

    Args:
        kind: ascii, little or big.
        properties: their types by their names.
        rows: of the vertices.
        faces: of any number of corners.
        more: lines of the header after the format.
    """
    encoding = kind if kind == "ascii" else f"binary_{kind}_endian"
    lines = ["ply", f"format {encoding} 1.0", *filter(None, [more]), f"element vertex {len(rows)}"]
    lines += [f"property {kind} {name}" for name, kind in properties.items()]
    lines += [f"element face {len(faces)}", "property list uchar uint vertex_indices", "end_header"]
    head = ("\n".join(lines) + "\n").encode()
    if kind == "ascii":
        table = [*rows, *((len(face), *face) for face in faces)]
        return head + ("\n".join(" ".join(map(str, row)) for row in table) + "\n").encode()
    order, codes = "<" if kind == "little" else ">", {"float": "f4", "double": "f8", "uchar": "u1", "ushort": "u2"}
    record = np.dtype([(name, order + codes[kind]) for name, kind in properties.items()])
    body = np.array([tuple(row) for row in rows], record).tobytes()
    return head + body + b"".join(struct.pack(f"{order}B{len(face)}I", len(face), *face) for face in faces)
