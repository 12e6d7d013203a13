"""ICC profiles, made byte by byte."""

import struct
from collections.abc import Sequence

DISPLAY_P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
WHITE = (0.9642, 1.0, 0.8249)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def power(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(exponent * 256))


def table(count: int, exponent: float) -> bytes:
    samples = [round(65535 * (index / (count - 1)) ** exponent) for index in range(count)]
    return b"curv\0\0\0\0" + struct.pack(f">I{count}H", count, *samples)


SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of a class, a colour space and a connection space, each of four letters."""
    text = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", 2, 28) + b"\0x"
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ \0\0\0\0" + fixed(*WHITE), **tags}
    entries, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        entries += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    date = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    head = (
        b"\0" * 4 + b"\4\0\0\0" + kind + space + connection + date + b"acsp" + b"\0" * 28 + fixed(*WHITE) + b"\0" * 48
    )
    return struct.pack(">I", start + len(body)) + head + struct.pack(">I", len(tags)) + entries + body


def rgb_profile(primaries: Sequence[tuple[float, float, float]], curve: bytes) -> bytes:
    tags = {
        name + b"XYZ": b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip((b"r", b"g", b"b"), primaries, strict=True)
    }
    return profile(b"mntr", b"RGB ", b"XYZ ", tags | {name + b"TRC": curve for name in (b"r", b"g", b"b")})


def grey_profile(curve: bytes) -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """Inks of which black alone counts: L* falls from 100 to 0 with it."""
    identity = bytes(range(256))
    corners = b"".join(bytes([0 if corner & 1 else 255, 128, 128]) for corner in range(16))
    matrix = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})
