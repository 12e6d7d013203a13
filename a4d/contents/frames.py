"""The observed images of a workspace with their cameras, as the loop reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from a4d.contents.channels import read_channels
from a4d.contents.stored_pictures import StoredPictures
from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.cameras import Cameras
from a4d.io.captures.capture import UNSEEN, CaptureChoice, PosedCapture
from a4d.io.captures.transforms_json import read_transforms
from a4d.io.pictures.images import read_depth
from a4d.views import Frames
from a4d.views.recent import Recent
from a4d.workspace.workspace import Workspace

DEPTH_SUFFIX = ".png"


def load_frames(workspace: Workspace, clip: str | None = None) -> Frames:
    """The frames of `transforms.json`; each image is read once to check it, and then when it is asked for.

    Args:
        workspace: with cameras.
        clip: name, or number of a mesh's, of the animation that is wanted; None is the first.

    Raises:
        MissingInputError: there are no cameras yet, or an image is missing.
        InvalidInputError: an image is damaged or not of its camera's size; one that changes later raises this when it
            is asked for.
    """
    path = workspace.require("transforms.json", f"Run `a4d estimate-pose {workspace.argument}` first")
    whole = read_transforms(path)
    indices = _of_clip(whole, path, _named(workspace, clip))
    capture = whole.subset(indices)
    recent = Recent()
    rgba = StoredPictures(capture.images, recent)
    cameras, names = [], []
    for index, image in enumerate(capture.images):
        width, height = capture.sizes[index].tolist()
        if rgba.sizes[index] != (width, height):
            raise InvalidInputError(f"{image} is not {width}x{height} pixels as its camera in {path}")
        cameras.append(_camera(capture, index))
        names.append(image.stem)
    splits = [split if split in ("test", UNSEEN) else "train" for split in capture.splits or [""] * len(capture)]
    times = None if capture.times is None else torch.from_numpy(capture.times).float()
    return Frames(rgba, cameras, times, names, splits, read_channels(workspace, capture, indices), recent)


def has_approximate_cameras(workspace: Workspace) -> bool:
    """Whether the cameras are some degrees off, as those are that were found by the subject alone.

    Raises:
        MissingInputError: there are no cameras yet.
    """
    path = workspace.require("transforms.json", f"Run `a4d estimate-pose {workspace.argument}` first")
    return read_transforms(path, CaptureChoice(unseen=True)).are_approximate


def training_cameras(workspace: Workspace, most: int) -> tuple[Cameras, ...]:
    """Single cameras of frames that scenes are fitted to, as many as are there; none where there are no cameras yet.

    Args:
        workspace: whose pictures need not be there any more.
        most: of many, as many of them, evenly chosen in their order.
    """
    path = workspace.path / "transforms.json"
    if not path.is_file():
        return ()
    capture = read_transforms(path, CaptureChoice(unseen=True))
    splits = capture.splits or ("train",) * len(capture)
    training = [index for index, split in enumerate(splits) if split not in ("test", UNSEEN)]
    chosen = np.unique(np.linspace(0, len(training) - 1, min(most, len(training))).round().astype(int)).tolist()
    return tuple(_camera(capture, training[index]) for index in chosen)


def _camera(capture: PosedCapture, index: int) -> Cameras:
    pose = torch.from_numpy(capture.world_from_camera[index : index + 1]).float()
    intrinsics = torch.from_numpy(capture.intrinsics[index : index + 1]).float()
    width, height = capture.sizes[index].tolist()
    return Cameras(pose, intrinsics, width, height)


def count_moments(workspace: Workspace, clip: str | None = None) -> int | None:
    """At how many moments the frames of a clip were taken; None where they are not there yet, or know no time.

    Raises:
        MissingInputError: there are frames, but none of this clip.
    """
    path = workspace.path / "transforms.json"
    if not path.is_file():
        return None
    capture = read_transforms(path)
    times = capture.times
    return None if times is None else len(np.unique(times[_of_clip(capture, path, _named(workspace, clip))]))


def _named(workspace: Workspace, clip: str | None) -> str | None:
    """The clip that is meant, which a mesh's may also be by its number."""
    asset = workspace.metadata.asset
    return clip if asset is None else asset.clip_name(clip)


def _of_clip(capture: PosedCapture, path: Path, clip: str | None) -> list[int]:
    """Indices of the frames of a clip; of all where there is but one."""
    if capture.clips is None:
        return list(range(len(capture)))
    wanted = capture.clips[0] if clip is None else clip
    chosen = [index for index, name in enumerate(capture.clips) if name == wanted]
    if not chosen:
        known = ", ".join(dict.fromkeys(capture.clips))
        raise MissingInputError(f"{path} has no frames of a clip '{wanted}'", f"It has {known}")
    return chosen


def load_depth(workspace: Workspace, name: str) -> Tensor | None:
    """(H, W) the depth map of a frame, relative and larger where nearer, or None where the workspace holds none."""
    path = workspace.path / "depth" / f"{name}{DEPTH_SUFFIX}"
    return torch.from_numpy(read_depth(path)) if path.is_file() else None
