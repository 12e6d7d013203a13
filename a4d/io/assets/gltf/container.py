"""A glTF file as validated JSON and its buffers, from a JSON or a binary container."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from a4d.errors import InvalidInputError
from a4d.io.assets.gltf.resources import read_resource, shortened
from a4d.io.assets.gltf.schema import Gltf
from a4d.io.files import read_bytes

Item = TypeVar("Item")

JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"

UNDERSTOOD_EXTENSIONS = frozenset(
    {
        "EXT_mesh_gpu_instancing",
        "EXT_texture_webp",
        "KHR_animation_pointer",
        "KHR_lights_punctual",
        "KHR_mesh_quantization",
        "KHR_node_visibility",
        "KHR_texture_transform",
        "KHR_xmp_json_ld",
    }
)
"""What a file may require of its reader, besides extensions of the material, which only change how a surface looks."""


@dataclass(frozen=True)
class Container:
    """The validated JSON of a file, with access to its buffers and other resources.

    Args:
        path: of the file; external resources lie in its folder.
        gltf: the root object.
        buffers: each of its declared length; None where the file does not say where it is.
    """

    path: Path
    gltf: Gltf
    buffers: tuple[memoryview | None, ...]

    def invalid(self, problem: str, remedy: str = "") -> InvalidInputError:
        """The error that names this file and what is wrong in it."""
        return InvalidInputError(f"{self.path}: {problem}", remedy)

    def item(self, items: Sequence[Item], index: int, what: str) -> Item:
        """The object that an index refers to.

        Raises:
            InvalidInputError: there is none.
        """
        if index >= len(items):
            raise self.invalid(f"{what} {index} does not exist, the file has {len(items)}")
        return items[index]

    def view(self, index: int) -> memoryview:
        """The bytes of a buffer view.

        Raises:
            InvalidInputError: it does not exist or does not fit its buffer.
        """
        view = self.item(self.gltf.buffer_views, index, "buffer view")
        content = self.item(self.buffers, view.buffer, "buffer")
        if content is None:
            raise self.invalid(f"buffer {view.buffer} has neither a URI nor a binary chunk")
        end = view.byte_offset + view.byte_length
        if end > len(content):
            raise self.invalid(f"buffer view {index} ends at byte {end} of a buffer of {len(content)}")
        return content[view.byte_offset : end]


def read_container(path: Path) -> Container:
    """Read a .gltf or .glb file; which of the two is told by its content.

    Raises:
        MissingInputError: there is no such file, or a buffer does not exist.
        InvalidInputError: it is neither, damaged, of another version, or needs an extension that we do not have.
    """
    content = memoryview(read_bytes(path))
    text, binary = (content, None) if content[:4] != b"glTF" else _split_chunks(path, content)
    encoded = bytes(text).removeprefix(b"\xef\xbb\xbf")
    try:
        gltf = Gltf.model_validate_json(encoded)
    except ValidationError as error:
        raise InvalidInputError(f"{path}: {_first_complaint(error)}") from None
    _require_understood(path, gltf)
    return Container(path, gltf, tuple(_read_buffer(path, gltf, index, binary) for index in range(len(gltf.buffers))))


def _read_buffer(path: Path, gltf: Gltf, index: int, binary: memoryview | None) -> memoryview | None:
    buffer = gltf.buffers[index]
    if buffer.uri is not None:
        content = memoryview(read_resource(path, buffer.uri))
    elif index == 0 and binary is not None:
        content = binary
    else:
        return None
    if len(content) < buffer.byte_length:
        problem = f"buffer {index} has {len(content)} of the declared {buffer.byte_length} bytes"
        raise InvalidInputError(f"{path}: {problem}", "Export it again")
    return content[: buffer.byte_length]


def _split_chunks(path: Path, content: memoryview) -> tuple[memoryview, memoryview | None]:
    """The JSON and the binary chunk of a GLB file (specification, section 4.4)."""

    def invalid(problem: str) -> InvalidInputError:
        return InvalidInputError(f"{path}: {problem}", "Export it again")

    if len(content) < 12:
        raise invalid("the GLB header is cut off")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise InvalidInputError(f"{path}: GLB version {version} is not supported", "Export it as glTF 2.0")
    if length > len(content):
        raise invalid(f"the GLB file is cut off: {len(content)} of {length} bytes")
    chunks: dict[bytes, memoryview] = {}
    start = 12
    while start < length:
        if start + 8 > length:
            raise invalid("a GLB chunk header is cut off")
        (size,) = struct.unpack_from("<I", content, start)
        kind = bytes(content[start + 4 : start + 8])
        if start + 8 + size > length:
            raise invalid(f"a GLB chunk of {size} bytes does not fit the file")
        if not chunks and kind != JSON_CHUNK:
            raise invalid("the first GLB chunk is not JSON")
        if kind in chunks and kind in (JSON_CHUNK, BINARY_CHUNK):
            raise invalid(f"the GLB file has two {kind.decode().rstrip(chr(0))} chunks")
        chunks[kind] = content[start + 8 : start + 8 + size]
        start += 8 + size
    if JSON_CHUNK not in chunks:
        raise invalid("the GLB file has no JSON chunk")
    return chunks[JSON_CHUNK], chunks.get(BINARY_CHUNK)


def _require_understood(path: Path, gltf: Gltf) -> None:
    version = gltf.asset.min_version or gltf.asset.version
    if not version.startswith("2.") or gltf.asset.min_version not in (None, "2.0"):
        raise InvalidInputError(f"{path}: glTF {version} is not supported", "Export it as glTF 2.0")
    for extension in gltf.extensions_required:
        if extension not in UNDERSTOOD_EXTENSIONS and not extension.startswith("KHR_materials_"):
            raise InvalidInputError(
                f"{path}: it requires the extension {shortened(extension)}, which is not supported",
                "Export it without, for example from Blender with compression off",
            )


def _first_complaint(error: ValidationError) -> str:
    complaint = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = "/".join(str(part) for part in complaint["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{shortened(place)}: {complaint['msg']}{more}" if place else f"{complaint['msg']}{more}"
