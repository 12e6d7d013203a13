"""The channels of a workspace's frames beside their colours, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from a4d.errors import InvalidInputError, MissingInputError
from a4d.io.captures.capture import PosedCapture
from a4d.io.frame_channels import (
    FEATURES_NAME,
    FLOW_FOLDER,
    PER_PIXEL,
    TRACKS_FILE,
    Reader,
    Tracks,
    channel_name,
    option_for,
    read_features,
    read_flow,
    read_tracks,
)
from a4d.io.pictures.images import read_depth
from a4d.pixels import Array
from a4d.views.recent import Made
from a4d.workspace.workspace import Workspace


def read_channels(workspace: Workspace, capture: PosedCapture, indices: Sequence[int]) -> dict[str, Sequence[Tensor]]:
    """Every channel that a workspace holds of some frames, by name, as `Frames.channels` wants them.

    Args:
        workspace: of the frames.
        capture: the chosen frames of its `transforms.json`.
        indices: of these among all frames.
    """
    root = workspace.path
    channels: dict[str, Sequence[Tensor]] = {}

    def add(name: str, make: Callable[[int], Array]) -> None:
        channels[name] = Made(len(capture), lambda index: torch.from_numpy(make(index)))

    def per_image(folder: Path, reader: Reader, suffix: str, *, may_lack: bool = False) -> None:
        add(
            channel_name(PurePosixPath(folder.relative_to(root).as_posix())),
            lambda index: _read(folder, reader, suffix, capture, index, may_lack=may_lack),
        )

    for name, (reader, suffix) in PER_PIXEL.items():
        if (root / name).is_dir():
            per_image(root / name, reader, suffix)
    for folder in sorted((root / "flow").glob("*/")):
        if FLOW_FOLDER.fullmatch(folder.name):
            per_image(folder, read_flow, ".npz", may_lack=True)
    for folder in sorted((root / "features").glob("*/")):
        if FEATURES_NAME.fullmatch(folder.name):
            per_image(folder, read_features, ".npz")
    if (root / "depth").is_dir():
        add("depth", lambda index: _depth(root, capture, index))
    if (root / TRACKS_FILE).is_file():
        count = workspace.metadata.frame_count
        tracks = cache(lambda: read_tracks(root / TRACKS_FILE, count if count is not None else len(indices)))
        add("tracks", lambda index: _of_frame(tracks(), indices[index]))
    return channels


def _read(folder: Path, reader: Reader, suffix: str, capture: PosedCapture, index: int, *, may_lack: bool) -> Array:
    """A channel of one frame; a flow that is not there, as at a clip's end, is valid nowhere.

    Raises:
        MissingInputError: there is no file of this frame, and there has to be.
        InvalidInputError: it is damaged, or not of the image's size.
    """
    path, (width, height) = folder / f"{capture.images[index].stem}{suffix}", capture.sizes[index].tolist()
    if may_lack and not path.is_file():
        return np.zeros((height, width, 3), np.float32)
    values = reader(path)
    if reader is not read_features and values.shape[:2] != (height, width):
        raise InvalidInputError(f"{path} is not {width}x{height} as {capture.images[index].name}")
    return values


def _depth(root: Path, capture: PosedCapture, index: int) -> Array:
    """(H, W, 1) larger where farther: metres where a frame names its map of exact depth, else 1 less how near it is.

    Raises:
        MissingInputError: there is no map of this frame.
        InvalidInputError: it is damaged, or not of the image's size.
    """
    exact = None if capture.depths is None else capture.depths[index]
    path = exact or root / "depth" / f"{capture.images[index].stem}.png"
    if not path.is_file():
        raise MissingInputError(f"{path} does not exist", option_for("depth"))
    stored = read_depth(path, capture.depth_unit if exact is not None else None)
    if stored.shape != tuple(capture.sizes[index].tolist()[::-1]):
        raise InvalidInputError(f"{path} is not of the size of {capture.images[index].name}")
    return (1 - stored if exact is None else stored)[..., None]


def _of_frame(tracks: Tracks, frame: int) -> Array:
    """(N, 3) pixels of each point in one frame, and 1 where it is seen."""
    return np.concatenate([tracks.points[frame], tracks.visible[frame][:, None]], axis=1, dtype=np.float32)
