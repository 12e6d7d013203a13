"""Networks that tell a picture's subject from what is around it, by the architecture that the catalogue names."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from a4d.estimation.birefnet.finder import load_birefnet
from a4d.priors.catalogue import find, locate
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder

SubjectFinder = Callable[[Tensor], Tensor]
"""(H, W, 3) sRGB in [0, 1] to (H, W) alpha in [0, 1] on the CPU."""

LOADERS: dict[str, Callable[[WeightsFolder], SubjectFinder]] = {"birefnet": load_birefnet}


def load_subject_finder(name: str, placement: Placement) -> SubjectFinder:
    """A network of the catalogue, ready to be asked.

    Raises:
        BackendUnavailableError: its weights are missing, damaged, or of another architecture.
    """
    folder = WeightsFolder(locate(name, placement.overrides), placement)
    return LOADERS[str(find(name).options["architecture"])](folder)
