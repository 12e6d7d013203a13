"""Channels of frames beside their colours, as a workspace keeps them: a file per frame, or one for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a4d.errors import A4DError, ConfigError, InvalidInputError
from a4d.io.array_files import read_arrays, write_arrays
from a4d.io.arrays import require_finite
from a4d.io.pictures.images import read_depth, write_image

FLOW_FOLDER = re.compile(r"(forward|backward)_([1-9]\d{0,3})")
"""Direction and stride of a flow, as its folder is named."""

FEATURES_NAME = re.compile(r"[^\W_][\w-]*")
"""Of a kind of features."""

FLOATS = (np.float16, np.float32)
"""In which vectors and features are stored."""

TRACKS_FILE = "tracks.npz"

MADE_BY = {
    "depth": "--depth-model NAME, or --depth FILE for a single image",
    "normal": "--normal, which a mesh has",
    "visibility": "--visibility, which an image or a video has",
    "flow": "--flow dis, which a film has",
    "features": "--features NAME",
    "tracks": "--tracks N, which a mesh has",
}
"""The options of `a4d preprocess` by the kind of channel that they make."""


@dataclass(frozen=True)
class Tracks:
    """Points that are followed through F frames, in the order of `transforms.json`.

    Args:
        points: (F, N, 2) float32 pixels right and down, the first pixel's centre at (0.5, 0.5).
        visible: (F, N) bool.
    """

    points: NDArray[np.float32]
    visible: NDArray[np.bool_]


def channel_entry(name: str) -> str:
    """Where a workspace keeps a channel: a folder with a file per frame, or a file.

    Args:
        name: `depth`, `normal`, `visibility`, `tracks`, `flow_DIRECTION_STRIDE`, `features_NAME`, or `flow` for all of
            that kind.

    Raises:
        ConfigError: there is no channel of this name.
    """
    kind, _, rest = name.partition("_")
    if name in ("depth", "normal", "visibility", "flow"):
        return name
    if name == "tracks":
        return TRACKS_FILE
    if kind == "flow" and FLOW_FOLDER.fullmatch(rest):
        return f"flow/{rest}"
    if kind == "features" and FEATURES_NAME.fullmatch(rest):
        return f"features/{rest}"
    raise ConfigError(
        f"there is no channel '{name}'",
        "Choose depth, normal, visibility, tracks, flow_forward_N, flow_backward_N or features_NAME",
    )


def option_for(name: str) -> str:
    """What makes a channel, as a remedy."""
    return f"Run `a4d preprocess` with {MADE_BY[name.partition('_')[0]]}"


def channel_name(entry: PurePosixPath) -> str:
    """The channel that is kept in a folder such as `flow/forward_4`, relative to the workspace."""
    return "tracks" if str(entry) == TRACKS_FILE else "_".join(entry.parts)


def write_normal(path: Path, normal: NDArray[Any]) -> None:
    """Write (H, W, 3) unit normals in world axes, zero where there is none, as float16.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    write_arrays(path, {"normal": np.asarray(normal, np.float16)})


def read_normal(path: Path) -> NDArray[np.float32]:
    """(H, W, 3) unit normals in world axes, zero where there is none.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, of another shape or type, or a normal is neither of unit length nor zero.
    """
    normal = _vectors(path, "normal", 3)
    length = np.linalg.norm(normal, axis=-1)
    if ((length > 1e-6) & (np.abs(length - 1) > 0.01)).any():
        raise InvalidInputError(f"{path} holds normals that are neither of unit length nor zero")
    return normal


def write_flow(path: Path, flow: NDArray[Any], valid: NDArray[Any]) -> None:
    """Write (H, W, 2) pixels right and down to where each pixel's point is in the other frame, as float32.

    Args:
        path: the file; an existing one is replaced.
        flow: (H, W, 2).
        valid: (H, W), where the point is seen in both frames; zero flow is written elsewhere.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    valid = np.asarray(valid, np.bool_)
    write_arrays(path, {"flow": np.where(valid[..., None], flow, 0).astype(np.float32), "valid": valid})


def read_flow(path: Path) -> NDArray[np.float32]:
    """(H, W, 3): pixels right and down, and 1 where they are valid.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or of another shape or type.
    """
    flow = _vectors(path, "flow", 2)
    valid = read_arrays(path, ["valid"], "flow")["valid"]
    if valid.dtype != np.bool_ or valid.shape != flow.shape[:2]:
        raise InvalidInputError(f"{path}: 'valid' is {valid.dtype} {valid.shape}, not bool {flow.shape[:2]}")
    return np.concatenate([flow, valid[..., None].astype(np.float32)], axis=-1)


def write_features(path: Path, features: NDArray[Any]) -> None:
    """Write (h, w, C) features, a grid over the whole image of any size, as float16.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    write_arrays(path, {"features": np.asarray(features, np.float16)})


def read_features(path: Path) -> NDArray[np.float32]:
    """(h, w, C) features, a grid over the whole image.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, or of another shape or type.
    """
    return _vectors(path, "features", None)


