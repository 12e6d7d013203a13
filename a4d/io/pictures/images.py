"""Still pictures: every common file becomes float32 sRGB with straight alpha, and goes back as PNG."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from a4d.errors import A4DError, BackendUnavailableError, InvalidInputError, MissingInputError
from a4d.io.complaints import complaint
from a4d.io.containment import require_inside
from a4d.io.files import atomic_path, muted_terminal, natural_key, require_file
from a4d.io.pictures.colour_profiles import deep_in_srgb, in_srgb, marked_colours
from a4d.io.suffixes import PICTURE_SUFFIXES
from a4d.pixels import Array, shrink

FORMATS: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
if find_spec("PIL.AvifImagePlugin"):
    FORMATS += ("AVIF",)
if find_spec("pillow_heif"):
    import_module("pillow_heif").register_heif_opener()
    FORMATS += ("HEIF",)
"""What is read, by content; a list of our own because some of Pillow's other readers start programs.

AVIF needs a recent Pillow, and HEIF, a phone's HEIC, the package pillow-heif.
"""

ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")
"""Formats whose further pictures are moments of a film, not pages, thumbnails or other takes."""

PACKAGES = {
    "AVIF": ((b"avif", b"avis"), "pip install -U pillow"),
    "HEIF": ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "pip install pillow-heif"),
}
"""The brands of pictures that Pillow may lack, and what reads them."""

_TIFF_FAULT = re.compile(r"decod|not enough|read error|corrupt|premature|not yet in table|bad code", re.IGNORECASE)
"""Words of libtiff's decoders, beside which it has many for tags that do not touch the pixels."""

GREY = 0
"""PNG's colour type."""

PIXEL_LIMIT = 100_000_000
"""Larger pictures are refused by their header, before memory is asked for."""

logger = logging.getLogger(__name__)


def read_image(
    path: Path | str, max_size: int | None = None, *, upright: bool = True, warn: Callable[[str], None] | None = None
) -> Array:
    """Read a picture; ICC profiles, cICP chunks and nclx boxes become sRGB, whose white is that of HDR pictures.

    PNG's gAMA and cHRM chunks, which many programs write wrongly, are ignored.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, PPM, AVIF or HEIC, of any bit depth; of several pictures in it the first.
        max_size: reduce the longer side to at most this many pixels, antialiased.
        upright: turn it by its EXIF orientation. Cameras that were calibrated for a photograph mean its pixels as they
            are stored, and so must what is done with them.
        warn: told what of the file is not taken: a damaged profile, further pages; the log by default.

    Returns:
        (H, W, 3), or (H, W, 4) with straight alpha where the file has transparency; sRGB in [0, 1].

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, not a picture, over 100 megapixels, or holds numbers without a known range.
        BackendUnavailableError: it is a HEIC or AVIF, and what reads it is not installed.
    """
    path = Path(path)
    samples = _read_samples(path, max_size, _telling_of(path, warn or logger.warning), upright=upright)
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
    samples = _read_samples(path, None, None)[..., :3]
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
        visible = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise InvalidInputError(f"cannot list {folder}: {error.strerror}") from None
    files = [file for file in visible if file.suffix.lower() in PICTURE_SUFFIXES]
    if not files:
        known = " ".join(sorted(PICTURE_SUFFIXES))
        raise InvalidInputError(f"{folder} holds no pictures", f"Known suffixes are {known}")
    require_inside(folder, files)
    return sorted(files, key=natural_key)


def to_bytes(image: Array) -> NDArray[np.uint8]:
    """Values in [0, 1] as 8-bit samples of the same shape, clipped and rounded."""
    return np.rint(np.clip(_finite(image), 0, 1) * np.float32(255)).astype(np.uint8)


def open_header(path: Path, stream: IO[bytes]) -> Image.Image:
    """Open a picture by its header, with its size checked; no pixel is decoded yet.

    Raises:
        InvalidInputError: the header says more than `PIXEL_LIMIT` pixels.
        Exception: whatever Pillow makes of a damaged file; `unreadable` turns it into an A4DError.
    """
    image = Image.open(stream, formats=FORMATS)
    check_size(path, *image.size)
    return image


