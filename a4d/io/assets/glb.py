"""Binary glTF 2.0: a builder that knows the container's rules; `a4d.io.assets.glb_asset` writes assets with it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d import __version__
from a4d.io.pictures.colour import linear_from_srgb

COMPONENT_TYPES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
ELEMENT_TYPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
PRIMITIVE_RESTART = 65535
"""The uint16 index that must not occur (glTF 2.0, section 3.7.2.1)."""


class Target(IntEnum):
    """What a buffer view is bound to."""

    VERTICES = 34962
    INDICES = 34963


class GlbBuilder:
    """Collects glTF objects and binary data and lays them out as one GLB file.

    Objects are plain dictionaries in the specification's own terms; every method that adds one returns its index, by
    which others refer to it. Nothing is shared or reordered, so the same calls make the same bytes.
    """

    def __init__(self) -> None:
        self._document: dict[str, Any] = {"asset": {"version": "2.0", "generator": f"a4d {__version__}"}}
        self._binary = bytearray()

    def append(self, collection: str, item: Mapping[str, Any]) -> int:
        """Add an object to one of the top-level arrays, such as `materials`, `nodes`, `skins` or `animations`."""
        items = self._document.setdefault(collection, [])
        items.append(dict(item))
        return len(items) - 1

    def add_bytes(self, data: bytes, target: Target | None = None) -> int:
        """Add a buffer view that starts at a multiple of four bytes; also for embedded images."""
        self._binary.extend(bytes(-len(self._binary) % 4))
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)}
        if target is not None:
            view["target"] = int(target)
        self._binary.extend(data)
        return self.append("bufferViews", view)

    def add_accessor(
        self,
        values: NDArray,  # (N,), (N, 2), (N, 3), (N, 4) or (N, 4, 4), of a component type of glTF
        target: Target | None = None,
        *,
        is_normalised: bool = False,
        has_bounds: bool = False,
    ) -> int:
        """Add an array in a buffer view of its own.

        Args:
            values: at least one element; matrices act on column vectors and are stored column by column.
            target: of the buffer view; none for animations and inverse bind matrices.
            is_normalised: integers that stand for fractions of their largest value.
            has_bounds: state min and max, as positions and animation times must.

        Raises:
            ValueError: a type, shape or stride that glTF does not know.
        """
        component = COMPONENT_TYPES.get(values.dtype.str[1:])
        element = ELEMENT_TYPES.get(values.shape[1:])
        if component is None or element is None or not len(values):
            raise ValueError(f"glTF has no accessor for {values.dtype} of shape {values.shape}")
        if target is Target.VERTICES and values[0].nbytes % 4:
            raise ValueError(f"a vertex attribute of {values[0].nbytes} bytes must be padded to a multiple of 4")
        stored = values.swapaxes(1, 2) if element == "MAT4" else values
        stored = np.ascontiguousarray(stored, dtype=values.dtype.newbyteorder("<"))
        accessor = {
            "bufferView": self.add_bytes(stored.tobytes(), target),
            "componentType": component,
            "count": len(values),
            "type": element,
        }
        if is_normalised:
            accessor["normalized"] = True
        if has_bounds:
            accessor["min"] = np.atleast_1d(values.min(axis=0)).tolist()
            accessor["max"] = np.atleast_1d(values.max(axis=0)).tolist()
        return self.append("accessors", accessor)

    def use_extension(self, name: str) -> None:
        """State that the file uses an extension, which readers that do not know it may ignore."""
        names = self._document.setdefault("extensionsUsed", [])
        if name not in names:
            names.append(name)

    def add_scene(self, nodes: list[int]) -> None:
        """Add a scene of the given root nodes; the first one is what viewers show."""
        self.append("scenes", {"nodes": nodes})
        self._document.setdefault("scene", 0)

    def to_bytes(self) -> bytes:
        """The whole file: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
        document = dict(self._document)
        if self._binary:
            document["buffers"] = [{"byteLength": len(self._binary)}]
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8")
        chunks = _chunk(b"JSON", text, b" ")
        if self._binary:
            chunks += _chunk(b"BIN\0", bytes(self._binary), b"\0")
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _chunk(kind: bytes, data: bytes, padding: bytes) -> bytes:
    data += padding * (-len(data) % 4)
    return struct.pack("<I4s", len(data), kind) + data


def add_primitive(
    builder: GlbBuilder,
    vertices: NDArray[np.float32],  # (V, 3)
    faces: NDArray,  # (F, 3) integers
    normals: NDArray[np.float32] | None = None,  # (V, 3) of unit length; without them viewers shade flat
    colours: NDArray[np.float32] | None = None,  # (V, 3) or (V, 4) sRGB and straight alpha in [0, 1]
) -> dict[str, Any]:
    """Store a surface and describe it as a glTF primitive, to which other attributes, a material and targets may come.

    Colours become COLOR_0 in linear light with 16 bits.
    """
    attributes = {"POSITION": builder.add_accessor(vertices, Target.VERTICES, has_bounds=True)}
    if normals is not None:
        attributes["NORMAL"] = builder.add_accessor(normals, Target.VERTICES)
    if colours is not None:
        # Four components rather than three keep the stride a multiple of four bytes.
        rgba = np.full((len(colours), 4), 65535, np.uint16)
        rgba[:, :3] = np.rint(linear_from_srgb(colours[:, :3]) * 65535)
        if colours.shape[1] == 4:
            rgba[:, 3] = np.rint(colours[:, 3] * 65535)
        attributes["COLOR_0"] = builder.add_accessor(rgba, Target.VERTICES, is_normalised=True)
    is_small = len(vertices) <= PRIMITIVE_RESTART
    indices = faces.reshape(-1).astype(np.uint16 if is_small else np.uint32)
    return {"attributes": attributes, "indices": builder.add_accessor(indices, Target.INDICES), "mode": 4}