def write_visibility(path: Path, seen: NDArray[Any]) -> None:
    """Write (H, W) in [0, 1] as an 8-bit grey PNG: 0 where a picture says nothing of its pixel.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    write_image(path, seen)


def read_visibility(path: Path) -> NDArray[np.float32]:
    """(H, W, 1) in [0, 1]: 0 where a picture says nothing of its pixel.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, no picture, or coloured.
    """
    return read_depth(path)[..., None]


def write_tracks(path: Path, tracks: Tracks) -> None:
    """Write points and whether they are seen.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    write_arrays(path, {"points": tracks.points.astype(np.float32), "visible": tracks.visible.astype(np.bool_)})


def read_tracks(path: Path, frames: int) -> Tracks:
    """The points of so many frames.

    Raises:
        MissingInputError: there is no such file.
        InvalidInputError: it is damaged, of another shape or type, or of another number of frames.
    """
    arrays = read_arrays(path, ["points", "visible"], "tracks")
    points, visible = arrays["points"], arrays["visible"]
    if points.dtype != np.float32 or points.ndim != 3 or points.shape[::2] != (frames, 2):
        raise InvalidInputError(f"{path}: 'points' is {points.dtype} {points.shape}, not float32 ({frames}, N, 2)")
    if visible.dtype != np.bool_ or visible.shape != points.shape[:2]:
        raise InvalidInputError(f"{path}: 'visible' is {visible.dtype} {visible.shape}, not bool {points.shape[:2]}")
    require_finite(path, "point", points)
    return Tracks(points, visible)


def channel_problems(root: Path, sizes: Mapping[str, tuple[int | None, ...]]) -> list[str]:
    """What of a workspace's channels breaks its format, in words.

    Args:
        root: of the workspace.
        sizes: width and height of each frame by the name of its image without suffix, in the frames' order.
    """
    problems = []
    for folder, reader, suffix in _folders(root):
        entry = folder.relative_to(root)
        try:
            channel_entry(channel_name(PurePosixPath(entry.as_posix())))
        except ConfigError:
            problems.append(f"{entry}: not the name of a channel")
            continue
        for file in sorted(folder.glob("*")):
            problem = _file_problem(file, reader, suffix, sizes)
            problems += [f"{entry / file.name}: {problem}"] if problem else []
        problems += _differing_widths(folder, entry) if reader is read_features else []
    if (root / TRACKS_FILE).is_file():
        try:
            read_tracks(root / TRACKS_FILE, len(sizes))
        except A4DError as error:
            problems.append(error.problem)
    return problems


def channel_gaps(root: Path, frames: Collection[str]) -> list[str]:
    """Channels that some frames lack, in words; flow, which no clip has at its ends, is left out.

    Args:
        root: of the workspace.
        frames: the names of their images without suffix.
    """
    gaps = []
    for folder, reader, suffix in _folders(root):
        lacking = sorted(name for name in frames if not (folder / f"{name}{suffix}").is_file())
        if reader is not read_flow and folder.is_dir() and lacking:
            gaps.append(
                f"{folder.relative_to(root)}: nothing of {len(lacking)} of {len(frames)} frames, first {lacking[0]}"
            )
    return gaps


def _folders(root: Path) -> list[tuple[Path, Reader, str]]:
    """The folders of channels with the readers and the suffix of their files; those of one folder may be missing."""
    folders = [(root / name, reader, suffix) for name, (reader, suffix) in PER_PIXEL.items()]
    folders += [(root / "depth", read_depth, ".png")]
    folders += [(folder, read_flow, ".npz") for folder in sorted((root / "flow").glob("*/"))]
    return folders + [(folder, read_features, ".npz") for folder in sorted((root / "features").glob("*/"))]


def _differing_widths(folder: Path, entry: Path) -> list[str]:
    """Whether the features of all frames that can be read have the same number of channels."""
    counts = set()
    for file in sorted(folder.glob("*.npz")):
        with suppress(A4DError):
            counts.add(read_features(file).shape[2])
    return [f"{entry}: features of {' and '.join(map(str, sorted(counts)))} channels"] if len(counts) > 1 else []


def _file_problem(file: Path, reader: Reader, suffix: str, sizes: Mapping[str, tuple[int | None, ...]]) -> str:
    if file.suffix != suffix or file.stem not in sizes:
        return f"belongs to no frame; its name should be that of an image with {suffix}"
    try:
        height, width = reader(file).shape[:2]
    except A4DError as error:
        return error.problem
    expected = sizes[file.stem]
    if reader is read_features or None in expected or expected == (width, height):
        return ""
    return f"is {width}x{height}, and its image {expected[0]}x{expected[1]}"


def _vectors(path: Path, name: str, channels: int | None) -> NDArray[np.float32]:
    """(H, W, C) finite vectors of an archive's one array."""
    values = read_arrays(path, [name], name)[name]
    wanted = f"float16 or float32 (H, W, {channels or 'C'})"
    if values.dtype not in FLOATS or values.ndim != 3 or 0 in values.shape:
        raise InvalidInputError(f"{path}: '{name}' is {values.dtype} {values.shape}, not {wanted}")
    if channels is not None and values.shape[2] != channels:
        raise InvalidInputError(f"{path}: '{name}' is {values.dtype} {values.shape}, not {wanted}")
    require_finite(path, name, values)
    return values.astype(np.float32)


Reader = Callable[[Path], NDArray[np.float32]]

PER_PIXEL: Mapping[str, tuple[Reader, str]] = {
    "normal": (read_normal, ".npz"),
    "visibility": (read_visibility, ".png"),
}
"""Channels of a single folder with a value per pixel: their reader and the suffix of their files."""
