"""A person in pictures that are taken in: cut out of them, and followed by their joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from a4d.errors import InvalidInputError
from a4d.estimation.person.blazepose import load_blazepose
from a4d.estimation.person.litert import PERSON_MODEL
from a4d.estimation.person.tracking import PersonTracker
from a4d.framing import Crop
from a4d.intake.settings import ChannelSettings
from a4d.io.keypoints import BLAZEPOSE, KEYPOINTS_FILE, Keypoints, Landmarks, gathered, write_keypoints
from a4d.matting.matte import Matte, matte, nothing_of
from a4d.pixels import Array
from a4d.running.weights import located_weights
from a4d.workspace.transaction import Transaction


class PersonCutter:
    """Cuts one person out of pictures that come one after another, and keeps where their joints are.

    Args:
        tracker: of the person.
    """

    def __init__(self, tracker: PersonTracker) -> None:
        self._tracker, self._seen = tracker, list[Landmarks | None]()

    def __call__(self, picture: Array) -> Matte:
        """The person alone; nothing where they are not seen.

        Args:
            picture: (H, W, 3) or (H, W, 4) sRGB in [0, 1].
        """
        sighting = self._tracker(picture[..., :3])
        if sighting is None or not sighting.mask.any():
            self._seen.append(None)
            return Matte(nothing_of(picture), "person")
        self._seen.append(sighting.landmarks)
        return replace(matte(picture, mask=sighting.mask), method="person")

    def write(self, work: Transaction, crop: Crop) -> None:
        """Write the keypoints of all pictures so far, in pixels of the frames that a crop makes of them."""
        keypoints = gathered(BLAZEPOSE, self._seen)
        write_found(work, replace(keypoints, points=crop.frame_from_source(keypoints.points).astype(np.float32)))

    def require_found(self) -> None:
        """Check that there was someone.

        Raises:
            InvalidInputError: nobody was found in any picture.
        """
        if not any(self._seen):
            raise nobody_found()


def person_cutter(work: Transaction, config: ChannelSettings) -> PersonCutter:
    """What cuts out the person that is chosen.

    Raises:
        BackendUnavailableError: LiteRT or the weights are not on this machine, or damaged.
    """
    return PersonCutter(load_blazepose(located_weights(work, PERSON_MODEL, config.weights)).tracker(config.person))


def write_found(work: Transaction, keypoints: Keypoints) -> float:
    """Write keypoints in pixels of the frames, and say where nobody is found; the share of frames with someone.

    Raises:
        InvalidInputError: nobody is found in any frame.
    """
    if not keypoints.found.any():
        raise nobody_found()
    write_keypoints(work.output(KEYPOINTS_FILE), keypoints)
    missing = int((~keypoints.found).sum())
    if missing:
        first = int(keypoints.found.argmin())
        work.warn(f"The person is not found in {missing} of {len(keypoints)} frames, the first of them {first:05d}")
    return float(keypoints.found.mean())


def nobody_found() -> InvalidInputError:
    """The refusal of pictures without a person."""
    return InvalidInputError(
        "no person is found", "Choose another --person or --matting, or give masks or a file of --keypoints"
    )
