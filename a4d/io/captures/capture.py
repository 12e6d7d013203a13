"""Photographs with known cameras, as every capture format is read into and written from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from a4d.errors import InvalidInputError, MissingInputError, UsageError
from a4d.io.assets.ply import PointCloud

if TYPE_CHECKING:
    from a4d.geometry.cameras import Cameras


logger = logging.getLogger(__name__)

UNSEEN = "unseen"
"""The split of frames that do not show the subject."""


@dataclass(frozen=True)
class Lens:
    """A lens that bends straight lines, in OpenCV's two models.

    Args:
        radial: k1 to k4. Perspective: factors of r^2, r^4, r^6, r^8. Fisheye: of theta^2 to theta^8.
        tangential: p1, p2; zero for fisheye lenses.
        is_fisheye: equidistant projection rather than perspective; such a lens is no pinhole even with zero factors.
    """

    radial: tuple[float, float, float, float]
    tangential: tuple[float, float] = (0.0, 0.0)
    is_fisheye: bool = False


@dataclass(frozen=True)
class CaptureChoice:
    """What of a capture is read, and how much of it must be there.

    Args:
        images_folder: of a COLMAP model's images; searched beside the model and up to three levels above it if absent.
        model: of several COLMAP models, relative to their project; the one with most images if absent.
        root: the folder that holds all that may be read; for a `transforms.json` its own if absent.
        skip_missing: leave out images that are not on disk instead of refusing.
        unseen: take an image that is not on disk, or not below `root`, for what its camera says of it.
        warn: takes one line on what was assumed.
    """

    images_folder: Path | None = None
    model: str | None = None
    root: Path | None = None
    skip_missing: bool = False
    unseen: bool = False
    warn: Callable[[str], None] = logger.warning


@dataclass(frozen=True)
class PosedCapture:
    """N images with their cameras; nothing of the images is loaded.

    Args:
        images: N files.
        world_from_camera: (N, 4, 4) float64 rigid, OpenCV camera axes, in the world of the source.
        intrinsics: (N, 4) float64 fx, fy, cx, cy in pixels of the files as they are on disk.
        sizes: (N, 2) int64 width, height in pixels.
        lenses: N lenses, None for a pinhole; or None where all are pinholes.
        masks: N files, white on the subject, or None each; or None.
        depths: N files or None each; or None.
        splits: N names such as `train`, `test` and `unseen`; or None.
        times: (N,) float64 in [0, 1] of the clip; or None for a static subject.
        views: N names, of cameras that stay in their places while time passes; or None.
        clips: N names of the animation that is shown; or None.
        points: seen by the cameras, in the same world; or None.
        up_axis: of the source's world by its format's custom; None where the format has no such custom.
        world_from_source: (4, 4) float64 similarity that brought the source's own world here; None where none was
            applied.
        depth_unit: metres per count of the depth maps; None where that is not known.
        are_approximate: the cameras are some degrees off, as those are that were found by a subject that moves.
    """

    images: tuple[Path, ...]
    world_from_camera: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    sizes: NDArray[np.int64]
    lenses: tuple[Lens | None, ...] | None = None
    masks: tuple[Path | None, ...] | None = None
    depths: tuple[Path | None, ...] | None = None
    splits: tuple[str, ...] | None = None
    times: NDArray[np.float64] | None = None
    views: tuple[str, ...] | None = None
    clips: tuple[str, ...] | None = None
    points: PointCloud | None = None
    up_axis: Literal["+y", "+z"] | None = None
    world_from_source: NDArray[np.float64] | None = None
    depth_unit: float | None = None
    are_approximate: bool = False

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: a shape is not the documented one.
        """
        shapes = {"world_from_camera": (4, 4), "intrinsics": (4,), "sizes": (2,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != (len(self), *shape):
                raise ValueError(f"expected {name} {(len(self), *shape)}, got {getattr(self, name).shape}")
        for name in PER_IMAGE:
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise ValueError(f"expected {len(self)} {name}, got {len(value)}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_distorted(self) -> bool:
        """Whether any image was taken through a lens that is no pinhole."""
        return self.lenses is not None and any(lens is not None for lens in self.lenses)

    def subset(self, indices: Sequence[int]) -> PosedCapture:
        """The images of the given indices, in their order, with the same points."""
        chosen: dict[str, Any] = {}
        for name in PER_IMAGE:
            value = getattr(self, name)
            if isinstance(value, tuple):
                chosen[name] = tuple(value[i] for i in indices)
            elif value is not None:
                chosen[name] = value[np.asarray(indices, np.int64)]
        return replace(self, **chosen)

    def cameras(self) -> Cameras:
        """All images' cameras as one float32 batch.

        Raises:
            UsageError: a lens is no pinhole, or the image sizes differ.
        """
        import torch

        from a4d.geometry.cameras import Cameras

        if self.is_distorted:
            raise UsageError(
                "the capture has lens distortion, which no renderer here models",
                "Remove it on import, or with `colmap image_undistorter`",
            )
        if len(self) == 0 or (self.sizes != self.sizes[0]).any():
            raise UsageError("the images of the capture differ in size", "Resize them to one size, or drop the others")
        width, height = self.sizes[0].tolist()
        poses, intrinsics = torch.from_numpy(self.world_from_camera), torch.from_numpy(self.intrinsics)
        return Cameras(poses.float(), intrinsics.float(), width, height)


ONCE = ("points", "up_axis", "world_from_source", "depth_unit", "are_approximate")
PER_IMAGE = tuple(field.name for field in fields(PosedCapture) if field.name not in ONCE)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone; an EXIF orientation is not applied.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is no image.
    """
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.size
    except FileNotFoundError as error:
        raise MissingInputError(f"{path} does not exist") from error
    except Exception as error:
        raise InvalidInputError(f"{path} is not an image that can be read") from error


def fitted_intrinsics(
    intrinsics: NDArray[np.float64],  # (4,) fx, fy, cx, cy for an image of `declared` size
    declared: tuple[int, int],  # width, height that the capture's file states
    path: Path,
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Intrinsics and size for the image as it is on disk, which is often a shrunk copy of the calibrated one.

    Returns:
        (4,) intrinsics; width, height.

    Raises:
        InvalidInputError: no image, or one of another aspect ratio, which scaling cannot explain.
    """
    actual = image_size(path)
    x, y = actual[0] / declared[0], actual[1] / declared[1]
    # A shrunk copy's height and width are each rounded to whole pixels.
    tolerance = 1.5 / declared[0] + 1.5 / declared[1] + 1.0 / actual[0] + 1.0 / actual[1]
    if actual != declared and abs(x / y - 1) > tolerance:
        raise InvalidInputError(
            f"{path} is {actual[0]}x{actual[1]}, but its camera was calibrated for {declared[0]}x{declared[1]}",
            "Use the images that the cameras were estimated from",
        )
    return intrinsics * np.array([x, y, x, y]), actual


def missing_images(source: Path, missing: Sequence[Path]) -> MissingInputError:
    """The error for images that a capture names and the disk does not have."""
    named = ", ".join(str(path) for path in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return MissingInputError(
        f"{source} names {len(missing)} images that do not exist: {named}", "Restore them, or skip missing images"
    )
