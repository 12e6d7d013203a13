"""Prompts that say from where the object is seen, and conditionings between two such prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.priors.camera_codes import spherical
from a4d.priors.protocol import Conditioning, Prior, join


def view_prompts(
    prompt: str,
    cameras: Cameras,  # S
    front_degrees: float = 45.0,
    overhead_degrees: float = 60.0,
) -> list[str]:
    """The prompt with the name of each camera's view behind it, `"{prompt}, side view"` (DreamFusion, section 3.2).

    Args:
        prompt: without a view.
        cameras: that look at the origin.
        front_degrees: half the width of the front and of the back sector.
        overhead_degrees: elevation above which a view is from overhead.

    Returns:
        S prompts.
    """
    azimuth, elevation, _ = spherical(cameras).unbind(-1)
    names = []
    for angle, height in zip(azimuth.abs().tolist(), elevation.tolist(), strict=True):
        if height > overhead_degrees:
            names.append("overhead")
        elif angle <= front_degrees:
            names.append("front")
        else:
            names.append("back" if angle >= 180 - front_degrees else "side")
    return [f"{prompt}, {name} view" for name in names]


def blended_view_conditioning(prior: Prior, prompt: str, cameras: Cameras) -> Conditioning:
    """Conditioning (S) that turns continuously from front over side to back with the azimuth (Animate124).

    Args:
        prior: understands prompts alone.
        prompt: without a view.
        cameras: S cameras that look at the origin.
    """
    angle = spherical(cameras)[:, 0].abs() / 90
    views: Sequence[Conditioning] = [prior.condition([f"{prompt}, {name} view"]) for name in ("front", "side", "back")]
    behind = angle > 1
    near = join([views[1] if is_behind else views[0] for is_behind in behind.tolist()])
    far = join([views[2] if is_behind else views[1] for is_behind in behind.tolist()])
    share: Tensor = torch.where(behind, angle - 1, angle)
    return near.blended(far, share)
