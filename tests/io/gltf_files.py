"""Builds small glTF files out of arrays."""

import base64
import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from PIL import Image

from a4d.geometry.assets.asset import Asset
from a4d.io.assets.gltf.reader import read_gltf

CODES = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
TYPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}

TRIANGLE = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]


class GltfBuilder:
    """The JSON in `json`, the bytes of its only buffer in `data`."""

    def __init__(self, **json_parts: Any) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, **json_parts}
        self.data = b""

    def view(self, content: bytes, **more: Any) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        views = self.json.setdefault("bufferViews", [])
        views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more})
        self.data += content
        return len(views) - 1

    def accessor(self, values: ArrayLike, dtype: DTypeLike = np.float32, **more: Any) -> int:
        array = np.asarray(values).astype(dtype)
        columns = array.swapaxes(1, 2) if array.ndim == 3 else array
        return self.bare_accessor(
            count=len(array),
            type=TYPES[array.shape[1:]],
            componentType=CODES[array.dtype.name],
            bufferView=self.view(columns.tobytes()),
            **more,
        )

    def bare_accessor(self, **description: Any) -> int:
        accessors = self.json.setdefault("accessors", [])
        accessors.append(description)
        return len(accessors) - 1

    def add(self, kind: str, **description: Any) -> int:
        self.json.setdefault(kind, []).append(description)
        return len(self.json[kind]) - 1

    def mesh(self, positions: ArrayLike = TRIANGLE, *, mode: int = 4, **attributes: int) -> int:
        """A mesh of one primitive without indices."""
        primitive = {"attributes": {"POSITION": self.accessor(positions), **attributes}, "mode": mode}
        return self.add("meshes", primitives=[primitive])

    def clip(self, node: int, path: str, times: ArrayLike, values: ArrayLike, interpolation: str = "LINEAR") -> int:
        sampler = {"input": self.accessor(times), "output": self.accessor(values), "interpolation": interpolation}
        channel = {"sampler": 0, "target": {"node": node, "path": path}}
        return self.add("animations", name=f"{path} clip", samplers=[sampler], channels=[channel])

    def glb(self) -> bytes:
        if self.data:
            self.json["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        binary = self.data + b"\0" * (-len(self.data) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        if binary:
            chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def write(self, path: Path) -> Path:
        """A .glb by its suffix, else a .gltf with the buffer in a data URI."""
        if path.suffix == ".glb":
            path.write_bytes(self.glb())
            return path
        if self.data:
            uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
            self.json["buffers"] = [{"byteLength": len(self.data), "uri": uri}]
        path.write_text(json.dumps(self.json))
        return path


def two_bones() -> GltfBuilder:
    """A bar along y with a bone in each half; their nodes are listed child first, below a node that is no joint.

    The upper bone turns a quarter about z within a second.
    """
    file = GltfBuilder(scenes=[{"nodes": [3, 2]}])
    bar = [[0.0, 0, 0], [0.1, 0, 0], [0, 1, 0], [0.1, 1, 0], [0, 2, 0], [0.1, 2, 0]]
    joints = [[0, 7, 0, 0], [0, 7, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    weights = [[1, 0, 0, 0]] * 2 + [[0.5, 0.5, 0, 0]] * 2 + [[2, 0, 0, 0]] * 2
    mesh = file.mesh(
        bar,
        mode=5,
        JOINTS_0=file.accessor(joints, np.uint8),
        WEIGHTS_0=file.accessor(weights),
        NORMAL=file.accessor([[0.0, 0, 1]] * 6),
    )
    down = np.eye(4)
    down[1, 3] = -1.0
    file.add("nodes", name="upper", translation=[0, 1, 0])
    file.add("nodes", name="lower", children=[0])
    file.add("nodes", name="bar", mesh=mesh, skin=0, translation=[100, 0, 0])
    file.add("nodes", name="armature", children=[1], translation=[5, 0, 0])
    file.add("skins", joints=[1, 0], inverseBindMatrices=file.accessor([np.eye(4), down]))
    half = np.sqrt(0.5)
    file.clip(0, "rotation", [0, 1], [[0, 0, 0, 1], [0, 0, half, half]])
    return file


def triangle(**node: Any) -> GltfBuilder:
    file = GltfBuilder()
    file.mesh()
    file.add("nodes", mesh=0, **node)
    return file


def read(file: GltfBuilder, tmp_path: Path, name: str = "asset.glb") -> Asset:
    return read_gltf(file.write(tmp_path / name))


def png(samples: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(samples).save(stream, "PNG")
    return stream.getvalue()


def gltf_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".gltf", ".glb"))
