"""What a PLY file says of itself: its encoding, and the tables that follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from a4d.errors import InvalidInputError
from a4d.io.complaints import quoted

NUMPY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8", "int64": "i8", "uint64": "u8",
}  # fmt: skip
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}


@dataclass(frozen=True)
class PlyProperty:
    """One column of an element: its numpy type without byte order, and for a list the type of its length."""

    name: str
    type: str
    count_type: str | None = None


@dataclass(frozen=True)
class PlyElement:
    """One table of a PLY file."""

    name: str
    count: int
    properties: tuple[PlyProperty, ...]


@dataclass(frozen=True)
class PlyHeader:
    """What a PLY file says of itself; the tables follow in order from byte `size`, the comments are free text."""

    encoding: str
    elements: tuple[PlyElement, ...]
    size: int
    comments: tuple[str, ...] = ()


def parse_ply_header(content: bytes, path: Path) -> PlyHeader:
    """The header of a PLY file.

    Args:
        content: the file, at least up to the end of its header.
        path: named in errors.

    Raises:
        InvalidInputError: no PLY file, or a header that breaks the format.
    """
    if content.split(maxsplit=1)[:1] != [b"ply"]:
        raise InvalidInputError(f"{path} is not a PLY file")
    end = max(content.find(b"\nend_header"), content.find(b"\rend_header"))
    line_end = re.compile(rb"end_header[ \t]*(\r\n|\n|\r)").match(content, end + 1)
    if end < 0 or line_end is None:
        raise InvalidInputError(f"{path} is truncated inside its PLY header")
    encoding, elements = "", list[tuple[str, int, list[PlyProperty]]]()
    lines = content[:end].decode("utf-8", errors="replace").splitlines()[1:]
    for line in lines:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", name, _] if name in BYTE_ORDERS:
                encoding = name
            case ["element", name, count] if count.isascii() and count.isdigit() and len(count) < 16:
                elements.append((name, int(count), []))
            case ["property", "list", count_type, kind, name] if elements and {count_type, kind} <= NUMPY_TYPES.keys():
                elements[-1][2].append(PlyProperty(name, NUMPY_TYPES[kind], NUMPY_TYPES[count_type]))
            case ["property", kind, name] if elements and kind in NUMPY_TYPES:
                elements[-1][2].append(PlyProperty(name, NUMPY_TYPES[kind]))
            case _:
                raise InvalidInputError(f"{path} has a PLY header line that makes no sense: {quoted(line.strip())}")
    if not encoding:
        raise InvalidInputError(f"{path} has a PLY header without a format line")
    for name, _, properties in elements:
        if len({p.name for p in properties}) != len(properties):
            raise InvalidInputError(f"{path} names a property of its PLY element {quoted(name)} twice")
    comments = tuple(line[8:].strip() for line in map(str.strip, lines) if line.startswith("comment "))
    tables = tuple(PlyElement(name, count, tuple(properties)) for name, count, properties in elements)
    return PlyHeader(encoding, tables, line_end.end(), comments)
