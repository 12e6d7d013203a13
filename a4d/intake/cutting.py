"""What cuts the subject out of pictures: by looking at them, or a network of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from a4d.intake.settings import Matting
from a4d.matting.matte import Matte, matte, nothing_of
from a4d.pixels import SOLID, Array
from a4d.running.weights import located_weights, weight_overrides
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction

if TYPE_CHECKING:
    from a4d.estimation.subjects import FilmFollower

Cutter = Callable[[Array], Matte]
"""The subject of a picture (H, W, 3) or (H, W, 4), sRGB in [0, 1]."""


@dataclass(frozen=True)
class SubjectCutter:
    """What cuts subjects out.

    Args:
        name: of the method or the network.
        alone: cuts the subject out of one picture.
        follow: finds it in all frames of a film together; None where that is not what it does.
    """

    name: str
    alone: Cutter
    follow: FilmFollower | None = None

    def __call__(self, picture: Array) -> Matte:
        """The subject of a picture (H, W, 3) or (H, W, 4), sRGB in [0, 1]."""
        return self.alone(picture)


def subject_cutter(work: Transaction, config: Matting, weights: str, runtime: Runtime) -> SubjectCutter:
    """What cuts subjects out by the method that is chosen.

    Args:
        work: whose record names the network.
        config: the method, or the network.
        weights: folders that the user names, as `weight_overrides` takes them.
        runtime: where the network computes.

    Raises:
        BackendUnavailableError: the network's weights are not on this machine, or damaged.
    """
    method = config.method
    if method is not None:
        return SubjectCutter(method, lambda picture: matte(picture, method))
    # Looking needs no torch.
    import torch

    from a4d.estimation.subjects import film_follower, load_subject_finder
    from a4d.priors.placement import Placement

    name = config.matting
    located_weights(work, name, weights)
    find = load_subject_finder(name, Placement(runtime.device, overrides=weight_overrides(weights)))

    def cut_out(picture: Array) -> Matte:
        alpha: Array = find(torch.from_numpy(picture[..., :3].copy())).numpy()
        if not (alpha > SOLID).any():
            return Matte(nothing_of(picture), name)
        return replace(matte(picture, mask=alpha), method=name)

    return SubjectCutter(name, cut_out, film_follower(find))
