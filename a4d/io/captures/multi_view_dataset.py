"""Data sets of multi-view videos on disk, in the layout of MV-Video (Jiang et al. 2024, Animate3D) and beyond it.

    uid_info_dict.json                  {UID: {"00": {"angle": {"elv": ., "azi_start": .}, "text_prompt": .}, ...}, ...}
    videos/UID/NN/view_{0..V-1}.mp4     the same moments from V cameras evenly around the subject, over grey

That is what the original has. Ours has in each `NN/`, too,

    clip.json           what the index says of it, and frames per second; it is there once the clip is whole
    transforms.json     the cameras, one entry per view, or per frame where there are pictures
    images/ depth/      00000.png ..., RGBA and exact depth, view by view, where they were asked for
    ground_truth.npz    surface and joints at each moment, where they were asked for
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError, MissingInputError
from a4d.geometry.cameras import Y_UP_FROM_Z_UP, Cameras, opencv_from_opengl, orbit
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.containment import contained
from a4d.io.files import natural_key, read_json, write_text
from a4d.io.films.video import read_video, write_video
from a4d.io.ground_truth import GroundTruth, read_ground_truth, write_ground_truth
from a4d.io.pictures.images import read_depth, read_image, write_depth, write_image

INDEX = "uid_info_dict.json"
CLIP, CAMERAS, TRUTH = "clip.json", "transforms.json", "ground_truth.npz"
GREY = (0.5, 0.5, 0.5)
FPS = 24.0
DEPTH_UNIT = 1e-4
"""Metres per count of a depth map."""

ORIGINAL_RADIUS, ORIGINAL_FOV = 3.0, 40.0
"""Of the original's cameras, which are not published: those with which Animate3D renders its conditions."""


@dataclass(frozen=True)
class MultiViewClip:
    """T moments of a subject from V cameras.

    Args:
        uid: of the subject: letters, digits, `-` and `_`.
        number: of this clip among the subject's.
        rgba: (V, T, H, W, 4) sRGB with straight alpha, uint8, or floating point in [0, 1].
        cameras: V.
        caption: what is seen.
        elevation: degrees above the subject.
        azimuth: degrees, of the first camera; 0 is the front, positive toward +X.
        fps: frames per second.
        depth: (V, T, H, W) along the viewing axis, metres, 0 where nothing is seen; or None.
        truth: the subject at the T moments, or None.
    """

    uid: str
    number: int
    rgba: Tensor
    cameras: Cameras
    caption: str
    elevation: float
    azimuth: float
    fps: float = FPS
    depth: Tensor | None = None
    truth: GroundTruth | None = None

    def frame(self, view: int, moment: int) -> NDArray[np.float32]:
        """(H, W, 4) in [0, 1]."""
        values = self.rgba[view, moment].cpu()
        return (values.float() / 255 if values.dtype == torch.uint8 else values.float()).numpy()


def clip_folder(root: Path, uid: str, number: int) -> Path:
    """Where the files of a clip lie."""
    return root / "videos" / uid / f"{number:02d}"


def is_written(root: Path, uid: str, number: int) -> bool:
    """Whether a clip is there as a whole."""
    return (clip_folder(root, uid, number) / CLIP).is_file()


