"""Databases that Lab4D's preprocessing leaves: frames of films, and what is known of the object in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.io.array_files import read_array
from a4d.io.captures.capture import image_size
from a4d.io.files import read_text
from a4d.io.pictures.images import list_images, read_image
from a4d.pixels import Array

PROCESSED, RESOLUTION = "processed", "Full-Resolution"

FLOW_FOLDER = re.compile(r"Flow(FW|BW)_([1-9]\d{0,3})")

PACK = 256
"""Pixels of the side of pictures that are cut out for training."""

PACKED = ("crop", "full")
"""Names of packs: around the object, and of the whole frame."""

KINDS_OF_FEATURES = ("dinov2", "cse")

FOCAL_NUMBERS = 4
"""fx, fy, cx and cy of a camera."""

CLIP_NUMBER = re.compile(r"-(\d{4})")


@dataclass(frozen=True)
class Lab4DClip:
    """One film of a database; K frames of it were kept.

    Args:
        root: of the database.
        name: of the clip, `VIDEO-0000`.
        intrinsics: (4,) fx, fy, cx, cy in pixels of the frames, the first pixel's centre at (0.5, 0.5).
        size: width and height of the frames, pixels.
        images: K files.
        frames: (K,) int64 numbers of the frames in the film.
        count: of all frames of the film.
        camera_from_object: (K, 4, 4) float64 rigid, OpenCV camera axes.
        is_detected: (K,) bool.
        stands_upright: +Y is up and the head at +Z, as where cameras were set by hand; else -Y and -Z.
    """

    root: Path
    name: str
    intrinsics: NDArray[np.float64]
    size: tuple[int, int]
    images: tuple[Path, ...]
    frames: NDArray[np.int64]
    count: int
    camera_from_object: NDArray[np.float64]
    is_detected: NDArray[np.bool_]
    stands_upright: bool

    def folder(self, kind: str) -> Path:
        """Where the clip's files of a kind lie."""
        return _folder(self.root, kind, self.name)

    def masks(self) -> Iterator[NDArray[np.bool_]]:
        """The object in each frame, (H, W); nothing where it was not detected.

        Raises:
            MissingInputError: there is none of a frame.
            InvalidInputError: one is damaged, or of another size.
        """
        for image, is_detected in zip(self.images, self.is_detected, strict=True):
            path = self.folder("Annotations") / f"{image.stem}.npy"
            values = _read(path, "iub", 2)
            if not values.shape[::-1] == image_size(image) == self.size:
                raise InvalidInputError(f"{path} and {image} are not both {self.size[0]}x{self.size[1]}")
            # An instance's number is above 0; -1 stands in the whole frame where nothing was found.
            yield (values.astype(np.int64) > 0) & is_detected

    def flows(self) -> Iterator[tuple[int, int, Array, NDArray[np.bool_]]]:
        """Frame, steps to the other, (h, w, 2) pixels of that size right and down, and (h, w) where it is seen."""
        place_of = {image.stem: place for place, image in enumerate(self.images)}
        for folder in sorted((self.root / PROCESSED).glob("Flow*")):
            if not (named := FLOW_FOLDER.fullmatch(folder.name)):
                continue
            step = int(named[2]) if named[1] == "FW" else -int(named[2])
            for path in sorted((folder / RESOLUTION / self.name).glob("*.npy")):
                if path.stem not in place_of:
                    continue
                start = place_of[path.stem]
                if not 0 <= start + step < len(self.images):
                    raise InvalidInputError(f"{path} leads out of the clip of {len(self.images)} frames")
                values = _read(path, "f", 3, last=3).astype(np.float32)
                yield start, step, values[..., :2], values[..., 2] <= 0

    def depths(self) -> Iterator[tuple[int, Array]]:
        """Frame, and (h, w) metres along the viewing axis, of frames that have them."""
        for place, image in enumerate(self.images):
            path = self.folder("Depth") / f"{image.stem}.npy"
            if path.exists():
                yield place, _read(path, "f", 2).astype(np.float32)

    def features(self) -> Iterator[tuple[str, NDArray[Any], NDArray[np.float64]]]:
        """Kind, (K, h, w, C) packed features, and (K, 4) fx, fy, cx, cy that take packed pixels to the frame's.

        Where both are there, those around the object, which are finer.

        Raises:
            InvalidInputError: a pack is damaged, or of other frames.
        """
        for kind in KINDS_OF_FEATURES:
            for packed in PACKED:
                path = self.folder("Features") / f"{packed}-{PACK}-{kind}-01.npy"
                if path.exists():
                    yield kind, self._pack(path, "f", 4), self.frame_from_pack(packed)
                    break

    def frame_from_pack(self, packed: str) -> NDArray[np.float64]:
        """(K, 4) fx, fy, cx, cy: a pack's place (x, y) is (fx x + cx, fy y + cy) of the frame, from pixel centres.

        Raises:
            MissingInputError: the database does not say it.
            InvalidInputError: it is damaged, or of other frames.
        """
        places = (self.folder(kind) / f"{packed}-{PACK}-crop2raw.npy" for kind in ("Annotations", "JPEGImages"))
        found = [path for path in places if path.exists()]
        if not found:
            raise MissingInputError(f"{self.folder('Annotations')} does not say where '{packed}' packs lie")
        values = self._pack(found[0], "f", 2, last=FOCAL_NUMBERS).astype(np.float64)
        if (values[:, :2] <= 0).any():
            raise InvalidInputError(f"{found[0]} has a scale that is not positive")
        return values

    def _pack(self, path: Path, kinds: str, dimensions: int, last: int | None = None) -> NDArray[Any]:
        values = _read(path, kinds, dimensions, last)
        if len(values) != len(self.images):
            raise InvalidInputError(f"{path} is of {len(values)} frames, and the clip has {len(self.images)}")
        return values


