"""How far around a place directions lie from which it is looked at."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import normalize

STEEP = 60.0
"""Degrees above or below the horizon beyond which a direction hardly belongs to a side."""


def degrees_around(
    directions: Tensor,  # (N, 3) unit, N > 0
    up: Tensor,  # (3,) unit
) -> float:
    """The largest angle between two of some directions, straight across or about the vertical, in [0, 180].

    A camera that goes once around a subject sees all sides of it, whatever its height; straight across, its directions
    are no more than 180 degrees less twice its elevation apart.
    """
    heights = directions @ up
    level = directions[heights.abs() < math.sin(math.radians(STEEP))]
    sides = normalize(level - (level @ up)[:, None] * up, dim=-1)
    return max(_largest_angle(each) for each in (directions, sides) if len(each))


def _largest_angle(directions: Tensor) -> float:
    """Degrees between the two unit (N, 3) directions that are farthest apart."""
    cosine = float((directions @ directions.T).min())
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
