"""The images of a workspace as preprocess left them, and cameras of the pictures that they were taken from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError, MissingInputError
from a4d.framing import Crop
from a4d.io.captures.capture import UNSEEN, PosedCapture, image_size
from a4d.io.films.video import source_frames
from a4d.io.pictures.images import read_image
from a4d.pixels import SOLID
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace

SHAPE_TOLERANCE = 0.02
"""By which the ratio of a reduced picture's sides may differ from the whole's, which rounding to pixels explains."""


def taken_images(workspace: Workspace) -> list[Path]:
    """All images, in their order.

    Raises:
        MissingInputError: there are none.
    """
    folder = workspace.require("images", f"Run `a4d preprocess {workspace.argument}` first")
    images = sorted(folder.glob("*.png"))
    if not images:
        raise MissingInputError(f"{folder} is empty", f"Run `a4d preprocess {workspace.argument}` first")
    return images


def with_splits(
    capture: PosedCapture,
    test_every: int | None,
    is_seen: Tensor | None = None,  # (N,) bool
) -> PosedCapture:
    """The same with what each frame is for; as it is where there is nothing to tell.

    Args:
        capture: of N frames; splits that it brought are kept.
        test_every: of so many frames one is held out for tests, from the middle of the first so many.
        is_seen: whether a frame shows enough of the subject; the others are `unseen`, which neither fits nor tests look
            at.
    """
    splits = capture.splits
    if splits is None and test_every is not None:
        splits = tuple("test" if index % test_every == test_every // 2 else "train" for index in range(len(capture)))
    if is_seen is not None and not bool(is_seen.all()):
        known = splits or ("train",) * len(capture)
        splits = tuple(split if seen else UNSEEN for split, seen in zip(known, is_seen.tolist(), strict=True))
    return replace(capture, splits=splits)


def showing(images: list[Path]) -> Tensor:
    """(N,) bool, which images show anything at all; one without alpha does."""
    return torch.tensor(
        [image.shape[2] == 3 or bool((image[..., 3] > SOLID).any()) for image in map(read_image, images)]
    )


def staged_names(work: Transaction, images: list[Path]) -> tuple[Path, ...]:
    """The images as `transforms.json` will name them, which is staged beside a folder that is not."""
    return tuple(work.output("transforms.json").parent / "images" / image.name for image in images)


def as_taken_in(workspace: Workspace, images: list[Path], capture: PosedCapture) -> PosedCapture:
    """The cameras of pictures as preprocess left them: reduced, or a square around the subject.

    Raises:
        InvalidInputError: a camera is for a picture of another shape.
    """
    sizes = np.array([image_size(image) for image in images], np.int64)
    noted = workspace.metadata.notes.get("crop")
    crop = None if noted is None else Crop.model_validate(noted)
    whole = sizes if crop is None else np.array([[crop.source_width, crop.source_height]] * len(images))
    scale = whole / capture.sizes
    for index, image in enumerate(images):
        if abs(scale[index, 0] / scale[index, 1] - 1) > SHAPE_TOLERANCE:
            width, height = capture.sizes[index]
            raise InvalidInputError(
                f"the camera of {capture.images[index].name} is for {width}x{height} pixels, and {image} was taken in "
                f"from {whole[index, 0]}x{whole[index, 1]}",
                "Give the cameras of these very pictures, as they are stored",
            )
    intrinsics = capture.intrinsics * np.concatenate([scale, scale], axis=1)
    if crop is not None:
        intrinsics[:, :2] *= crop.scale
        intrinsics[:, 2:] = crop.frame_from_source(intrinsics[:, 2:])
    return replace(capture, intrinsics=intrinsics, sizes=sizes)


def film_size(workspace: Workspace, images: list[Path]) -> tuple[int, int]:
    """Width and height of the whole pictures that the images were taken from, reduced as they were."""
    noted = workspace.metadata.notes.get("crop")
    if noted is None:
        return image_size(images[0])
    crop = Crop.model_validate(noted)
    return crop.source_width, crop.source_height


def filmed_rectangle(workspace: Workspace, capture: PosedCapture) -> Tensor:
    """(4,) left, top, right, bottom of what was filmed, in pixels of the images."""
    width, height = capture.sizes[0].tolist()
    whole = np.array([[0.0, 0.0], [width, height]])
    noted = workspace.metadata.notes.get("crop")
    if noted is not None:
        crop = Crop.model_validate(noted)
        corners = crop.frame_from_source(np.array([[0.0, 0.0], [crop.source_width, crop.source_height]]))
        whole = np.clip(corners, whole[0], whole[1])
    return torch.from_numpy(whole.ravel()).float()


def film_frames(workspace: Workspace, count: int) -> Tensor:
    """(count,) int64 places of the images among all frames of the film that they were taken from, or of the folder."""
    source, taken = workspace.metadata.source, workspace.read_records().get("preprocess")
    if source is None or source.kind != "video" or taken is None:
        return torch.arange(count)
    start, end, fps = (taken.config.get(name) for name in ("start", "end", "fps"))
    first = workspace.metadata.notes.get("first_of_shot") or 0
    return torch.from_numpy(source_frames(workspace.source_path(), first + count, start or 0, end, fps)[first:])


def film_times(workspace: Workspace, count: int) -> NDArray[np.float64]:
    """(count,) in [0, 1]: when each of the images was taken, which need not be at an even pace."""
    frames = film_frames(workspace, count).double().numpy()
    return np.asarray((frames - frames[0]) / max(frames[-1] - frames[0], 1), np.float64)
