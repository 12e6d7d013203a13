"""A film of a Lab4D database taken in: frames, cameras around an object that stands still, and its channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.intake.common import as_rgba
from a4d.intake.settings import CaptureSettings
from a4d.io.captures.canonical_frame import transform_capture
from a4d.io.captures.capture import UNSEEN, PosedCapture
from a4d.io.captures.lab4d import PACK, Lab4DClip, read_clip, read_frames
from a4d.io.captures.transforms_json import write_transforms
from a4d.io.depth_maps import nearness
from a4d.io.frame_channels import write_features, write_flow
from a4d.io.pictures.images import write_depth, write_image
from a4d.matting.edges import decontaminate
from a4d.pixels import SOLID, Array, shrink
from a4d.workspace.transaction import Transaction

REACH = 95
"""Percentile over the frames of how far the object reaches from its origin, which becomes 1: a mask may be wrong."""


def take_lab4d(work: Transaction, config: CaptureSettings) -> dict[str, Any]:
    """Write frames with alpha, cameras with times, and flow, depth and features where the database has them.

    Raises:
        MissingInputError: something that belongs to the film is not there.
        InvalidInputError: it is damaged.
        UsageError: the film is not named, or there is none of that name.
    """
    clip = read_clip(work.workspace.source_path(), config.sequence)
    capture, alphas = _written(work, config, clip)
    world = np.eye(4) if clip.stands_upright else np.diag([1.0, -1.0, -1.0, 1.0])
    if config.canonical:
        world[:3, :3] /= _reach(clip, capture, alphas)
    write_transforms(work.output("transforms.json"), transform_capture(capture, world))
    work.describe(frame_count=len(capture), notes={"sequence": clip.name})
    channels = {
        "flow_frames": _write_flow(work, clip, capture, alphas),
        "depth_frames": _write_depth(work, clip, capture, alphas),
        "features": ", ".join(_write_features(work, clip, capture)),
    }
    unseen = (capture.splits or ()).count(UNSEEN)
    if unseen:
        work.warn(f"The object is not seen in {unseen} of {len(capture)} frames")
    return {"frames": len(capture), "unseen": unseen, **{name: value for name, value in channels.items() if value}}


def _written(
    work: Transaction, config: CaptureSettings, clip: Lab4DClip
) -> tuple[PosedCapture, list[NDArray[np.bool_]]]:
    """Write the frames; the capture that names them, and where each shows the object."""
    folder, names, alphas = work.replace("images"), list[Path](), list[NDArray[np.bool_]]()
    for index, (rgb, mask) in enumerate(read_frames(clip)):
        soft = mask.astype(np.float32)
        rgba = shrink(decontaminate(rgb, soft) if mask.any() else as_rgba(rgb, soft), config.max_size)
        names.append(folder / f"{index:05d}.png")
        write_image(names[-1], rgba)
        alphas.append(rgba[..., 3] > SOLID)
    sizes = np.array([alpha.shape[::-1] for alpha in alphas], np.int64)
    scale = np.concatenate([sizes / np.array(clip.size)] * 2, axis=1)
    capture = PosedCapture(
        images=tuple(names),
        world_from_camera=np.asarray(np.linalg.inv(clip.camera_from_object), np.float64),
        intrinsics=clip.intrinsics * scale,
        sizes=sizes,
        splits=tuple("train" if alpha.any() else UNSEEN for alpha in alphas),
        times=clip.frames / max(clip.count - 1, 1),
    )
    return capture, alphas


def _reach(clip: Lab4DClip, capture: PosedCapture, alphas: Sequence[NDArray[np.bool_]]) -> float:
    """How far the object reaches from its origin, in the database's unit, by its outlines at the origin's depth."""
    reaches = []
    for pose, lens, alpha in zip(clip.camera_from_object, capture.intrinsics, alphas, strict=True):
        rows, columns = np.nonzero(alpha)
        if len(rows):
            depth = pose[2, 3]
            middle = lens[2:] + lens[:2] * pose[:2, 3] / depth
            away = (np.stack([columns, rows], axis=-1) + 0.5 - middle) / lens[:2] * depth
            reaches.append(np.linalg.norm(away, axis=-1).max())
    return float(np.percentile(reaches, REACH)) if reaches else 1.0


def _write_flow(work: Transaction, clip: Lab4DClip, capture: PosedCapture, alphas: Sequence[NDArray[np.bool_]]) -> int:
    """Write the flow of the object, in pixels of the frames; how many files there are."""
    count = 0
    for start, step, flow, is_shown in clip.flows():
        if count == 0:
            work.replace("flow")
        width, height = capture.sizes[start].tolist()
        scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        enlarged = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        valid = cv2.resize(is_shown.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > SOLID
        folder = work.output("flow") / f"{'forward' if step > 0 else 'backward'}_{abs(step)}"
        folder.mkdir(exist_ok=True)
        write_flow(folder / f"{start:05d}.npz", enlarged, valid & alphas[start])
        count += 1
    return count


def _write_depth(work: Transaction, clip: Lab4DClip, capture: PosedCapture, alphas: Sequence[NDArray[np.bool_]]) -> int:
    """Write how near each pixel of the object is, which an estimator told in metres of its own; how many frames."""
    count = 0
    for index, metres in clip.depths():
        folder = work.replace("depth") if count == 0 else work.output("depth")
        size = tuple(capture.sizes[index].tolist())
        enlarged = np.asarray(cv2.resize(metres, size, interpolation=cv2.INTER_LINEAR), np.float32)
        write_depth(folder / f"{index:05d}.png", nearness(enlarged, alphas[index], "farther"))
        count += 1
    return count


def _write_features(work: Transaction, clip: Lab4DClip, capture: PosedCapture) -> list[str]:
    """Write features as grids over whole frames, zero beyond their packs; their kinds."""
    kinds = []
    for kind, packs, frame_from_pack in clip.features():
        folder = work.replace(f"features/{kind}")
        for index, (pack, lens) in enumerate(zip(packs, frame_from_pack, strict=True)):
            write_features(folder / f"{index:05d}.npz", _over_frame(pack, lens, clip.size))
        kinds.append(kind)
    return kinds


def _over_frame(
    pack: NDArray[Any],  # (h, w, C)
    frame_from_pack: NDArray[np.float64],  # (4,)
    size: tuple[int, int],
) -> Array:
    """(h', w', C) packed features as a grid over the whole frame, as many places along it as in the pack."""
    width, height = size
    places = max(pack.shape[:2])
    columns, rows = (max(1, round(places * side / max(size))) for side in size)
    x = ((np.arange(columns) + 0.5) * width / columns - 0.5 - frame_from_pack[2]) / frame_from_pack[0]
    y = ((np.arange(rows) + 0.5) * height / rows - 0.5 - frame_from_pack[3]) / frame_from_pack[1]
    # The place of a feature is that of its pixel, by the ratio of the sides alone.
    grid = [axis * side / PACK for axis, side in ((x, pack.shape[1]), (y, pack.shape[0]))]
    across, down = np.meshgrid(*grid)
    channels = [
        cv2.remap(
            np.ascontiguousarray(pack[..., channel], np.float32), across.astype(np.float32), down.astype(np.float32),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0,
        )
        for channel in range(pack.shape[2])
    ]  # fmt: skip
    return np.stack(channels, axis=-1)
