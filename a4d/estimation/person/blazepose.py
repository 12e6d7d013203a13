"""BlazePose's two networks through LiteRT, from the files that MediaPipe comes with."""

from __future__ import annotations

from pathlib import Path

from a4d.estimation.person.detection import Network
from a4d.estimation.person.litert import PERSON_MODEL, LiteNetwork
from a4d.estimation.person.tracking import PersonTracker
from a4d.priors.catalogue import stored_file

OUTPUTS = {
    "pose_detection.tflite": ((1, 2254, 12), (1, 2254, 1)),
    "pose_landmark_full.tflite": ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117)),
}
"""Shapes of the outputs, in their order, of the detector and of the landmark network."""


class BlazePose:
    """The networks, and trackers that share them.

    Args:
        detector: finds people in a picture.
        landmarks: finds joints and outline in a region.
    """

    def __init__(self, detector: Network, landmarks: Network) -> None:
        self._detector, self._landmarks = detector, landmarks

    def tracker(self, person: int = 1) -> PersonTracker:
        """What follows one person through a film, 1 the largest of those who are first seen together."""
        return PersonTracker(self._detector, self._landmarks, person)


def load_blazepose(folder: Path) -> BlazePose:
    """The networks of a folder.

    Raises:
        BackendUnavailableError: LiteRT is not installed, or a file is missing, damaged or another network.
    """
    detector, landmarks = (
        LiteNetwork(stored_file(PERSON_MODEL, folder, component), outputs) for component, outputs in OUTPUTS.items()
    )
    return BlazePose(detector, landmarks)
