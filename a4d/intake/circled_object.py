"""The camera of each frame of a film around one thing that may move, found by its silhouettes and colours."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from a4d.console import progress
from a4d.errors import MissingInputError, UsageError
from a4d.estimation.bodies.figures import outlined
from a4d.estimation.objects.courses import Known
from a4d.estimation.objects.fit import REMEDY, ObjectCameras, find_cameras
from a4d.geometry.reconstruction.hull_kernels import splat_depth
from a4d.intake.pose_settings import PoseSettings
from a4d.intake.taken_images import (
    as_taken_in,
    film_size,
    film_times,
    filmed_rectangle,
    staged_names,
    taken_images,
    with_splits,
)
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.pictures.images import read_image, write_image
from a4d.pixels import Array, resample
from a4d.running.quality import Gate, judge
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

LONGEST_SIDE = 256
"""Pixels of the frames that are looked at: silhouettes of what moves say nothing finer."""

PREVIEWS = 6

GATES = (
    Gate(
        "confidence", 0.8, 0.4,
        "other courses of the camera explain the frames as well ({value:.2f}): Say --still if it stands still, film "
        "the subject for longer and from more sides, or give its cameras with --cameras", at_least=True,
    ),
    Gate("silhouette_iou", 0.5, 0.4, "no shape has these silhouettes ({value:.2f}): {remedy}", at_least=True),
    Gate("tracked_share", 0.8, 0.4, "only {tracked} of {frames} frames show the whole subject", at_least=True),
)  # fmt: skip
"""A running fox's silhouettes overlap by .58 as its true cameras see it, and by .45 as one that stands still."""


def estimate_object(work: Transaction, config: PoseSettings, runtime: Runtime) -> dict[str, Any]:
    """Write `transforms.json` of cameras around the thing that the frames show.

    Raises:
        MissingInputError: there are no masks.
        UsageError: the frames are not those of a film.
        QualityError: too few frames show the whole subject.
    """
    workspace = work.workspace
    images = taken_images(workspace)
    capture = _filmed(workspace, images, config)
    width, height = capture.sizes[0].tolist()
    scale = np.tile(np.array(reduced_size(width, height)) / [width, height], 2)
    filmed = filmed_rectangle(workspace, capture).double().numpy() * scale
    with _told(runtime) as told:
        known = Known(config.azimuth, config.elevation, config.still)
        found = find_cameras(_Film(images), capture.intrinsics[0] * scale, filmed, known, told)
    placed = PosedCapture(
        images=staged_names(work, images),
        world_from_camera=found.world_from_camera,
        intrinsics=capture.intrinsics,
        sizes=capture.sizes,
        times=film_times(workspace, len(images)),
        up_axis="+y",
        are_approximate=not found.is_still,
    )
    write_transforms(
        work.output("transforms.json"), with_splits(placed, config.test_every, torch.from_numpy(found.is_whole))
    )
    if said := _cut_off(found):
        work.warn(said)
    figures = _figures(found)
    judge(work, {**figures, "remedy": "Leave --still out if the camera turns" if config.still else REMEDY}, GATES)
    if found.is_still and not config.still:
        logger.info("the camera does not turn around the subject: all frames are seen from one side")
    _write_previews(work, images, placed, found)
    return {"cameras": len(images), "method": "object", **figures}


class _Film(Sequence[Array]):
    """The frames, reduced, each read when it is asked for."""

    def __init__(self, images: list[Path]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        picture = read_image(self.images[index])
        if picture.shape[2] < 4:
            raise MissingInputError(
                f"{self.images[index]} does not tell the subject from what is around it",
                "Give masks, or cut the subject out: `a4d preprocess FILM --matting grabcut`",
            )
        width, height = reduced_size(picture.shape[1], picture.shape[0])
        return picture if width == picture.shape[1] else resample(picture, (width, height))


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """The size of a picture's frames that are looked at."""
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _filmed(workspace: Workspace, images: list[Path], config: PoseSettings) -> PosedCapture:
    """The film's frames through the lens of which the user knows the field of view.

    Raises:
        UsageError: the frames show a mesh, have cameras already, or are of several sizes.
    """
    source = workspace.metadata.source
    if source is not None and source.kind in ("mesh", "capture"):
        raise UsageError("the frames came with cameras", "Leave --method out: they are taken as they are")
    width, height = film_size(workspace, images)
    focal = height / 2 / math.tan(math.radians(config.fov) / 2)
    count = len(images)
    whole = PosedCapture(
        images=tuple(images),
        world_from_camera=np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=np.tile(np.array([focal, focal, width / 2, height / 2]), (count, 1)),
        sizes=np.array([(width, height)] * count, np.int64),
    )
    capture = as_taken_in(workspace, images, whole)
    if len(np.unique(capture.sizes, axis=0)) > 1:
        raise UsageError("the images are of several sizes", "Give the frames of one film")
    return capture


@contextmanager
def _told(runtime: Runtime) -> Iterator[Callable[[float], None]]:
    """Shows how far a search has come."""
    with progress(runtime.console) as bar:
        task = bar.add_task("find cameras", total=100)
        yield lambda share: bar.update(task, completed=round(100 * share))


def _cut_off(found: ObjectCameras) -> str:
    """What becomes of frames whose border cuts the subject off: what lies beyond it would count as background."""
    cut_off = np.flatnonzero(found.is_seen & ~found.is_whole)
    if not len(cut_off):
        return ""
    return (
        f"The border cuts the subject off in {len(cut_off)} of {len(found.is_seen)} frames, the first of them "
        f"{cut_off[0]:05d}: their cameras are filled in, and nothing is fitted to them"
    )


def _figures(found: ObjectCameras) -> dict[str, Any]:
    """What the cameras are, and how they can be trusted."""
    figures = {
        "frames": len(found.is_seen),
        "tracked": int(found.is_whole.sum()),
        "tracked_share": float(found.is_whole.mean()),
        "turns": not found.is_still,
        "turn_degrees": found.turn,
        "elevation_degrees": found.elevation,
        "silhouette_iou": found.overlap,
    }
    return figures if found.confidence is None else {**figures, "confidence": found.confidence}


def _write_previews(work: Transaction, images: list[Path], capture: PosedCapture, found: ObjectCameras) -> None:
    """Draw the outline of the shape that most frames agree on over some of them."""
    camera_from_world = np.linalg.inv(capture.world_from_camera)
    for frame in dict.fromkeys(np.linspace(0, len(images) - 1, PREVIEWS).round().astype(int).tolist()):
        width, height = capture.sizes[frame].tolist()
        nearest = np.full((height, width), np.inf)
        splat_depth(found.shape, camera_from_world[frame], capture.intrinsics[frame], found.spacing, nearest)
        covered = cv2.morphologyEx(np.isfinite(nearest).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        drawn = outlined(read_image(images[frame]), torch.from_numpy(covered > 0))
        write_image(work.previews / f"object_{frame:05d}.png", drawn)
