"""Which of several people is followed from one picture to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATIENCE = 30
"""Pictures for which someone who was seen among others is waited for, before another is taken for them."""


@dataclass(frozen=True)
class Place:
    """Where someone is.

    Args:
        centre: (2,) pixels.
        size: of the body in pixels.
    """

    centre: NDArray[np.floating]
    size: float


class Follower:
    """The same person among those in one picture after another.

    Args:
        person: which one is followed where there is nobody to go on from: 1 is the largest.
    """

    def __init__(self, person: int = 1) -> None:
        self._person = person
        self._last: Place | None = None
        self._is_one_of_several, self._pictures_lost = False, 0

    def keep(self, place: Place) -> None:
        """Note where the person is in a picture."""
        self._last, self._pictures_lost = place, 0

    def choose(self, places: Sequence[Place]) -> int | None:
        """Which of the people in a picture it is; None where it is none of them.

        Whoever is nearest to where the person was, if nearer than half of their size. Otherwise the one that `person`
        says: at once where the person was seen alone, as after a cut, else when they have been lost for a while.
        """
        self._pictures_lost += 1
        if self._last is not None and places:
            away = [math.dist(place.centre, self._last.centre) for place in places]
            if min(away) < self._last.size / 2:
                return self._kept(places, away.index(min(away)))
            if self._is_one_of_several and self._pictures_lost <= PATIENCE:
                return None
        if len(places) < self._person:
            return None
        self._is_one_of_several = len(places) > 1
        by_size = sorted(range(len(places)), key=lambda index: -places[index].size)
        return self._kept(places, by_size[self._person - 1])

    def _kept(self, places: Sequence[Place], index: int) -> int:
        self.keep(places[index])
        return index