def write_clip(root: Path, clip: MultiViewClip, *, with_images: bool = False) -> Path:
    """Write a clip, whole or not at all; one of the same number is replaced. The index is left as it is.

    Args:
        root: of the data set.
        clip: its depth and ground truth are written where it has them.
        with_images: every frame as a PNG with alpha, too.

    Returns:
        Its folder.

    Raises:
        WorkspaceError: a file cannot be written.
    """
    folder = clip_folder(root, clip.uid, clip.number)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    views, moments = clip.rgba.shape[:2]
    for view in range(views):
        write_video(partial / f"view_{view}.mp4", (clip.frame(view, t) for t in range(moments)), clip.fps, GREY)
    names = [f"{index:05d}.png" for index in range(views * moments)]
    for index, name in enumerate(names):
        if with_images:
            write_image(partial / "images" / name, clip.frame(*divmod(index, moments)))
        if clip.depth is not None:
            view, moment = divmod(index, moments)
            write_depth(partial / "depth" / name, clip.depth[view, moment].numpy(), DEPTH_UNIT)
    if clip.truth is not None:
        write_ground_truth(partial / TRUTH, clip.truth)
    _write_cameras(partial, clip, names if with_images else None)
    # The last file: without it the folder is not a clip.
    write_text(partial / CLIP, json.dumps({**_index_entry(clip), "fps": clip.fps}, indent=2, ensure_ascii=False) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def write_index(root: Path) -> int:
    """Gather what stands in the clips' folders into the index; entries of others stay. Returns the number of clips.

    Raises:
        InvalidInputError: a clip's file, or the index, is damaged.
        WorkspaceError: it cannot be written.
    """
    index: dict[str, Any] = read_json(root / INDEX) if (root / INDEX).is_file() else {}
    count = 0
    for file in sorted((root / "videos").glob(f"*/*/{CLIP}")):
        entry = read_json(file)
        entry.pop("fps", None)
        index.setdefault(file.parent.parent.name, {})[file.parent.name] = entry
        count += 1
    write_text(root / INDEX, json.dumps(index, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return count


def _index_entry(clip: MultiViewClip) -> dict[str, Any]:
    angle = {"elv": clip.elevation, "azi_start": clip.azimuth}
    return {"angle": angle, "text_prompt": clip.caption}


def _write_cameras(folder: Path, clip: MultiViewClip, names: list[str] | None) -> None:
    """One entry per view naming its video, or one per frame naming its picture."""
    views, moments = clip.rgba.shape[:2]
    each = moments if names else 1
    view = np.repeat(np.arange(views), each)
    images = [f"images/{name}" for name in names] if names else [f"view_{index}.mp4" for index in range(views)]
    has_depth = names is not None and clip.depth is not None
    capture = PosedCapture(
        images=tuple(folder / name for name in images),
        world_from_camera=clip.cameras.world_from_camera.double().numpy()[view],
        intrinsics=clip.cameras.intrinsics.double().numpy()[view],
        sizes=np.array([[clip.cameras.width, clip.cameras.height]] * len(view), np.int64),
        depths=tuple(folder / "depth" / name for name in names) if has_depth and names else None,
        times=np.tile(np.linspace(0, 1, moments), views) if names and moments > 1 else None,
        views=tuple(f"view_{index}" for index in view),
        up_axis="+y",
        depth_unit=DEPTH_UNIT if has_depth else None,
    )
    write_transforms(folder / CAMERAS, capture)


@dataclass(frozen=True)
class ClipEntry:
    """A clip of a data set, nothing of which is decoded.

    Args:
        uid: of the subject.
        number: of this clip among the subject's.
        folder: of its files.
        caption: what is seen.
        elevation: degrees above the subject.
        azimuth: degrees, of the first camera.
    """

    uid: str
    number: int
    folder: Path
    caption: str
    elevation: float
    azimuth: float

    @property
    def videos(self) -> list[Path]:
        """The views' films, in their order."""
        return sorted(self.folder.glob("view_*.mp4"), key=natural_key)


@dataclass(frozen=True)
class FrameChoice:
    """Which part of a clip is read.

    Args:
        views: indices; None is all.
        start: the first frame.
        stride: frames from one that is read to the next.
        count: frames; None is all from the first on.
    """

    views: tuple[int, ...] | None = None
    start: int = 0
    stride: int = 1
    count: int | None = None

    def of(self, frames: Iterable[Any]) -> Iterator[Any]:
        """The chosen ones of a view's frames."""
        end = None if self.count is None else self.start + self.stride * self.count
        for index, frame in enumerate(frames):
            if end is not None and index >= end:
                return
            if index >= self.start and (index - self.start) % self.stride == 0:
                yield frame


def read_entries(root: Path) -> list[ClipEntry]:
    """All clips of a data set that are on disk, MV-Video's original or our own, by subject and number.

    Raises:
        MissingInputError: there is no index.
        InvalidInputError: the index is damaged, or none of its clips is there.
        OutsideError: a subject's name leads out of the data set.
    """
    if not (root / INDEX).is_file():
        raise MissingInputError(f"{root} is no data set of multi-view videos: it has no {INDEX}")
    entries = []
    for uid, clips in sorted(read_json(root / INDEX).items()):
        for name, entry in sorted(clips.items()) if isinstance(clips, dict) else ():
            if not name.isdigit() or not isinstance(entry, dict):
                continue
            folder = contained(root, f"videos/{uid}/{name}")
            if folder.is_dir():
                entries.append(_entry(root, folder, uid, int(name), entry))
    if not entries:
        raise InvalidInputError(f"{root / INDEX} names no clip that is there", "Unpack the archives into videos/")
    return entries


def _entry(root: Path, folder: Path, uid: str, number: int, entry: dict[str, Any]) -> ClipEntry:
    angle, caption = entry.get("angle"), entry.get("text_prompt")
    try:
        elevation, azimuth = float(angle["elv"]), float(angle["azi_start"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise InvalidInputError(f"{root / INDEX} gives {uid}/{number:02d} no angle 'elv' and 'azi_start'") from None
    return ClipEntry(uid, number, folder, caption if isinstance(caption, str) else "", elevation, azimuth)


def read_clip(entry: ClipEntry, choice: FrameChoice | None = None) -> MultiViewClip:
    """Decode a clip: its pictures where it has them, else its films, which are opaque.

    Args:
        entry: of `read_entries`.
        choice: which views and frames; None is all.

    Returns:
        uint8 images; depth and ground truth where all frames are read and the clip has them.

    Raises:
        MissingInputError: a view is not there.
        InvalidInputError: a file is damaged, or the views differ in length or size.
    """
    choice = choice or FrameChoice()
    count = len(entry.videos)
    views = tuple(range(count)) if choice.views is None else choice.views
    if not views or max(views) >= count:
        raise MissingInputError(f"{entry.folder} has {count} views, not {max(views, default=0) + 1}")
    pictures = sorted((entry.folder / "images").glob("*.png"))
    frames = [torch.stack(list(choice.of(_view_frames(entry, view, pictures)))) for view in views]
    if len({tuple(view.shape) for view in frames}) > 1:
        raise InvalidInputError(f"the views of {entry.folder} differ in length or size")
    rgba = torch.stack(frames)
    height, width = rgba.shape[2:4]
    info = read_json(entry.folder / CLIP) if (entry.folder / CLIP).is_file() else {}
    is_whole = choice == FrameChoice()
    return MultiViewClip(
        entry.uid,
        entry.number,
        rgba,
        read_cameras(entry, width, height)[torch.tensor(views)],
        entry.caption,
        entry.elevation,
        entry.azimuth,
        float(info.get("fps", FPS)),
        _depth(entry, *rgba.shape[:2]) if is_whole else None,
        read_ground_truth(entry.folder / TRUTH) if is_whole and (entry.folder / TRUTH).is_file() else None,
    )


def _view_frames(entry: ClipEntry, view: int, pictures: list[Path]) -> Iterator[Tensor]:
    """(H, W, 4) uint8 frames of a view."""
    if pictures:
        each = len(pictures) // len(entry.videos)
        frames: Iterator[NDArray[np.float32]] = (read_image(path) for path in pictures[view * each :][:each])
    else:
        frames = read_video(entry.videos[view]).frames
    for frame in frames:
        samples = torch.from_numpy(np.rint(frame * 255).astype(np.uint8))
        yield samples if samples.shape[-1] == 4 else torch.nn.functional.pad(samples, (0, 1), value=255)


def _depth(entry: ClipEntry, views: int, moments: int) -> Tensor | None:
    files = sorted((entry.folder / "depth").glob("*.png"))
    if len(files) != views * moments:
        return None
    maps = torch.stack([torch.from_numpy(read_depth(file, DEPTH_UNIT)) for file in files])
    return maps.view(views, moments, *maps.shape[1:])


def read_cameras(entry: ClipEntry, width: int, height: int) -> Cameras:
    """The cameras of all views for images of a size; the original's by their angles, and by what is known of the rest.

    Raises:
        InvalidInputError: the clip's cameras are damaged.
    """
    count, file = len(entry.videos), entry.folder / CAMERAS
    if file.is_file():
        return stored_cameras(file, count, width, height)
    azimuth = entry.azimuth + torch.arange(count) * (360 / count)
    return orbit(azimuth, torch.full((count,), entry.elevation), ORIGINAL_RADIUS, ORIGINAL_FOV, width, height)


def stored_cameras(file: Path, count: int, width: int, height: int, turn: Tensor | None = None) -> Cameras:
    """The cameras of `count` views, as `transforms.json` has them, for images of a size.

    A file that does not say that +Y is up has +Z up and its front toward -Y, as nerfstudio's.

    Args:
        file: with one entry per view, or equally many for each, view by view. Images that it names are not looked for.
        count: views.
        width: in pixels.
        height: in pixels.
        turn: (4, 4) rotation of the file's axes; None brings the axis that it says is up to +Y.

    Raises:
        InvalidInputError: it is damaged, or not of so many views.
    """
    content = read_json(file)
    try:
        frames = content["frames"]
        step, rest = divmod(len(frames), count)
        if not step or rest:
            raise ValueError(f"its {len(frames)} entries are not {count} views")
        entries = [{**content, **frame} for frame in frames[::step]]
        poses = torch.tensor([entry["transform_matrix"] for entry in entries], dtype=torch.float64)
        if poses.shape[1:] != (4, 4):
            raise ValueError("a transform_matrix is not 4x4")
        lenses = torch.tensor([_lens(entry, width, height) for entry in entries])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InvalidInputError(f"{file} holds no cameras of {count} views: {error}") from error
    if turn is None:
        turn = torch.eye(4) if content.get("up_axis") == "+y" else Y_UP_FROM_Z_UP
    return Cameras(opencv_from_opengl(turn.to(poses) @ poses).float(), lenses, width, height)


def _lens(entry: Mapping[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of images of a size, whatever size the entry is for."""
    w, h = float(entry.get("w", width)), float(entry.get("h", height))
    if "fl_x" not in entry:
        focal = 0.5 * w / math.tan(0.5 * float(entry["camera_angle_x"]))
        entry = {"fl_x": focal, "fl_y": focal, **entry}
    focal_y, centre = entry.get("fl_y", entry["fl_x"]), (entry.get("cx", w / 2), entry.get("cy", h / 2))
    x, y = width / w, height / h
    return float(entry["fl_x"]) * x, float(focal_y) * y, float(centre[0]) * x, float(centre[1]) * y
