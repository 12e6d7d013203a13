"""ICC profiles and other marks of a picture's colours, by which its samples become sRGB."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from a4d.io.pictures.colour import srgb_from_linear
from a4d.io.pictures.transfer_functions import ColourSpace

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Pillow's mode of pictures by the colour space of their profile."""

XYZ_D50_FROM_SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""Linear sRGB in the connection space of profiles (Bradford adaptation to D50)."""

MOST_CHUNKS = 1000
"""Of a PNG, among which the one that marks its colours is looked for."""

Warn = Callable[[str], None]


def in_srgb(image: Image.Image, mode: str, warn: Warn) -> Image.Image:
    """An 8-bit picture in sRGB, relative colorimetric with black point compensation.

    Args:
        image: of any mode; without a profile its numbers are taken for sRGB.
        mode: "RGB", or "RGBA", whose alpha is the picture's.
        warn: told that a profile is damaged or belongs to another kind of picture; the numbers then count as sRGB.
    """
    profile = _profile(image, warn)
    if profile is None:
        return _without_profile(image, mode)
    given = MODES[profile.profile.xcolor_space.strip()]
    source = image if image.mode == given else image.convert(given)
    try:
        srgb = ImageCms.profileToProfile(
            source,
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, ValueError):
        warn("its colour profile is damaged, and its colours are taken for sRGB")
        return _without_profile(image, mode)
    assert srgb is not None
    if mode == "RGBA":
        srgb.putalpha(image.convert("RGBA").getchannel("A"))
    return srgb


def deep_in_srgb(samples: NDArray[np.uint16], image: Image.Image, warn: Warn) -> NDArray[np.uint16]:
    """16-bit samples in sRGB, to full precision where the profile is made of curves and a matrix, else to 8 bits.

    Args:
        samples: (H, W, 3), or (H, W, 4) whose alpha is kept.
        image: the picture, for its profile.
        warn: as for `in_srgb`.
    """
    profile = _profile(image, warn)
    if profile is None:
        return samples
    shaper = _shaper(image.info["icc_profile"], profile.profile.xcolor_space.strip())
    if shaper is None:
        coarse = Image.fromarray((samples[..., :3] // 257).astype(np.uint8))
        coarse = coarse.convert("L") if profile.profile.xcolor_space == "GRAY" else coarse
        coarse.info["icc_profile"] = image.info["icc_profile"]
        colours = np.asarray(in_srgb(coarse, "RGB", warn)).astype(np.uint16) * 257
    else:
        curves, matrix = shaper
        linear = np.stack([curve[samples[..., index]] for index, curve in enumerate(curves)], axis=-1) @ matrix.T
        colours = np.rint(srgb_from_linear(np.clip(linear, 0, 1)) * 65535).astype(np.uint16)
    return np.concatenate([colours, samples[..., 3:]], axis=-1)


def marked_colours(image: Image.Image, stream: IO[bytes]) -> ColourSpace | None:
    """The colour space that a PNG's cICP chunk or an AVIF's or HEIC's nclx box names; None where nothing does."""
    if image.format == "PNG":
        content = _png_chunk(stream, b"cICP")
        return ColourSpace.from_code_points(content[0], content[1]) if len(content) == 4 else None
    if image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        stream.seek(0)
        _, found, content = stream.read(1 << 16).partition(b"colrnclx")
        return ColourSpace.from_code_points(*struct.unpack(">HH", content[:4])) if found and len(content) > 3 else None
    return None


def _without_profile(image: Image.Image, mode: str) -> Image.Image:
    if image.mode != "LAB":
        return image.convert(mode)
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted.convert(mode)


def _profile(image: Image.Image, warn: Warn) -> ImageCms.ImageCmsProfile | None:
    """The picture's profile, where there is a sound one that fits the picture."""
    content = image.info.get("icc_profile")
    if not content:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (OSError, ImageCms.PyCMSError):
        warn("its colour profile is damaged, and its colours are taken for sRGB")
        return None
    given = MODES.get(profile.profile.xcolor_space.strip())
    is_grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    has = "L" if is_grey else image.mode if image.mode in ("CMYK", "LAB") else "RGB"
    if given != has and not (is_grey and given == "RGB"):
        warn("its colour profile is one for another kind of picture, and its colours are taken for sRGB")
        return None
    return profile


def _shaper(content: bytes, space: str) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Curves of three channels over 65536 samples, and the (3, 3) matrix from their linear light to linear sRGB.

    None where the profile is of another kind, such as a table.
    """
    tags: dict[bytes, bytes] = {}
    (count,) = struct.unpack_from(">I", content, 128)
    for index in range(min(count, (len(content) - 132) // 12)):
        name, start, size = struct.unpack_from(">4sII", content, 132 + 12 * index)
        tags[name] = content[start : start + size]
    names = (b"kTRC",) * 3 if space == "GRAY" else (b"rTRC", b"gTRC", b"bTRC")
    if b"A2B0" in tags or b"A2B1" in tags or not tags.keys() >= {*names}:
        return None
    if space == "GRAY":
        matrix = np.eye(3)
    else:
        columns = [_fixed(tags.get(name, b""), 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        if any(len(column) < 3 for column in columns):
            return None
        matrix = np.linalg.inv(XYZ_D50_FROM_SRGB) @ np.array(columns).T
    curves = [_curve(tags[name]) for name in names]
    sound = [np.clip(np.nan_to_num(curve), 0, 1) for curve in curves if curve is not None]
    return (sound, matrix) if len(sound) == 3 else None


def _curve(tag: bytes) -> NDArray[np.float64] | None:
    """The linear light of 65536 samples, by a `curv` or `para` tag of a profile."""
    signal = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv" and len(tag) >= 12:
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return signal
        table = np.frombuffer(tag[12 : 12 + 2 * count], ">u2", count) if len(tag) >= 12 + 2 * count else None
        if table is None:
            return None
        return signal ** (table[0] / 256) if count == 1 else np.interp(signal, np.linspace(0, 1, count), table / 65535)
    if tag[:4] == b"para" and len(tag) >= 12:
        (kind,) = struct.unpack_from(">H", tag, 8)
        size = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind, 99)
        numbers = _fixed(tag, 12, size)
        return _parametric(kind, numbers, signal) if len(numbers) == size else None
    return None


def _parametric(kind: int, numbers: list[float], signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A parametric curve of ICC.1, table 68: a power with an offset, and a line below it."""
    g, a, b, c, d, e, f = (*numbers, *(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(numbers) :])
    if kind in (1, 2):  # the line is constant, and ends where the power is zero
        e = f = c
        c, d = 0.0, -b / a if a else 0.0
    power = np.maximum(a * signal + b, 0) ** g + e
    return np.asarray(np.where(signal >= d, power, c * signal + f))


def _fixed(tag: bytes, start: int, count: int) -> list[float]:
    """Numbers of 16 integer and 16 fractional bits; fewer than asked for where the tag ends."""
    content = tag[start : start + 4 * count]
    return [number / 65536 for (number,) in struct.iter_unpack(">i", content[: len(content) // 4 * 4])]


def _png_chunk(stream: IO[bytes], wanted: bytes) -> bytes:
    """The content of a chunk before the pixels; empty where there is none."""
    stream.seek(8)
    for _ in range(MOST_CHUNKS):
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            break
        size = int.from_bytes(head[:4], "big")
        if head[4:] == wanted:
            return stream.read(size)
        stream.seek(size + 4, 1)
    return b""
