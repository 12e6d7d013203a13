"""A glTF file and the bytes it refers to: JSON or binary container, embedded and external resources."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, unquote_to_bytes

from pydantic import ValidationError

from a4d.errors import InvalidInputError
from a4d.io.files import read_bytes
from a4d.io.gltf.schema import Gltf

Item = TypeVar("Item")

JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"

UNDERSTOOD_EXTENSIONS = frozenset(
    {
        "EXT_texture_webp",
        "KHR_lights_punctual",
        "KHR_mesh_quantization",
        "KHR_texture_transform",
        "KHR_xmp_json_ld",
    }
)
"""What a file may require of its reader, besides extensions of the material, which only change how a surface looks."""

DATA_HEADER = re.compile(r"(?P<type>[\w.+/-]*)(;[\w.+-]+=[^;,]*)*(?P<base64>;base64)?", re.ASCII)


@dataclass(frozen=True)
class Container:
    """The validated JSON of a file, with access to its buffers and other resources.

    Args:
        path: of the file; external resources lie in its folder.
        gltf: the root object.
        binary: the binary chunk of a GLB file, or None.
    """

    path: Path
    gltf: Gltf
    binary: memoryview | None

    def invalid(self, problem: str, remedy: str = "") -> InvalidInputError:
        """The error that names this file and what is wrong in it."""
        return InvalidInputError(f"{self.path}: {problem}", remedy)

    def item(self, items: list[Item], index: int, what: str) -> Item:
        """The object that an index refers to.

        Raises:
            InvalidInputError: there is none.
        """
        if index >= len(items):
            raise self.invalid(f"{what} {index} does not exist, the file has {len(items)}")
        return items[index]

    @cached_property
    def buffers(self) -> list[memoryview]:
        """The content of all buffers, each of its declared length.

        Raises:
            MissingInputError: a file does not exist.
            InvalidInputError: one cannot be had, or is shorter than declared.
        """
        return [self._buffer(index) for index in range(len(self.gltf.buffers))]

    def _buffer(self, index: int) -> memoryview:
        buffer = self.gltf.buffers[index]
        if buffer.uri is not None:
            content = memoryview(self.resource(buffer.uri))
        elif index == 0 and self.binary is not None:
            content = self.binary
        else:
            raise self.invalid(f"buffer {index} has neither a URI nor a binary chunk")
        if len(content) < buffer.byte_length:
            raise self.invalid(f"buffer {index} has {len(content)} of the declared {buffer.byte_length} bytes")
        return content[: buffer.byte_length]

    def view(self, index: int) -> memoryview:
        """The bytes of a buffer view.

        Raises:
            InvalidInputError: it does not exist or does not fit its buffer.
        """
        view = self.item(self.gltf.buffer_views, index, "buffer view")
        self.item(self.gltf.buffers, view.buffer, "buffer")
        content = self.buffers[view.buffer]
        end = view.byte_offset + view.byte_length
        if end > len(content):
            raise self.invalid(f"buffer view {index} ends at byte {end} of a buffer of {len(content)}")
        return content[view.byte_offset : end]

    def resource(self, uri: str) -> bytes:
        """The bytes of a data URI, or of a file in the asset's folder.

        Raises:
            MissingInputError: the file does not exist.
            InvalidInputError: the URI is malformed or leads elsewhere.
        """
        if uri[:5].lower() == "data:":
            return self._embedded(uri)
        remedy = "Copy it into the asset's folder, or embed it"
        relative = unquote(uri)
        # A colon or a backslash would make it absolute on some system; `resolve` also follows links.
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]|.*[\\\0]", relative, re.DOTALL):
            raise self.invalid(f"the resource {_shortened(uri)} is not a relative path", remedy)
        folder = self.path.parent.resolve()
        try:
            target = (folder / relative).resolve()
        except (OSError, RuntimeError) as error:
            raise self.invalid(f"the resource {_shortened(uri)} cannot be found") from error
        if not target.is_relative_to(folder):
            raise self.invalid(f"the resource {_shortened(uri)} lies outside the asset's folder", remedy)
        return read_bytes(target)

    def _embedded(self, uri: str) -> bytes:
        header, comma, body = uri[5:].partition(",")
        match = DATA_HEADER.fullmatch(header)
        if not comma or match is None:
            raise self.invalid(f"the data URI {_shortened(uri)} is malformed")
        if not match["base64"]:
            return unquote_to_bytes(body)
        try:
            return base64.b64decode(unquote(body), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.invalid(f"the data URI {_shortened(uri)} is not valid base64") from error


def read_container(path: Path) -> Container:
    """Read a .gltf or .glb file; which of the two is told by its content.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is neither, damaged, of another version, or needs an extension that we do not have.
    """
    content = memoryview(read_bytes(path))
    text, binary = (content, None) if content[:4] != b"glTF" else _split_chunks(path, content)
    encoded = bytes(text).removeprefix(b"\xef\xbb\xbf")
    try:
        gltf = Gltf.model_validate_json(encoded)
    except ValidationError as error:
        raise InvalidInputError(f"{path}: {_first_complaint(error)}") from None
    container = Container(path, gltf, binary)
    _require_understood(container)
    return container


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


def _require_understood(container: Container) -> None:
    asset = container.gltf.asset
    major, minor = (int(part) for part in (asset.min_version or asset.version).split("."))
    if major != 2 or (asset.min_version is not None and minor > 0):
        raise container.invalid(f"glTF {major}.{minor} is not supported", "Export it as glTF 2.0")
    for extension in container.gltf.extensions_required:
        if extension not in UNDERSTOOD_EXTENSIONS and not extension.startswith("KHR_materials_"):
            raise container.invalid(
                f"it requires the extension {_shortened(extension)}, which is not supported",
                "Export it without (compression and instancing off), for example from Blender",
            )


def _first_complaint(error: ValidationError) -> str:
    complaint = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = "/".join(str(part) for part in complaint["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{_shortened(place)}: {complaint['msg']}{more}" if place else f"{complaint['msg']}{more}"


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