def open_checked(path: Path, stream: IO[bytes]) -> Image.Image:
    """Open a picture like `open_header`, and in a PNG check its checksums.

    Raises:
        InvalidInputError: the header says more than `PIXEL_LIMIT` pixels.
        Exception: whatever Pillow makes of a damaged file; `unreadable` turns it into an A4DError.
    """
    image = open_header(path, stream)
    if image.format == "PNG":
        image.verify()
        stream.seek(0)
        image = open_header(path, stream)
    return image


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture or video too large to decode.

    Raises:
        InvalidInputError: it has more than `PIXEL_LIMIT` pixels.
    """
    if width * height > PIXEL_LIMIT:
        limit = PIXEL_LIMIT // 1_000_000
        raise InvalidInputError(f"{path} is {width}x{height} pixels, more than {limit} megapixels", "Reduce it first")


def count_frames(image: Image.Image) -> int:
    """How many moments an opened picture shows; 1 for what is no animation."""
    # An APNG may begin with a picture for programs that show no films, and which is no part of it.
    return int(getattr(image, "n_frames", 1)) - has_poster(image) if image.format in ANIMATED else 1


def has_poster(image: Image.Image) -> bool:
    """Whether an opened animation begins with a picture that is no part of the film."""
    return bool(getattr(image, "default_image", False))


def _missing_package(path: Path) -> str:
    """What to run to read a HEIC or AVIF; empty where it is none, or could be read."""
    with path.open("rb") as stream:
        head = stream.read(12)
    for name, (brands, remedy) in PACKAGES.items():
        if head[4:8] == b"ftyp" and head[8:] in brands and name not in FORMATS:
            return remedy
    return ""


def unreadable(path: Path, error: Exception) -> A4DError:
    """The refusal of a file on which Pillow failed in one of its many ways."""
    if isinstance(error, A4DError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return InvalidInputError(f"{path} is far larger than {PIXEL_LIMIT // 1_000_000} megapixels", "Reduce it first")
    if isinstance(error, UnidentifiedImageError):
        if remedy := _missing_package(path):
            return BackendUnavailableError(f"{path} is a HEIC or AVIF, which is not read here", f"Run `{remedy}`")
        return InvalidInputError(f"{path} is damaged or not a picture", f"Known are {', '.join(FORMATS)}")
    return InvalidInputError(f"{path} is damaged: {complaint(error)}")


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise ValueError("an image to be written must be finite")
    return values


def _telling_of(path: Path, warn: Callable[[str], None]) -> Callable[[str], None]:
    return lambda message: warn(f"{path.name}: {message}")


def _read_samples(
    path: Path, max_size: int | None, warn: Callable[[str], None] | None, *, upright: bool = True
) -> NDArray[Any]:
    """(H, W, 3|4) samples in the type of the file, or float32 in [0, 1]; 8-bit ones reduced to `max_size`.

    They are brought to sRGB where there is someone to `warn`: what is no colour stays as it is stored.
    """
    require_file(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # Pillow tells of oddities that do not touch the pixels
            image = open_checked(path, stream)
            count = getattr(image, "n_frames", 1) if image.format in (*ANIMATED, "TIFF") else 1
            if warn is not None and count > 1:
                warn(f"it holds {count} pictures, of which the first is taken")
            _load(image)
            samples = _samples(image, stream, max_size, warn)
            marked = marked_colours(image, stream) if warn is not None else None
            if marked is not None and samples.dtype in (np.uint8, np.uint16):
                samples = marked.to_srgb(samples)
            return _upright(samples, image) if upright else samples
    except Exception as error:  # Pillow's readers raise nearly every type there is on damaged bytes
        raise unreadable(path, error) from None


def _load(image: Image.Image) -> None:
    """Decode the pixels. libtiff complains on the terminal, past Python, and gives what it has of a damaged picture."""
    if image.format != "TIFF":
        image.load()
        return
    with muted_terminal() as words:
        image.load()
        words.seek(0)
        complaints = [line.strip() for line in words.read().decode(errors="replace").splitlines()]
    if faults := [line for line in complaints if _TIFF_FAULT.search(line)]:
        raise ValueError(faults[0])


def _samples(
    image: Image.Image, stream: IO[bytes], max_size: int | None, warn: Callable[[str], None] | None
) -> NDArray[Any]:
    bit_depth, colour_type = _png_depth(stream) if image.format == "PNG" else (8, 0)
    deep: NDArray[Any] | None = None
    if (bit_depth == 16 and colour_type != GREY) or _is_deep_tiff(image):
        deep = _read_deep_colour(image, stream)
    elif image.mode.startswith("I") or image.mode == "F":
        deep = np.repeat(np.asarray(image)[..., None], 3, axis=-1)
        deep = deep.astype(deep.dtype.newbyteorder("="), copy=False)
        key = image.info.get("transparency")
        deep = deep if key is None else _with_colour_key(deep.astype(np.uint16), key)
    if deep is not None:
        return deep_in_srgb(deep, image, warn) if warn is not None and deep.dtype == np.uint16 else deep
    if bit_depth < 8 and colour_type == GREY and "transparency" in image.info:
        # Pillow stretches the greys of such a file to 8 bits, but not the one that is transparent.
        image.info["transparency"] *= 255 // (2**bit_depth - 1)
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    picture = image.convert(mode) if warn is None else in_srgb(image, mode, warn)
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
