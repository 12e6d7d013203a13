"""Still pictures: every common file becomes float32 sRGB with straight alpha, and goes back as PNG."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.complaints import complaint
from a4d.io.containment import require_inside
from a4d.io.files import atomic_path, muted_terminal, natural_key, require_file
from a4d.pixels import Array, shrink

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is read, by content; a list of our own because some of Pillow's other readers start programs."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
"""The names of still pictures in a folder."""

GREY = 0
"""PNG's colour type."""

PIXEL_LIMIT = 100_000_000
"""Larger pictures are refused by their header, before memory is asked for."""


def read_image(path: Path | str, max_size: int | None = None, *, upright: bool = True) -> Array:
    """Read a picture; colour profiles are ignored.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, PPM, or the first frame of a GIF, of any bit depth.
        max_size: reduce the longer side to at most this many pixels, antialiased.
        upright: turn it by its EXIF orientation. Cameras that were calibrated for a photograph mean its pixels as they
            are stored, and so must what is done with them.

    Returns:
        (H, W, 3), or (H, W, 4) with straight alpha where the file has transparency; sRGB in [0, 1].

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, not a picture, over 100 megapixels, or holds numbers without a known range.
    """
    path = Path(path)
    samples = _read_samples(path, max_size, upright=upright)
    image = samples.astype(np.float32)
    if samples.dtype in (np.uint8, np.uint16):
        image /= np.iinfo(samples.dtype).max
    elif samples.dtype != np.float32 or not 0 <= samples.min() <= samples.max() <= 1:
        raise InvalidInputError(f"{path} holds {samples.dtype} values outside [0, 1]", "Convert it to a 16-bit PNG")
    return image if max_size is None else shrink(image, max_size)


def read_depth(path: Path | str, unit: float | None = None) -> Array:
    """Read a depth map of 8-bit, 16-bit or floating-point grey values.

    Args:
        path: the picture; three equal channels count as grey.
        unit: metres per count, 0.001 for the usual millimetres.

    Returns:
        (H, W) metres where `unit` is given. Otherwise relative: counts over the largest count of the type, or the
        floating-point values as they are; whether near is bright or dark is for the caller to know.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, not a picture, coloured, or not finite.
    """
    path = Path(path)
    samples = _read_samples(path)[..., :3]
    if (samples != samples[..., :1]).any():
        raise InvalidInputError(f"{path} is coloured and no depth map", "Give the grey map from which it was coloured")
    depth = samples[..., 0].astype(np.float32)
    if not np.isfinite(depth).all():
        raise InvalidInputError(f"{path} holds values that are not finite")
    if unit is not None:
        return depth * unit
    return depth / np.float32(np.iinfo(samples.dtype).max) if np.issubdtype(samples.dtype, np.integer) else depth


def write_image(path: Path | str, image: Array) -> None:
    """Write an 8-bit sRGB PNG, whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        image: (H, W) or (H, W, 1) grey, (H, W, 3), or (H, W, 4) with straight alpha; clipped to [0, 1].

    Raises:
        WorkspaceError: the file cannot be written.
    """
    samples = to_bytes(image if image.ndim == 2 or image.shape[2] > 1 else image[..., 0])
    colour_space = PngImagePlugin.PngInfo()
    colour_space.add(b"sRGB", b"\0")
    with atomic_path(Path(path)) as temporary:
        Image.fromarray(samples).save(temporary, format="PNG", pnginfo=colour_space)


def write_depth(path: Path | str, depth: Array, unit: float = 1 / 65535) -> None:
    """Write a depth map as a 16-bit grey PNG, whole or not at all; `read_depth` with the same unit reads it back.

    Args:
        path: the file; an existing one is replaced.
        depth: (H, W), from 0 to 65535 units; clipped.
        unit: depth per count; the default holds relative depth in [0, 1].

    Raises:
        WorkspaceError: the file cannot be written.
    """
    counts = np.clip(np.rint(_finite(depth).astype(np.float64) / unit), 0, 65535).astype(np.uint16)
    with atomic_path(Path(path)) as temporary:
        Image.fromarray(counts).save(temporary, format="PNG")


def list_images(folder: Path | str) -> list[Path]:
    """The pictures of a folder in natural order: `frame9` before `frame10`; hidden files are left out.

    Raises:
        MissingInputError: there is no such folder.
        InvalidInputError: it is no folder, cannot be listed, or holds no picture.
        OutsideError: a picture is a link that leads out of the folder.
    """
    folder = Path(folder)
    if not folder.exists():
        raise MissingInputError(f"{folder} does not exist")
    try:
        files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    except OSError as error:
        raise InvalidInputError(f"cannot list {folder}: {error.strerror}") from None
    if not files:
        raise InvalidInputError(f"{folder} holds no pictures", f"Known suffixes are {' '.join(sorted(SUFFIXES))}")
    require_inside(folder, files)
    return sorted(files, key=natural_key)


def to_bytes(image: Array) -> NDArray[np.uint8]:
    """Values in [0, 1] as 8-bit samples of the same shape, clipped and rounded."""
    return np.rint(np.clip(_finite(image), 0, 1) * np.float32(255)).astype(np.uint8)


