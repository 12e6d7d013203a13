"""Keyframed curves and clips, interpolated as glTF 2.0 defines it (appendix C of the specification)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.transforms import slerp

Interpolation = Literal["linear", "step", "cubic"]
Target = Literal["translation", "rotation", "scale", "weights"]


@dataclass(frozen=True)
class Curve:
    """A value over time, given at K keys and constant before the first and after the last.

    Args:
        times: (K,) seconds, not decreasing, K >= 1; where two are equal the value jumps.
        values: (K, C); for "cubic" (K, 3, C): in-tangent, value and out-tangent, tangents per second.
        interpolation: between keys.
        is_rotation: the values are wxyz quaternions: "linear" is spherical, and results have unit length.
    """

    times: Tensor
    values: Tensor
    interpolation: Interpolation = "linear"
    is_rotation: bool = False

    def at(self, time: float) -> Tensor:
        """The value at a time in seconds, (C,)."""
        seconds = torch.as_tensor(time, dtype=self.times.dtype).clamp(self.times[0], self.times[-1])
        after = int(torch.searchsorted(self.times, seconds, right=True))
        if self.interpolation == "step" or after == len(self.times):
            # Past the last key, and with a single one, there is nothing to interpolate towards.
            value = self.values[after - 1]
            return self._finished(value[1] if self.interpolation == "cubic" else value)
        before = after - 1
        span = self.times[after] - self.times[before]
        fraction = (seconds - self.times[before]) / span
        if self.interpolation == "cubic":
            return self._finished(hermite(self.values[before], self.values[after], fraction, span))
        if self.is_rotation:
            return slerp(self.values[before], self.values[after], fraction)
        return torch.lerp(self.values[before], self.values[after], fraction)

    def _finished(self, value: Tensor) -> Tensor:
        return normalize(value, dim=-1) if self.is_rotation else value


@dataclass(frozen=True)
class Channel:
    """What one curve drives.

    Args:
        node: index of the node.
        target: the part of the node's transform, or the weights of its mesh's morph targets.
        curve: over time.
    """

    node: int
    target: Target
    curve: Curve


@dataclass(frozen=True)
class Clip:
    """A named animation.

    Args:
        name: as in the file, or made of its number; no other clip of its asset bears it.
        channels: at most one counts per node and target: the last.
    """

    name: str
    channels: tuple[Channel, ...]

    @property
    def duration(self) -> float:
        """Seconds from 0 to the last key."""
        return max((float(channel.curve.times[-1]) for channel in self.channels), default=0.0)


def distinct_names(names: Sequence[str]) -> list[str]:
    """Names of clips by which each can be asked for, such as "walk" and "walk (2)"; one without is "animation 1".

    A name that stands alone stays, and no number makes another the same.
    """
    given = [name.strip() or f"animation {number}" for number, name in enumerate(names, start=1)]
    taken, distinct = set(given), list[str]()
    for name in given:
        number, candidate = 2, name
        if name in distinct:
            while (candidate := f"{name} ({number})") in taken:
                number += 1
        taken.add(candidate)
        distinct.append(candidate)
    return distinct


def named_index(names: Sequence[str], wanted: str) -> int | None:
    """Which of several names is meant.

    Args:
        names: as `distinct_names` makes them.
        wanted: one of them; else one but for letter case and the armature's name that exporters put in front, where
            only one is; else a number, counted from 1.

    Returns:
        The index, or None where nothing fits.
    """
    if wanted in names:
        return names.index(wanted)
    near = [index for index, name in enumerate(names) if name.rpartition("|")[2].lower() == wanted.lower()]
    if len(near) == 1:
        return near[0]
    number = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 9 else 0
    return number - 1 if 1 <= number <= len(names) else None


def hermite(
    before: Tensor,  # (3, C) in-tangent, value, out-tangent of the key before
    after: Tensor,  # (3, C) of the key after
    fraction: Tensor,  # () in [0, 1]
    span: Tensor,  # () seconds between the keys
) -> Tensor:
    """The cubic Hermite spline between two keys, (C,)."""
    squared, cubed = fraction**2, fraction**3
    return (
        (2 * cubed - 3 * squared + 1) * before[1]
        + (cubed - 2 * squared + fraction) * span * before[2]
        + (3 * squared - 2 * cubed) * after[1]
        + (cubed - squared) * span * after[0]
    )
