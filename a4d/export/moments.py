"""When a moving subject is looked at on its way out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """When a moving subject is looked at.

    Args:
        times: (T,) increasing in [0, 1] of the clip.
        seconds_per_frame: between two of them.
        is_periodic: whether the last is the first again.
    """

    times: tuple[float, ...] = (0.0,)
    seconds_per_frame: float = 1 / 24
    is_periodic: bool = False