def is_database(folder: Path) -> bool:
    """Whether a folder is such a database, by the folders in it."""
    return (folder / PROCESSED / "JPEGImages" / RESOLUTION).is_dir() and any(folder.glob("configs/*.config"))


def read_clip(root: Path, name: str | None = None) -> Lab4DClip:
    """Read a film of a database; no picture and none of the large arrays is read before it is asked for.

    Args:
        root: of the database.
        name: of a video of one film, or of a film, `VIDEO-0000`; None where there is one alone.

    Raises:
        MissingInputError: something that belongs to the film is not there.
        InvalidInputError: it is damaged, or its parts are of different frames.
        UsageError: there is no such film, or there are several and none is named.
    """
    clip, intrinsics, size = _chosen(root, name)
    images = tuple(list_images(_folder(root, "JPEGImages", clip)))
    frames = np.array([_frame_number(image) for image in images], np.int64)
    raw = _folder(root, "JPEGImagesRaw", clip)
    if not raw.is_dir():
        raise MissingInputError(f"there is no folder {raw}", "It holds all frames of the film, of which some were kept")
    count = len(list_images(raw))
    if frames.max() >= count:
        raise InvalidInputError(f"{images[-1]} is frame {frames.max()} of {raw}, which holds {count}")
    cameras = _folder(root, "Cameras", clip)
    path = cameras / "01-canonical.npy"
    camera_from_object = _read(path, "f", 3, last=4).astype(np.float64)
    _require_rigid(path, camera_from_object, len(images))
    detected = _folder(root, "Annotations", clip) / f"crop-{PACK}-is_detected.npy"
    is_detected = _read(detected, "b", 1) if detected.exists() else np.ones(len(images), np.bool_)
    if len(is_detected) != len(images):
        raise InvalidInputError(f"{detected} is of {len(is_detected)} frames, and the clip has {len(images)}")
    if (camera_from_object[is_detected, 2, 3] <= 0).any():
        raise InvalidInputError(f"{path} has the object behind the camera in frames that show it")
    upright = (cameras / "01-manual.json").exists()
    return Lab4DClip(root, clip, intrinsics, size, images, frames, count, camera_from_object, is_detected, upright)


