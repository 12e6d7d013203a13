"""Clips as animations of a binary glTF file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import normalize

from a4d.geometry.assets.animation import Channel, Clip, Curve
from a4d.io.arrays import numpy_from_tensor
from a4d.io.assets.glb import GlbBuilder

INTERPOLATIONS = {"linear": "LINEAR", "step": "STEP", "cubic": "CUBICSPLINE"}
XYZW = [1, 2, 3, 0]
"""Where a file's components lie in one of our quaternions."""


def add_clip(builder: GlbBuilder, clip: Clip) -> None:
    """Add a clip as an animation; channels with the same keys share them.

    Args:
        builder: of the file, with nodes in the order of the asset's.
        clip: one without channels is left out, for the format has no room for it.
    """
    # The format allows a node's property one channel; of several, ours lets the last count.
    last = {(channel.node, channel.target): channel for channel in clip.channels}
    if not last:
        return
    inputs: dict[bytes, int] = {}
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for channel in last.values():
        interpolation, times, values = _stored(channel)
        key = times.tobytes()
        if key not in inputs:
            inputs[key] = builder.add_accessor(times, has_bounds=True)
        sampler = {"input": inputs[key], "output": builder.add_accessor(values), "interpolation": interpolation}
        target = {"node": channel.node, "path": channel.target}
        channels.append({"sampler": len(samplers), "target": target})
        samplers.append(sampler)
    builder.append("animations", {"name": clip.name, "channels": channels, "samplers": samplers})


def _stored(channel: Channel) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
    """Interpolation, (K,) times and values as the file holds them: one quaternion, vector or weight per element."""
    curve = _of_at_least_two_keys(channel.curve)
    values = curve.values
    if curve.is_rotation:
        if curve.interpolation != "cubic":
            values = normalize(values, dim=-1)
        values = values[..., XYZW]
    stored = numpy_from_tensor(values)
    stored = stored.reshape(-1) if channel.target == "weights" else stored.reshape(-1, values.shape[-1])
    return INTERPOLATIONS[curve.interpolation], _increasing(numpy_from_tensor(curve.times)), stored


def _of_at_least_two_keys(curve: Curve) -> Curve:
    """A spline through one key, which the format forbids, is that key."""
    if curve.interpolation == "cubic" and len(curve.times) == 1:
        return Curve(curve.times, curve.values[:, 1], "step", curve.is_rotation)
    return curve


def _increasing(times: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same times but each later than the one before: a jump becomes a step of the smallest length there is."""
    for key in np.flatnonzero(times[1:] <= times[:-1]) + 1:
        times[key:] = np.maximum(times[key:], np.nextafter(times[key - 1], np.float32(np.inf)))
    return times
