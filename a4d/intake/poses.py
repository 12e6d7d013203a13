"""From where pictures were taken: a canonical place, another program's cameras, or structure from motion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from a4d.errors import QualityError, UsageError
from a4d.geometry.cameras import orbit
from a4d.intake.imported_tracks import import_tracks
from a4d.intake.pose_settings import PoseSettings
from a4d.intake.taken_images import as_taken_in, film_times, showing, staged_names, taken_images, with_splits
from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
from a4d.io.captures.capture import CaptureChoice, PosedCapture, image_size
from a4d.io.captures.capture_reader import read_capture
from a4d.io.captures.image_matching import match_images
from a4d.io.captures.structure_from_motion import reconstruct_cameras
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.captures.undistortion import Undistortion, without_distortion
from a4d.io.pictures.images import read_image, write_image
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace


def place_canonical(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """One camera at the front for all frames: a single image, or a video from a fixed camera."""
    images = taken_images(work.workspace)
    sizes = [image_size(image) for image in images]
    place = torch.zeros(1), torch.tensor([config.elevation or 0.0]), config.radius, config.fov
    seen = {size: orbit(*place, *size) for size in set(sizes)}
    count = len(images)
    capture = PosedCapture(
        images=staged_names(work, images),
        world_from_camera=np.concatenate([seen[size].world_from_camera.double().numpy() for size in sizes]),
        intrinsics=np.concatenate([seen[size].intrinsics.double().numpy() for size in sizes]),
        sizes=np.array(sizes, np.int64),
        times=np.linspace(0, 1, count) if count > 1 else None,
        up_axis="+y",
    )
    write_transforms(work.output("transforms.json"), with_splits(capture, config.test_every, showing(images)))
    return {"cameras": count, "method": "canonical"}


def import_cameras(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """Cameras that another program found for the same images, which are straightened if its lens was bent."""
    capture = imported_capture(work, config)
    write_transforms(work.output("transforms.json"), with_splits(capture, config.test_every))
    return {"cameras": len(capture), "method": "import"}


def imported_capture(work: Transaction, config: PoseSettings) -> PosedCapture:
    """The images that `--cameras` has a camera of, as they are staged, in our world.

    Raises:
        InvalidInputError: a camera is for a picture of another shape.
        QualityError: too few images found a camera.
        UsageError: the images have been straightened for other cameras.
    """
    assert config.cameras is not None
    images, source = taken_images(work.workspace), work.workspace.source_path()
    # The pictures often lie in a folder beside that of the cameras; their sizes alone are read.
    beside = (config.cameras if config.cameras.is_dir() else config.cameras.parent).absolute().parent
    choice = CaptureChoice(source if source.is_dir() else source.parent, root=beside, unseen=True, warn=work.warn)
    capture = read_capture(config.cameras, choice)
    matches = match_images(_given_names(work.workspace, images), capture.images)
    found = [(image, index) for image, index in zip(images, matches, strict=True) if index is not None]
    _require_enough(len(found), len(images), config)
    kept = [image for image, _ in found]
    chosen = as_taken_in(work.workspace, kept, capture.subset([index for _, index in found]))
    chosen = replace(chosen, images=staged_names(work, kept), masks=None, depths=None)
    if config.moving and chosen.times is None:
        is_kept = np.array([image in kept for image in images])
        chosen = replace(chosen, times=film_times(work.workspace, len(images))[is_kept])
    if chosen.is_distorted:
        chosen, steps = without_distortion(chosen)
        _straighten(work, images, dict(zip(kept, steps, strict=True)))
    return transform_capture(chosen, canonical_frame(chosen))


def _given_names(workspace: Workspace, images: list[Path]) -> list[PurePosixPath]:
    """The images' names as they were given, below the folder that they were in; a film's are those of its frames."""
    source = workspace.source_path()
    if source.is_dir():
        names = workspace.metadata.notes.get("files") or [image.name for image in images]
        return [PurePosixPath(source.name, name) for name in names]
    return [PurePosixPath(source.name if len(images) == 1 else image.name) for image in images]


def _straighten(work: Transaction, images: list[Path], steps: Mapping[Path, Undistortion | None]) -> None:
    """Write all images again, as pinholes would have taken those that have a camera.

    Raises:
        UsageError: an earlier run has done so already.
    """
    workspace = work.workspace
    if workspace.metadata.notes.get("straightened"):
        raise UsageError(
            f"the images of {workspace.path} have been straightened for other cameras already",
            f"Take them in anew: `a4d preprocess {workspace.argument} --force`",
        )
    folder = work.replace("images")
    for image in images:
        step = steps.get(image)
        if step is None:
            shutil.copyfile(image, folder / image.name)
        else:
            write_image(folder / image.name, step.apply(read_image(image)))
    work.describe(notes={"straightened": True})


def reconstruct(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """Structure from motion over photographs of a thing that stands still (COLMAP through pycolmap)."""
    with TemporaryDirectory(dir=work.folder) as scratch:
        model = reconstruct_cameras(work.workspace.source_path(), Path(scratch))
        metrics = import_cameras(work, config.model_copy(update={"cameras": model}))
    return {**metrics, "method": "colmap"}


METHODS: dict[str, Callable[[Transaction, PoseSettings], dict[str, Any]]] = {
    "canonical": place_canonical,
    "import": import_cameras,
    "colmap": reconstruct,
    "tracker": import_tracks,
}


def _require_enough(found: int, count: int, config: PoseSettings) -> None:
    if found < max(1, config.registered * count):
        raise QualityError(
            f"only {found} of {count} images found a camera", "Take more overlapping photographs, or lower --registered"
        )
