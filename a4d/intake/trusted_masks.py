"""Masks of a capture by which its subject is placed: one that is wrong would carve it away, wherever it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from a4d.estimation.mask_agreement import contradictions
from a4d.estimation.silhouettes import silhouettes
from a4d.geometry.cameras import Cameras
from a4d.io.captures.canonical_frame import canonical_frame, transform_capture
from a4d.io.captures.capture import PosedCapture
from a4d.views import Frames
from a4d.views.recent import Made

REACH = 1.5
"""Radii of what all cameras look at, within which masks are compared: a subject may lie beside it."""


def trusted_masks(
    capture: PosedCapture,  # pinholes
    masks: Sequence[NDArray[np.bool_]],  # N of (H, W), true on the subject
) -> list[NDArray[np.bool_] | None]:
    """The masks, None in place of one that the others contradict; of a film as they are."""
    wrong = set() if capture.times is not None else _contradicted(capture, masks)
    return [None if index in wrong else mask for index, mask in enumerate(masks)]


def _contradicted(capture: PosedCapture, masks: Sequence[NDArray[np.bool_]]) -> set[int]:
    frames = _frames(transform_capture(capture, canonical_frame(capture)), masks)
    train = frames.select("train")
    if not train:
        return set()
    return {train[view] for view in contradictions(silhouettes(frames, train, REACH, slack=1)).wrong}


def _frames(capture: PosedCapture, masks: Sequence[NDArray[np.bool_]]) -> Frames:
    """Masks as the alpha of pictures that show nothing else, each made when it is asked for."""
    cameras = [
        Cameras(pose[None], lens[None], int(width), int(height))
        for pose, lens, (width, height) in zip(
            torch.from_numpy(capture.world_from_camera).float(),
            torch.from_numpy(capture.intrinsics).float(),
            capture.sizes,
            strict=True,
        )
    ]
    return Frames(
        Made(len(masks), lambda index: torch.from_numpy(masks[index]).float()[..., None].expand(-1, -1, 4)),
        cameras,
        None,
        [f"{index:05d}" for index in range(len(masks))],
        list(capture.splits or ["train"] * len(masks)),
    )
