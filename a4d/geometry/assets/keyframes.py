"""Choosing few keys out of many frames, so that interpolation between them stays within a tolerance everywhere."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from a4d.geometry.assets.animation import Curve, Interpolation
from a4d.geometry.transforms import slerp


def few_keys(count: int, deviation: Callable[[int, int], float], tolerance: float) -> list[int]:
    """Frames that suffice as keys: from each, the next is as far as doubling and bisecting find the tolerance kept.

    Args:
        count: of frames, at least 1.
        deviation: of the frames between two keys from their interpolation; 0 for neighbours.
        tolerance: no stretch of the result deviates more.

    Returns:
        Increasing, from frame 0 to the last.
    """
    keys, last = [0], count - 1
    while keys[-1] < last:
        key, step = keys[-1], 1
        while key + 2 * step <= last and deviation(key, key + 2 * step) <= tolerance:
            step *= 2
        reached, failed = key + step, min(key + 2 * step, last + 1)
        while failed - reached > 1:
            middle = (reached + failed) // 2
            if deviation(key, middle) <= tolerance:
                reached = middle
            else:
                failed = middle
        keys.append(reached)
    return keys


def reduce_curve(curve: Curve, tolerance: float) -> Curve:
    """A linear curve with fewer keys, a single one where it stays where it begins.

    Args:
        curve: "linear", of K keys.
        tolerance: Euclidean distance that no key may be off; radians for rotations.
    """

    def distance(values: Tensor, others: Tensor) -> float:
        """The largest between values (K, C) and others, metres or radians."""
        if not curve.is_rotation:
            return float((values - others).norm(dim=-1).max())
        # Both signs are the same rotation; the chord keeps its digits where the arc cosine does not.
        chord = torch.minimum((values - others).norm(dim=-1), (values + others).norm(dim=-1)).max()
        return 4 * float((chord / 2).clamp(max=1).asin())

    values = torch.nn.functional.normalize(curve.values, dim=-1) if curve.is_rotation else curve.values
    if distance(values, values[:1]) <= tolerance:
        return Curve(curve.times[:1], values[:1], "linear", curve.is_rotation)

    def deviation(first: int, last: int) -> float:
        """How far the values between two keys are off the line that joins them."""
        if last - first < 2:
            return 0.0
        between = slice(first + 1, last)
        fraction = (curve.times[between] - curve.times[first]) / (curve.times[last] - curve.times[first])
        if curve.is_rotation:
            return distance(values[between], slerp(values[first], values[last], fraction))
        return distance(values[between], torch.lerp(values[first], values[last], fraction[:, None]))

    keys = few_keys(len(values), deviation, tolerance)
    return Curve(curve.times[keys], values[keys], "linear", curve.is_rotation)


def trajectory_keys(
    trajectories: Tensor,  # (T, V, 3) metres
    tolerance: float,
    interpolation: Interpolation = "linear",
) -> list[int]:
    """Frames that bring all vertices within a distance in metres of where they should be at every frame.

    Args:
        trajectories: at a constant rate.
        tolerance: largest distance of any vertex at any frame.
        interpolation: "linear", or "step" for a motion that holds each key until the next.

    Returns:
        Increasing, from frame 0 to the last; frame 0 alone where nothing moves.
    """
    if float((trajectories - trajectories[0]).norm(dim=-1).max()) <= tolerance:
        return [0]

    def deviation(first: int, last: int) -> float:
        """How far the frames between two keys are off what is interpolated, metres."""
        if last - first < 2:
            return 0.0
        between = trajectories[first + 1 : last]
        if interpolation == "step":
            return float((between - trajectories[first]).norm(dim=-1).max())
        fractions = torch.arange(1, last - first).to(trajectories)[:, None, None] / (last - first)
        line = torch.lerp(trajectories[first], trajectories[last], fractions)
        return float((between - line).norm(dim=-1).max())

    return few_keys(len(trajectories), deviation, tolerance)
