"""How well a scene's renders agree with frames."""

from __future__ import annotations

from typing import Any

import torch

from a4d.errors import MissingInputError, UsageError
from a4d.metrics import mask_iou, psnr, ssim
from a4d.scenes.scene import Scene
from a4d.views import Frames

HIGHEST_PSNR = 99.0
"""dB that stand for equal images."""


def compare_views(scene: Scene, frames: Frames, split: str = "auto") -> dict[str, Any]:
    """Render each frame's camera and compare over black.

    Args:
        scene: on any device.
        frames: the truth.
        split: `test`, `train`, `all`, or `auto` for test where there are any, else all.

    Returns:
        `split`, means `psnr` in dB, `ssim` and `iou`, and `views` with the same per frame.

    Raises:
        UsageError: there is no such split.
        MissingInputError: the split is empty.
    """
    if split not in ("auto", "test", "train", "all"):
        raise UsageError(f"there is no split '{split}'", "Choose from auto, test, train and all")
    if split == "auto":
        split = "test" if frames.select("test") else "all"
    indices = frames.select(split)
    if not indices:
        raise MissingInputError(f"there are no frames of split '{split}'", "Choose another --split")
    device = next(scene.parameters()).device
    views: list[dict[str, Any]] = []
    for index in indices:
        time = None if frames.times is None else frames.times[index : index + 1].to(device)
        with torch.no_grad():
            render = scene.render(frames.cameras[index].to(device), time)
        rgb, alpha = render.rgb[0].clamp(0, 1).cpu(), render.alpha[0].cpu()
        truth = frames.rgba[index]
        views.append(
            {
                "name": frames.names[index],
                "psnr": min(psnr(rgb, truth[..., :3] * truth[..., 3:]), HIGHEST_PSNR),
                "ssim": ssim(rgb, truth[..., :3] * truth[..., 3:]),
                "iou": mask_iou(alpha[..., 0], truth[..., 3]),
            }
        )
    means = {key: sum(float(view[key]) for view in views) / len(views) for key in ("psnr", "ssim", "iou")}
    return {"split": split, **means, "views": views}
