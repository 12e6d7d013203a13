"""What finds the keypoints of a person in the pictures of a film, by its architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from a4d.estimation.person.blazepose import load_blazepose
from a4d.io.keypoints import BLAZEPOSE, COCO, Landmarks
from a4d.pixels import WHITE, Array, composite
from a4d.priors.weights_folder import WeightsFolder

FilmEstimator = Callable[[Iterable[Array]], list[Landmarks | None]]
"""Pictures of a film (H, W, 4), sRGB in [0, 1] with straight alpha, to the landmarks of one person in each."""


def load_film_estimator(folder: WeightsFolder, person: int) -> tuple[tuple[str, ...], FilmEstimator]:
    """The names of the keypoints that a model finds, and what finds them.

    Args:
        folder: of the model, with `architecture` among its options.
        person: which of several; 1 is the largest. A model that looks where the alpha is has no choice.

    Raises:
        BackendUnavailableError: weights or packages are missing, damaged, or of another architecture.
    """
    if folder.options["architecture"] == "vitpose":
        from a4d.estimation.person.vitpose import load_vitpose

        network = load_vitpose(folder)
        return COCO, lambda film: [network(picture) for picture in film]
    poses = load_blazepose(folder.path)

    def follow(film: Iterable[Array]) -> list[Landmarks | None]:
        tracker = poses.tracker(person)
        seen = (tracker(composite(picture, WHITE)) for picture in film)
        return [None if sighting is None else sighting.landmarks for sighting in seen]

    return BLAZEPOSE, follow