def open_checked(path: Path, stream: IO[bytes]) -> Image.Image:
    """Open a picture by its header, with its size and, in a PNG, its checksums checked; no pixel is decoded yet.

    Raises:
        InvalidInputError: the header says more than `PIXEL_LIMIT` pixels.
        Exception: whatever Pillow makes of a damaged file; `unreadable` turns it into an InvalidInputError.
    """
    image = Image.open(stream, formats=FORMATS)
    check_size(path, *image.size)
    if image.format == "PNG":
        image.verify()
        stream.seek(0)
        image = Image.open(stream, formats=FORMATS)
    return image


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture or video too large to decode.

    Raises:
        InvalidInputError: it has more than `PIXEL_LIMIT` pixels.
    """
    if width * height > PIXEL_LIMIT:
        limit = PIXEL_LIMIT // 1_000_000
        raise InvalidInputError(f"{path} is {width}x{height} pixels, more than {limit} megapixels", "Reduce it first")


def unreadable(path: Path, error: Exception) -> InvalidInputError:
    """The refusal of a file on which Pillow failed in one of its many ways."""
    if isinstance(error, InvalidInputError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return InvalidInputError(f"{path} is far larger than {PIXEL_LIMIT // 1_000_000} megapixels", "Reduce it first")
    if isinstance(error, UnidentifiedImageError):
        return InvalidInputError(f"{path} is damaged or not a picture", f"Known are {', '.join(FORMATS)}")
    return InvalidInputError(f"{path} is damaged: {complaint(error)}")


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise ValueError("an image to be written must be finite")
    return values


def _read_samples(path: Path, max_size: int | None = None, *, upright: bool = True) -> NDArray[Any]:
    """(H, W, 3|4) samples in the type of the file; 8-bit ones reduced to `max_size`."""
    require_file(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # Pillow tells of oddities that do not touch the pixels
            image = open_checked(path, stream)
            # libtiff, like OpenCV's libpng below, complains on the terminal itself, past Python.
            with muted_terminal() if image.format == "TIFF" else nullcontext():
                image.load()
            samples = _samples(image, stream, max_size)
            return _upright(samples, image) if upright else samples
    except Exception as error:  # Pillow's readers raise nearly every type there is on damaged bytes
        raise unreadable(path, error) from None


def _samples(image: Image.Image, stream: IO[bytes], max_size: int | None) -> NDArray[Any]:
    bit_depth, colour_type = _png_depth(stream) if image.format == "PNG" else (8, 0)
    if (bit_depth == 16 and colour_type != GREY) or _is_deep_tiff(image):
        return _read_deep_colour(image, stream)
    if image.mode.startswith("I") or image.mode == "F":
        colours = np.repeat(np.asarray(image)[..., None], 3, axis=-1)
        key = image.info.get("transparency")
        return colours if key is None else _with_colour_key(colours.astype(np.uint16), key)
    if bit_depth < 8 and colour_type == GREY and "transparency" in image.info:
        # Pillow stretches the greys of such a file to 8 bits, but not the one that is transparent.
        image.info["transparency"] *= 255 // (2**bit_depth - 1)
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    picture = image.convert("RGBA" if transparent else "RGB")
    if max_size is not None:
        picture.thumbnail((max_size, max_size), reducing_gap=3.0)
    return np.asarray(picture)


def _png_depth(stream: IO[bytes]) -> tuple[int, int]:
    """Bits per sample and colour type, from the header."""
    stream.seek(24)
    bit_depth, colour_type = stream.read(2)
    return bit_depth, colour_type


def _is_deep_tiff(image: Image.Image) -> bool:
    """Whether there are 16 bits in several channels, of which Pillow would keep only 8."""
    tags = getattr(image, "tag_v2", {})
    premultiplied = tags.get(338, (0,))[0] == 1
    return image.mode in ("RGB", "RGBA") and set(tags.get(258, (8,))) == {16} and not premultiplied


def _read_deep_colour(image: Image.Image, stream: IO[bytes]) -> NDArray[Any]:
    stream.seek(0)
    content = np.frombuffer(stream.read(), np.uint8)
    with muted_terminal():
        samples: NDArray[Any] | None = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.shape[:2] != image.size[::-1]:
        raise ValueError("its 16-bit samples cannot be decoded")
    colours = samples[..., [2, 1, 0]]
    key = image.info.get("transparency")
    if key is not None:
        return _with_colour_key(colours, key)
    return np.concatenate([colours, samples[..., 3:]], axis=-1)


def _with_colour_key(colours: NDArray[np.uint16], key: int | tuple[int, ...]) -> NDArray[np.uint16]:
    """Colours with the alpha that PNG's tRNS chunk means: one colour is transparent."""
    alpha = np.where((colours == np.asarray(key, np.uint16)).all(axis=-1, keepdims=True), 0, 65535)
    return np.concatenate([colours, alpha.astype(np.uint16)], axis=-1)


def _upright(samples: NDArray[Any], image: Image.Image) -> NDArray[Any]:
    """Undo the camera's rotation; EXIF numbers the eight of them by where the first row and column lie."""
    try:
        orientation = image.getexif().get(274, 1)
    except Exception:  # damaged EXIF in a sound picture: take the picture as it lies
        orientation = 1
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples
