"""Quality gates: what a result must reach not to be doubted, and what it must reach to be gone on with unasked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a4d.workspace.transaction import Transaction


@dataclass(frozen=True)
class Gate:
    """Two limits of a figure.

    Args:
        figure: its name among a run's metrics; the gate is open where it is absent.
        doubted: beyond it the user is warned.
        missed: beyond it, and farther, the result is kept but nobody goes on with it unasked.
        sentence: what is then the case, with the places `{value}` and the other figures' names.
        at_least: the limits are the least that the figure should be; else the most that its size should be.
    """

    figure: str
    doubted: float
    missed: float
    sentence: str
    at_least: bool = False

    def is_beyond(self, value: float, limit: float) -> bool:
        """Whether a value is on the wrong side of a limit, as one that is no number is of any that can be passed."""
        if math.isnan(value):
            return math.isfinite(limit)
        return value < limit if self.at_least else abs(value) > limit


def judge(work: Transaction, figures: Mapping[str, Any], gates: Sequence[Gate]) -> None:
    """Hold a run's figures against gates: warnings and missed gates go on record."""
    for gate in gates:
        value = figures.get(gate.figure)
        if value is None:
            continue
        said = gate.sentence.format(**{**figures, "value": value})
        if gate.is_beyond(value, gate.missed):
            work.miss(said)
        elif gate.is_beyond(value, gate.doubted):
            work.warn(said)
