"""Networks that tell a picture's subject from what is around it, by the architecture that the catalogue names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from a4d.estimation.birefnet.finder import load_birefnet
from a4d.estimation.sam2 import Sam2, load_sam2
from a4d.matting.following import FollowedMask
from a4d.pixels import Array
from a4d.priors.catalogue import find, locate
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder

SubjectFinder = Callable[[Tensor], Tensor]
"""(H, W, 3) sRGB in [0, 1] to (H, W) alpha in [0, 1] on the CPU."""

FilmFollower = Callable[[Sequence[Array]], list[FollowedMask]]
"""A film of (H, W, 3) sRGB in [0, 1], whose frames are read when they are asked for, to the subject in each."""

LOADERS: dict[str, Callable[[WeightsFolder], SubjectFinder]] = {"birefnet": load_birefnet, "sam2": load_sam2}


def load_subject_finder(name: str, placement: Placement) -> SubjectFinder:
    """A network of the catalogue, ready to be asked.

    Raises:
        BackendUnavailableError: its weights are missing, damaged, or of another architecture.
    """
    folder = WeightsFolder(locate(name, placement.overrides), placement)
    return LOADERS[str(find(name).options["architecture"])](folder)


def film_follower(finder: SubjectFinder) -> FilmFollower | None:
    """How a network follows a subject through a film; None where it looks at each frame by itself."""
    return finder.follow if isinstance(finder, Sam2) else None
