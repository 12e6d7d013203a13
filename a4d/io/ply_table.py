"""The table part of the PLY format: its header, and the numbers of one element in any of its three encodings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.complaints import quoted
from a4d.io.files import read_bytes, write_bytes

NUMPY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
PLY_TYPES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float"}
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

    @property
    def has_lists(self) -> bool:
        """Whether records differ in length."""
        return any(p.count_type for p in self.properties)


@dataclass(frozen=True)
class PlyHeader:
    """What a PLY file says of itself; the tables follow in order from byte `size`."""

    encoding: str
    elements: tuple[PlyElement, ...]
    size: int


def parse_ply_header(content: bytes, path: Path) -> PlyHeader:
    """The header of a PLY file.

    Args:
        content: the file, at least up to the end of its header.
        path: named in errors.

    Raises:
        InvalidInputError: no PLY file, or a header that breaks the format.
    """
    if not content.startswith((b"ply\n", b"ply\r")):
        raise InvalidInputError(f"{path} is not a PLY file")
    end = content.find(b"end_header")
    line_end = content.find(b"\n", end)
    if end < 0 or line_end < 0:
        raise InvalidInputError(f"{path} is truncated inside its PLY header")
    encoding, elements = "", list[tuple[str, int, list[PlyProperty]]]()
    for line in content[:end].decode("latin-1").splitlines()[1:]:
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
            raise InvalidInputError(f"{path} names a property of its PLY element {name!r} twice")
    return PlyHeader(encoding, tuple(PlyElement(n, c, tuple(p)) for n, c, p in elements), line_end + 1)


def read_ply_element(path: Path, name: str) -> tuple[PlyElement, dict[str, NDArray]]:
    """One table of a PLY file, in ASCII or in either byte order.

    Args:
        path: the file.
        name: of the element, usually `vertex`.

    Returns:
        the element's description, and its scalar properties as (count,) arrays by name; lists are left out. ASCII
        numbers come as float64 whatever type is declared.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no PLY file, is truncated, or has no such element.
    """
    content = read_bytes(path)
    header = parse_ply_header(content, path)
    if not any(element.name == name for element in header.elements):
        raise InvalidInputError(f"{path} has no PLY element {name!r}")
    is_ascii = header.encoding == "ascii"
    words = content[header.size :].split() if is_ascii else []
    position = 0 if is_ascii else header.size
    for element in header.elements:
        if is_ascii:
            columns, position = _ascii_table(words, position, element, path)
        else:
            columns, position = _binary_table(content, position, element, BYTE_ORDERS[header.encoding], path)
        if element.name == name:
            break
    return element, columns


def _truncated(path: Path, element: PlyElement) -> InvalidInputError:
    return InvalidInputError(
        f"{path} is truncated: its header promises {element.count} records of {element.name!r}, the file ends before",
        "Copy or download it again",
    )


def _ascii_table(words: list[bytes], position: int, element: PlyElement, path: Path) -> tuple[dict[str, NDArray], int]:
    try:
        if not element.has_lists:
            width = len(element.properties)
            end = position + element.count * width
            if end > len(words):
                raise _truncated(path, element)
            table = np.array(words[position:end], dtype=np.float64).reshape(element.count, width)
            return {p.name: table[:, i].copy() for i, p in enumerate(element.properties)}, end
        columns: dict[str, list[float]] = {p.name: [] for p in element.properties if not p.count_type}
        for _ in range(element.count):
            for p in element.properties:
                if p.count_type:
                    position += 1 + max(int(words[position]), 0)
                else:
                    columns[p.name].append(float(words[position]))
                    position += 1
    except ValueError as error:
        raise InvalidInputError(f"{path} holds something that is no number in {element.name!r}") from error
    except IndexError as error:
        raise _truncated(path, element) from error
    if position > len(words):
        raise _truncated(path, element)
    return {key: np.array(values) for key, values in columns.items()}, position


def _binary_table(
    content: bytes, position: int, element: PlyElement, order: str, path: Path
) -> tuple[dict[str, NDArray], int]:
    if not element.has_lists:
        record = np.dtype([(p.name, order + p.type) for p in element.properties])
        end = position + element.count * record.itemsize
        if end > len(content):
            raise _truncated(path, element)
        table = np.frombuffer(content, record, element.count, position) if element.properties else np.empty(0, record)
        # Byte order ends here: everything behind this line sees native numbers.
        return {p.name: table[p.name].astype(p.type) for p in element.properties}, end
    columns: dict[str, list[NDArray]] = {p.name: [] for p in element.properties if not p.count_type}
    for _ in range(element.count):
        for p in element.properties:
            kind = np.dtype(order + (p.count_type or p.type))
            if position + kind.itemsize > len(content):
                raise _truncated(path, element)
            value = np.frombuffer(content, kind, 1, position)[0]
            position += kind.itemsize
            if p.count_type:
                position += max(int(value), 0) * np.dtype(p.type).itemsize
            else:
                columns[p.name].append(value)
    if position > len(content):
        raise _truncated(path, element)
    return {p.name: np.array(columns[p.name], p.type) for p in element.properties if not p.count_type}, position


def write_ply_tables(path: Path, tables: Mapping[str, NDArray]) -> None:
    """Write a little-endian binary PLY file.

    Args:
        path: the file.
        tables: structured arrays by element name; a field of shape (n,) becomes a list of that fixed length.

    Raises:
        WorkspaceError: it cannot be written.
    """
    lines, bodies = ["ply", "format binary_little_endian 1.0"], list[bytes]()
    for name, table in tables.items():
        lines.append(f"element {name} {len(table)}")
        layout = list[tuple]()
        for field in table.dtype.names or ():
            kind = table.dtype[field]
            ply_type = PLY_TYPES[kind.base.str[1:]]
            if kind.shape:
                layout += [(f"{field} count", "u1"), (field, "<" + kind.base.str[1:], kind.shape)]
                lines.append(f"property list uchar {ply_type} {field}")
            else:
                layout.append((field, "<" + kind.base.str[1:]))
                lines.append(f"property {ply_type} {field}")
        packed = np.empty(len(table), layout)
        for field in table.dtype.names or ():
            packed[field] = table[field]
            if table.dtype[field].shape:
                packed[f"{field} count"] = table.dtype[field].shape[0]
        bodies.append(packed.tobytes())
    write_bytes(path, ("\n".join([*lines, "end_header"]) + "\n").encode("ascii"), *bodies)
