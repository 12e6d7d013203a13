"""At which moments of a clip to look."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import pose

CYCLIC = 0.02
"""How far the end of a clip may be from its start, relative to the subject's size, to go on without a jump."""


def clip_start(clip: Clip) -> float:
    """The time of a clip's first key, which need not be 0."""
    return min((float(channel.curve.times[0]) for channel in clip.channels), default=0.0)


def spread_times(clip: Clip, count: int) -> Tensor:
    """(count,) seconds, evenly from the first key to the last, float64."""
    return torch.linspace(clip_start(clip), clip.duration, count, dtype=torch.float64)


def rated_times(asset: Asset, clip: Clip, count: int, fps: float, offset: float = 0.0) -> Tensor:
    """Moments at a constant rate.

    A clip that ends earlier starts again if it is a cycle; otherwise it is slowed down so that it ends with the last
    moment, because a jump is no motion.

    Args:
        asset: whose clip it is.
        clip: to look at.
        count: moments.
        fps: frames per second.
        offset: seconds after the clip's first key.

    Returns:
        (count,) seconds in the clip's own time, float64.
    """
    start, end = clip_start(clip), clip.duration
    seconds = start + offset + torch.arange(count, dtype=torch.float64) / fps
    if float(seconds[-1]) <= end + 1e-6:
        return seconds.clamp(max=end)
    if end > start and is_cycle(asset, clip):
        return start + (seconds - start) % (end - start)
    return spread_times(clip, count)


def is_cycle(asset: Asset, clip: Clip) -> bool:
    """Whether a clip ends where it begins."""
    first, last = pose(asset, clip, clip_start(clip)), pose(asset, clip, clip.duration)
    size = float((first.positions.amax(0) - first.positions.amin(0)).norm())
    moved = float((first.positions - last.positions).norm(dim=1).max())
    weights = zip(first.morph_weights, last.morph_weights, strict=True)
    morphed = max((float((a - b).abs().max()) for a, b in weights if len(a)), default=0.0)
    turned = float((first.world_from_node[:, :3, :3] - last.world_from_node[:, :3, :3]).abs().max())
    scale = float(first.world_from_node[:, :3, :3].abs().max())
    return moved <= CYCLIC * max(size, 1e-12) and turned <= 5 * CYCLIC * scale and morphed <= CYCLIC
