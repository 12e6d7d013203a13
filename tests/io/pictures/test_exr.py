"""Depth out of OpenEXR pictures that the library of that name has written."""

import base64
import struct
from pathlib import Path

import numpy as np
import pytest

from a4d.errors import InvalidInputError
from a4d.io.depth_maps import read_depth_map
from a4d.io.pictures.exr import read_exr_depth

WRITTEN = base64.b85decode(
    b"b}umj0ssI2V`yP+Ze?t90ApxuX>)V{6951JS^xq70000000031000310001EZ*6dLWpi_BZ*Bl%Z*6dLWpi_BZ*Bkq00003WMOn+"
    b"S7~l!Z+8G<Z+J3k01yBG000000000000jU5022TJ0Ay)%aBN|DS7~l!Z+8G<Z+J3k01yBG000000000000jU5022TJ0BmV)WlwTs"
    b"WpV&)X>Mgta%5$400961003}lcx7xsb8uy2bW&k-X>R~#Y;R$700aO40001hKXYSpWo2$xX>Me1cSB`vbY*e?b~0uF2mk;800000"
    b"00000b7OL4Wo}n#Ze(wFS7~H)XaHtxZ((!*1ONa4004kLba`-P0CRM5X>Ml#4FCWDb7Ns{Y-w&~X>DO=WdK3}00000006ZC00000"
    b"00000003(M004MiwazgSfG`k5(UX7#Bp@N6011?ol$2LeQc^|&3dl)7LL?voZZes#fc?!YSM-}mFx5CA3n;fp1T_z8GwN;>42>t6"
    b"B3gE&inbN)3p!@xpRd77ed<whk-O^eETC#vagn>qUK_)<!4Lod03!eZ0C-+wXlUrDm{2eyV?n}-2n1_G0D`r{1Hn4rKq3SH@z^iH"
)
"""(20, 6) single precision `Z`, an eighth of the sum of row and column, ZIP in blocks of 16 lines."""


def test_depth_is_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "depth.exr"
    file.write_bytes(WRITTEN)
    assert np.array_equal(read_depth_map(file), np.add.outer(np.arange(20), np.arange(6)) / 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WRITTEN[:-30], "damaged"),
        (WRITTEN[:60], "damaged"),
        (b"\x89PNG" + WRITTEN[4:], "no OpenEXR"),
        (WRITTEN[:5] + b"\x02" + WRITTEN[6:], "tiles"),
        (WRITTEN.replace(b"compression\0compression\0\1\0\0\0\3", b"compression\0compression\0\1\0\0\0\4"), "tiles"),
        (WRITTEN.replace(b"dataWindow\0box2i\0\x10\0\0\0", b"dataWindow\0box2i\0\xf0\xff\xff\xff"), "damaged"),
    ],
)
def test_what_is_damaged_or_stored_otherwise_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "depth.exr"
    file.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        read_exr_depth(file)


def stored_plainly(channels: dict[str, float]) -> bytes:
    """One pixel of single precision in channels by name, in the order that the format wants."""
    names = sorted(channels)
    entries = b"".join(name.encode() + b"\0" + struct.pack("<4i", 2, 0, 1, 1) for name in names) + b"\0"
    header = struct.pack("<2i", 20000630, 2)
    for name, kind, value in (
        ("channels", "chlist", entries), ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", struct.pack("<4i", 0, 0, 0, 0)),
    ):  # fmt: skip
        header += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    header += b"\0"
    line = struct.pack(f"<2i{len(names)}f", 0, 4 * len(names), *(channels[name] for name in names))
    return header + struct.pack("<Q", len(header) + 8) + line


def test_colours_are_no_depth_unless_all_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "depth.exr"
    for channels, depth in (({"R": 2.0, "G": 2.0, "B": 2.0}, 2.0), ({"R": 1.0, "G": 0.5, "B": 0.0, "Z": 3.0}, 3.0)):
        file.write_bytes(stored_plainly(channels))
        assert read_exr_depth(file).tolist() == [[depth]]
    file.write_bytes(stored_plainly({"R": 1.0, "G": 0.5, "B": 0.0}))
    with pytest.raises(InvalidInputError, match="picture in colour"):
        read_exr_depth(file)
