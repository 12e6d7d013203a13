"""Numbers of OpenEXR pictures: single parts of scan lines, stored plainly or by ZIP."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError
from a4d.io.files import read_bytes
from a4d.io.pictures.images import check_size
from a4d.pixels import Array

SIGNATURE = b"\x76\x2f\x31\x01"

VERSION = 2
"""Without the flags of tiles, deep data and several parts; long names alone may be among them."""

LONG_NAMES = 0x400

SAMPLES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
"""By the number that the file gives a channel's type."""

CHUNK_LINES = {0: 1, 2: 1, 3: 16}
"""Lines that are stored together, by the number of the compression: none, ZIP of single lines, ZIP of several."""

DEPTH_NAMES = ("Z", "V", "Y", "R")
"""How channels of depth are called, without the name of their layer; the first of these that there is."""


@dataclass(frozen=True)
class _Header:
    channels: list[tuple[str, np.dtype[np.generic]]]
    compression: int
    width: int
    height: int
    top: int
    end: int


def read_exr_depth(path: Path) -> Array:
    """(H, W) float32 the channel of depth as it is stored.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no OpenEXR picture, damaged, far too large, or stored in a way that is not read here.
    """
    content = read_bytes(path)
    if not content.startswith(SIGNATURE):
        raise InvalidInputError(f"{path} is no OpenEXR picture")
    try:
        header = _read_header(content)
        check_size(path, header.width, header.height)
        chosen = _depth_channel(header)
        values = _read_channel(content, header, chosen)
        if any(not np.array_equal(values, _read_channel(content, header, other)) for other in _beside(header, chosen)):
            raise InvalidInputError(
                "it is a picture in colour, and no depth", f"Call the depth's channel {DEPTH_NAMES[0]}"
            )
        return values
    except (struct.error, zlib.error, ValueError, IndexError, KeyError, OverflowError) as error:
        raise InvalidInputError(f"{path} is damaged: {error}") from None
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.problem}", error.remedy) from None


def _read_header(content: bytes) -> _Header:
    (version,) = struct.unpack_from("<i", content, len(SIGNATURE))
    found: dict[str, bytes] = {}
    at = 8
    while content[at] != 0:
        name, kind, at = *_texts(content, at, 2), _after(content, at, 2)
        (size,) = struct.unpack_from("<i", content, at)
        if size < 0:
            raise ValueError(f"'{name}' has {size} bytes")
        found[f"{name}:{kind}"], at = content[at + 4 : at + 4 + size], at + 4 + size
    compression = found["compression:compression"][0]
    if version & ~LONG_NAMES != VERSION or compression not in CHUNK_LINES:
        raise InvalidInputError(
            "tiles, several parts, and compressions other than ZIP are not read", "Save it anew as scan lines with ZIP"
        )
    left, top, right, bottom = struct.unpack("<4i", found["dataWindow:box2i"])
    if right < left or bottom < top:
        raise ValueError("it has no pixels")
    channels = list(_channels(found["channels:chlist"]))
    return _Header(channels, compression, right - left + 1, bottom - top + 1, top, at + 1)


def _texts(content: bytes, at: int, count: int) -> list[str]:
    """Texts that end with a zero byte."""
    return [part.decode("latin-1") for part in content[at:].split(b"\0", count)[:count]]


def _after(content: bytes, at: int, count: int) -> int:
    """Where such texts end."""
    for _ in range(count):
        at = content.index(b"\0", at) + 1
    return at


def _channels(listed: bytes) -> Iterator[tuple[str, np.dtype[np.generic]]]:
    at = 0
    while listed[at] != 0:
        (name,), at = _texts(listed, at, 1), _after(listed, at, 1)
        kind, _, *sampling = struct.unpack_from("<4i", listed, at)
        if sampling != [1, 1]:
            raise InvalidInputError("channels of fewer samples than pixels are not read")
        yield name, SAMPLES[kind]
        at += 16


def _depth_channel(header: _Header) -> int:
    names = [name.rpartition(".")[2] for name, _ in header.channels]
    wanted = [name for name in DEPTH_NAMES if name in names]
    if not wanted and len(names) > 1:
        raise InvalidInputError(f"none of its channels {', '.join(names)} is a depth", f"Call it {DEPTH_NAMES[0]}")
    return names.index(wanted[0]) if wanted else 0


def _beside(header: _Header, chosen: int) -> list[int]:
    """The other colours, where red was chosen for want of a better name: depth is the same in all of them."""
    names = [name.rpartition(".")[2] for name, _ in header.channels]
    return [index for index, name in enumerate(names) if names[chosen] == "R" and name in ("G", "B")]


def _read_channel(content: bytes, header: _Header, chosen: int) -> Array:
    """(H, W) of a channel, chunk by chunk."""
    lines = CHUNK_LINES[header.compression]
    widths = [dtype.itemsize * header.width for _, dtype in header.channels]
    begin, dtype = sum(widths[:chosen]), header.channels[chosen][1]
    values = np.zeros((header.height, header.width), np.float32)
    offsets = struct.unpack_from(f"<{-(-header.height // lines)}Q", content, header.end)
    for offset in offsets:
        line, size = struct.unpack_from("<2i", content, offset)
        first = line - header.top
        count = min(lines, header.height - first)
        if not 0 <= first < header.height or size < 0:
            raise ValueError("a line lies outside of it")
        raw = _unpacked(content[offset + 8 : offset + 8 + size], sum(widths) * count, header.compression)
        rows = raw.reshape(count, sum(widths))[:, begin : begin + widths[chosen]]
        values[first : first + count] = np.ascontiguousarray(rows).view(dtype)
    return values


def _unpacked(packed: bytes, size: int, compression: int) -> NDArray[np.uint8]:
    """The bytes of a chunk: ZIP stores differences of bytes, those of even places before those of odd ones."""
    if compression == 0 or len(packed) == size:
        return np.frombuffer(packed, np.uint8, size)
    stored = np.frombuffer(zlib.decompressobj().decompress(packed, size), np.uint8, size)
    steps = stored.astype(np.int64)
    steps[1:] -= 128
    halves = np.cumsum(steps).astype(np.uint8)
    raw = np.empty(size, np.uint8)
    raw[::2], raw[1::2] = halves[: -(-size // 2)], halves[-(-size // 2) :]
    return raw
