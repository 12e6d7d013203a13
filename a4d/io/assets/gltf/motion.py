"""Animations: samplers to curves, channels to what they drive."""

from __future__ import annotations

import re

import torch

from a4d.geometry.assets.animation import Channel, Clip, Curve, Interpolation, Target, distinct_names
from a4d.io.assets.gltf import schema
from a4d.io.assets.gltf.accessors import Accessors

INTERPOLATIONS: dict[str, Interpolation] = {"LINEAR": "linear", "STEP": "step", "CUBICSPLINE": "cubic"}
TARGETS: dict[str, Target] = {
    "translation": "translation",
    "rotation": "rotation",
    "scale": "scale",
    "weights": "weights",
}
SIZES = {"translation": 3, "rotation": 4, "scale": 3}
NODE_POINTER = re.compile(r"/nodes/(?P<node>[0-9]{1,9})/(?P<path>\w+)", re.ASCII)
WXYZ = [3, 0, 1, 2]
"""Where our components lie in a quaternion of the file."""


def read_clips(accessors: Accessors, morph_counts: list[int]) -> tuple[Clip, ...]:
    """All animations of a file under distinct names; channels that drive something else than nodes are left out.

    Args:
        accessors: of the file.
        morph_counts: number of morph targets of each node's mesh.

    Raises:
        InvalidInputError: a node or sampler does not exist, keys are out of order, or values do not fit the keys.
    """
    animations = accessors.container.gltf.animations
    names = distinct_names([animation.name for animation in animations])
    return tuple(_read_clip(accessors, number, name, morph_counts) for number, name in enumerate(names))


def _read_clip(accessors: Accessors, number: int, name: str, morph_counts: list[int]) -> Clip:
    animation = accessors.container.gltf.animations[number]
    channels = [_read_channel(accessors, number, channel, morph_counts) for channel in animation.channels]
    return Clip(name, tuple(channel for channel in channels if channel is not None))


def _read_channel(
    accessors: Accessors, number: int, channel: schema.Channel, morph_counts: list[int]
) -> Channel | None:
    container = accessors.container
    what = f"animation {number}"
    sampler = container.item(container.gltf.animations[number].samplers, channel.sampler, f"{what}'s sampler")
    index, path = driven(channel.target)
    if index is None or path not in TARGETS:
        return None
    target = TARGETS[path]
    node = container.item(container.gltf.nodes, index, "node")
    if target != "weights" and node.matrix is not None:
        raise container.invalid(f"{what} moves node {index}, whose transform is a matrix", "Export it without matrices")
    if target == "weights" and not morph_counts[index]:
        raise container.invalid(f"{what} drives morph targets that node {index} does not have")
    size = morph_counts[index] if target == "weights" else SIZES[target]
    return Channel(index, target, _read_curve(accessors, sampler, target, size, what))


def driven(target: schema.ChannelTarget) -> tuple[int | None, str]:
    """The node and the part of it that a channel drives, also where it is named by a JSON pointer."""
    pointer = target.extensions.pointer
    if pointer is None:
        return target.node, target.path
    match = NODE_POINTER.fullmatch(pointer.pointer)
    return (int(match["node"]), match["path"]) if match else (None, "")


def _read_curve(accessors: Accessors, sampler: schema.AnimationSampler, target: Target, size: int, what: str) -> Curve:
    invalid = accessors.container.invalid
    times = accessors.floats(sampler.input, (), f"{what}'s input", torch.float64)
    # Equal times make a jump; only times that run backwards leave the order of the keys undefined.
    if (times.diff() < 0).any():
        raise invalid(f"{what} has keys (accessor {sampler.input}) whose times decrease")
    element = () if target == "weights" else (size,)
    values = accessors.floats(sampler.output, element, f"{what}'s output", torch.float64)
    shape = (len(times), 3, size) if sampler.interpolation == "CUBICSPLINE" else (len(times), size)
    if values.numel() != torch.Size(shape).numel():
        raise invalid(f"{what} has {len(values)} values (accessor {sampler.output}) for {len(times)} keys")
    values = values.reshape(shape)
    if target == "rotation":
        values = values[..., WXYZ]
    return Curve(times, values, INTERPOLATIONS[sampler.interpolation], target == "rotation")
