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

REACH = 1.5
"""Radii of what all cameras look at, within which masks are compared: a subject may lie beside it."""


def trusted_masks(
    capture: PosedCapture,  # pinholes
    masks: Sequence[NDArray[np.bool_]],  # N of (H, W), true on the subject
) -> list[NDArray[np.bool_]]:
    """The masks, but all true where the others contradict one, so that it says nothing; of a film as they are."""
    if capture.times is not None:
        return list(masks)
    seen = transform_capture(capture, canonical_frame(capture))
    frames = _frames(seen, masks)
    wrong = contradictions(silhouettes(frames, frames.select("train"), REACH, slack=1)).wrong
    kept = np.setdiff1d(np.arange(len(masks)), np.array(frames.select("train"))[list(wrong)])
    return [mask if index in kept else np.ones_like(mask) for index, mask in enumerate(masks)]


def _frames(capture: PosedCapture, masks: Sequence[NDArray[np.bool_]]) -> Frames:
    """Masks as the alpha of pictures that show nothing else."""
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
        [torch.from_numpy(mask).float()[..., None].expand(-1, -1, 4) for mask in masks],
        cameras,
        None,
        [f"{index:05d}" for index in range(len(masks))],
        list(capture.splits or ["train"] * len(masks)),
    )
