"""Animations: samplers to curves, channels to what they drive."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.animation import Channel, Clip, Curve, Interpolation, Target
from a4d.io.gltf import schema
from a4d.io.gltf.accessors import Accessors

INTERPOLATIONS: dict[str, Interpolation] = {"LINEAR": "linear", "STEP": "step", "CUBICSPLINE": "cubic"}
TARGETS: dict[str, Target] = {"translation": "translation", "rotation": "rotation", "scale": "scale", "weights": "weights"}
SIZES = {"translation": 3, "rotation": 4, "scale": 3}
WXYZ = [3, 0, 1, 2]


def read_clips(accessors: Accessors, morph_counts: list[int]) -> tuple[Clip, ...]:
    """All animations of a file; channels that drive something else than nodes are left out.

    Args:
        accessors: of the file.
        morph_counts: number of morph targets of each node's mesh.

    Raises:
        InvalidInputError: a node or sampler does not exist, keys are out of order, or values do not fit the keys.
    """
    return tuple(_read_clip(accessors, number, morph_counts) for number in range(len(accessors.container.gltf.animations)))


def _read_clip(accessors: Accessors, number: int, morph_counts: list[int]) -> Clip:
    animation = accessors.container.gltf.animations[number]
    channels = [_read_channel(accessors, number, channel, morph_counts) for channel in animation.channels]
    return Clip(animation.name or f"animation {number}", tuple(channel for channel in channels if channel is not None))


def _read_channel(
    accessors: Accessors, number: int, channel: schema.Channel, morph_counts: list[int]
) -> Channel | None:
    container = accessors.container
    what = f"animation {number}"
    sampler = container.item(container.gltf.animations[number].samplers, channel.sampler, f"{what}'s sampler")
    if channel.target.node is None or channel.target.path not in TARGETS:
        return None
    target, index = TARGETS[channel.target.path], channel.target.node
    node = container.item(container.gltf.nodes, index, "node")
    if target != "weights" and node.matrix is not None:
        raise container.invalid(f"{what} moves node {index}, whose transform is a matrix", "Export it without matrices")
    if target == "weights" and not morph_counts[index]:
        raise container.invalid(f"{what} drives morph targets that node {index} does not have")
    size = morph_counts[index] if target == "weights" else SIZES[target]
    return Channel(index, target, _read_curve(accessors, sampler, target, size, what))


def _read_curve(
    accessors: Accessors, sampler: schema.AnimationSampler, target: Target, size: int, what: str
) -> Curve:
    invalid = accessors.container.invalid
    times = accessors.floats(sampler.input, (), f"{what}'s input", torch.float64)
    if (times.diff() <= 0).any():
        raise invalid(f"{what} has keys (accessor {sampler.input}) whose times do not increase")
    element = () if target == "weights" else (size,)
    values = accessors.floats(sampler.output, element, f"{what}'s output", torch.float64)
    shape = (len(times), 3, size) if sampler.interpolation == "CUBICSPLINE" else (len(times), size)
    if values.numel() != torch.Size(shape).numel():
        raise invalid(f"{what} has {len(values)} values (accessor {sampler.output}) for {len(times)} keys")
    values = values.reshape(shape)
    if target == "rotation":
        values = _wxyz(values)
    return Curve(times, values, INTERPOLATIONS[sampler.interpolation], target == "rotation")


def _wxyz(
    quaternions: Tensor,  # (..., 4) xyzw
) -> Tensor:
    return quaternions[..., WXYZ]
