"""One person followed through a film: searched where they were, and looked for anew where they are lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from a4d.estimation.person.choice import Follower, Place
from a4d.estimation.person.detection import Detection, Network, detect, detect_closely
from a4d.estimation.person.landmarks import Sighting, look
from a4d.estimation.person.region import Region
from a4d.pixels import Array

LEAST_BODY = 0.5
"""Visibility of the body that is no person's: birds and cats that the networks take for people have less."""

FIRST_PRESENCE = 0.9
"""Probability from which someone is followed; who is followed already may be less sure for a while."""

SAME_PERSON = 0.1
"""Share of a region's side within which the hips of two are those of one."""


class PersonTracker:
    """The same person in one picture after another; each is seen as if no later one was known.

    Args:
        detector: BlazePose's, which looks where there is no track.
        landmarks: BlazePose's, which looks in a region.
        person: which one, where several are seen before there is a track: 1 is the largest.
    """

    def __init__(self, detector: Network, landmarks: Network, person: int = 1) -> None:
        self._detector, self._landmarks, self._person = detector, landmarks, person
        self._follower = Follower(person)
        self._region: Region | None = None

    def __call__(
        self,
        rgb: Array,  # (H, W, 3) sRGB in [0, 1]
    ) -> Sighting | None:
        """The person in the next picture; None where they are not seen."""
        seen = None if self._region is None else look(self._landmarks, rgb, self._region)
        if seen is None or seen.body_visibility <= LEAST_BODY:
            seen = self._look_anew(rgb)
        else:
            self._follower.keep(_place(seen))
        self._region = None if seen is None else seen.region
        return seen

    def _look_anew(self, rgb: Array) -> Sighting | None:
        """The person among all who are detected, at first those who are large."""
        for search in (detect, detect_closely):
            seen = self._people(rgb, search(self._detector, rgb))
            if len(seen) >= self._person:
                break
        chosen = self._follower.choose([_place(sighting) for sighting in seen])
        return None if chosen is None else seen[chosen]

    def _people(self, rgb: Array, found: Sequence[Detection]) -> list[Sighting]:
        """Who among the detections is a person, each once."""
        people = list[Sighting]()
        for detection in found:
            seen = self._settled(rgb, detection.region)
            if seen is not None and not any(_is_same(seen.region, other.region) for other in people):
                people.append(seen)
        return people

    def _settled(self, rgb: Array, region: Region) -> Sighting | None:
        """The person in a detected region, looked at once more in the region that their own points make."""
        first = look(self._landmarks, rgb, region)
        seen = None if first is None else look(self._landmarks, rgb, first.region)
        is_person = seen is not None and seen.presence >= FIRST_PRESENCE and seen.body_visibility > LEAST_BODY
        return seen if is_person else None


def _is_same(one: Region, other: Region) -> bool:
    return math.dist(one.centre, other.centre) < SAME_PERSON * other.side


def _place(seen: Sighting) -> Place:
    return Place(seen.region.centre, seen.region.side)