def _folder(root: Path, kind: str, clip: str) -> Path:
    return root / PROCESSED / kind / RESOLUTION / clip


def _frame_number(image: Path) -> int:
    if not image.stem.isdecimal():
        raise InvalidInputError(f"{image} is not named by its frame's number in the film")
    return int(image.stem)


def _chosen(root: Path, name: str | None) -> tuple[str, NDArray[np.float64], tuple[int, int]]:
    """The film that is meant: its name, (4,) intrinsics, and width and height."""
    films = {}
    for path in sorted(root.glob("configs/*.config")):
        for clip, entry in _configured(path).items():
            films[clip] = path, entry
    chosen = [clip for clip in films if name in (None, clip, CLIP_NUMBER.sub("", clip))]
    if len(chosen) != 1:
        problem = f"{root} holds {len(chosen) or 'no'} films" + (f" {name!r}" if name else "")
        raise UsageError(problem, f"Choose with --sequence one of {', '.join(films)}")
    path, entry = films[chosen[0]]
    try:
        fx, fy, cx, cy = map(float, entry["ks"].strip("\"'").split())
        height, width = map(int, entry["shape"].strip("\"'").split())
    except (KeyError, ValueError):
        raise InvalidInputError(f"{path} has no 'ks' of four numbers or no 'shape' of two") from None
    intrinsics = np.array([fx, fy, cx + 0.5, cy + 0.5])
    if not np.isfinite(intrinsics).all() or min(fx, fy, width, height) <= 0:
        raise InvalidInputError(f"{path} has a focal length or a size that is not positive")
    return chosen[0], intrinsics, (width, height)


def _configured(path: Path) -> dict[str, dict[str, str]]:
    """What a configuration says of each film, by the name of the film's folder."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except ConfigParserError as error:
        raise InvalidInputError(f"{path} is no configuration: {' '.join(str(error).split())}") from None
    sections = [parser[name] for name in parser.sections() if re.fullmatch(r"data_\d+", name)]
    if not sections or not all("img_path" in section for section in sections):
        raise InvalidInputError(f"{path} has no section [data_0] with 'img_path'")
    return {Path(section["img_path"].strip("\"'")).name: dict(section) for section in sections}


def _read(path: Path, kinds: str, dimensions: int, last: int | None = None) -> NDArray[Any]:
    """An array of so many dimensions, finite, whose type is of one of numpy's kinds."""
    values = read_array(path)
    if values.dtype.kind not in kinds or values.ndim != dimensions or 0 in values.shape:
        raise InvalidInputError(f"{path} is {values.dtype} {values.shape}, of which nothing is known here")
    if last is not None and values.shape[-1] != last:
        raise InvalidInputError(f"{path} is {values.dtype} {values.shape}, not of {last} numbers each")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidInputError(f"{path} holds numbers that are not finite")
    return values


def _require_rigid(path: Path, matrices: NDArray[np.float64], count: int) -> None:
    if matrices.shape != (count, 4, 4):
        raise InvalidInputError(f"{path} is of shape {matrices.shape}, not ({count}, 4, 4)")
    turns = matrices[:, :3, :3]
    is_turn = np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-3) and (np.linalg.det(turns) > 0).all()
    if not is_turn or not np.allclose(matrices[:, 3], [0, 0, 0, 1]):
        raise InvalidInputError(f"{path} holds a matrix that is no rigid motion")


def read_frames(clip: Lab4DClip) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
    """Each frame (H, W, 3) of sRGB in [0, 1], and the object in it (H, W).

    Raises:
        MissingInputError: a mask is not there.
        InvalidInputError: a picture or mask is damaged.
    """
    for image, mask in zip(clip.images, clip.masks(), strict=True):
        yield read_image(image, upright=False)[..., :3], mask
