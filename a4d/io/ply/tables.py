"""The tables of PLY files: all that a file holds, or the numbers of one element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.files import read_bytes, write_bytes
from a4d.io.ply.header import BYTE_ORDERS, PlyHeader, parse_ply_header
from a4d.io.ply.records import Bytes, PlyTable, Words, read_table

PLY_TYPES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float"}


def read_ply_table(path: Path, name: str) -> PlyTable:
    """One table of a PLY file, in ASCII or in either byte order.

    Args:
        path: the file.
        name: of the element, usually `vertex`.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no PLY file, is truncated, or has no such element.
    """
    content = read_bytes(path)
    header = parse_ply_header(content, path)
    for table in _tables(content, header, path):
        if table.element.name == name:
            return table
    raise InvalidInputError(f"{path} has no PLY element {name!r}")


def read_ply_header(path: Path) -> PlyHeader:
    """What a PLY file says of itself.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no PLY file, or its header breaks the format.
    """
    return parse_ply_header(read_bytes(path), path)


def read_ply_tables(path: Path) -> tuple[PlyHeader, dict[str, PlyTable]]:
    """All tables of a PLY file by name, in ASCII or in either byte order.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no PLY file, or is truncated.
    """
    content = read_bytes(path)
    header = parse_ply_header(content, path)
    return header, {table.element.name: table for table in _tables(content, header, path)}


def _tables(content: bytes, header: PlyHeader, path: Path) -> Iterator[PlyTable]:
    is_ascii = header.encoding == "ascii"
    body = Words.of(content[header.size :]) if is_ascii else Bytes(content, BYTE_ORDERS[header.encoding])
    position = 0 if is_ascii else header.size
    for element in header.elements:
        table, position = read_table(body, position, element, path)
        yield table


def write_ply_tables(path: Path, tables: Mapping[str, NDArray], comments: Iterable[str] = ()) -> None:
    """Write a little-endian binary PLY file.

    Args:
        path: the file.
        tables: structured arrays by element name; a field of shape (n,) becomes a list of that fixed length.
        comments: one a line, behind the tables' description, where readers that count on its place don't stumble.

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
    lines += [*(f"comment {comment}" for comment in comments), "end_header"]
    write_bytes(path, ("\n".join(lines) + "\n").encode("ascii"), *bodies)
