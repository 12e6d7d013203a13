"""Optimisers of a scene's groups, as the loop makes them."""

from __future__ import annotations

from collections.abc import Mapping

from a4d.optimisers import OptimiserConfig, Optimisers, adam
from a4d.trainable import Trainable


def adam_of(trainable: Trainable, rates: Mapping[str, float]) -> Optimisers:
    """Adam for the groups that have a rate."""
    return adam(trainable.groups(), OptimiserConfig(rates=dict(rates)))
