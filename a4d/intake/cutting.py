"""What cuts the subject out of pictures: by looking at them, or a network of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from a4d.estimation.birefnet.finder import load_subject_finder
from a4d.intake.settings import MATTING_MODELS, Matting
from a4d.matting.matte import Matte, matte, nothing_of
from a4d.pixels import SOLID, Array
from a4d.priors.catalogue import catalogue
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder
from a4d.running.weights import located_weights
from a4d.runtime import Runtime
from a4d.workspace.transaction import Transaction

CutOut = Callable[[Array], Matte]
"""The subject of a picture (H, W, 3) or (H, W, 4), sRGB in [0, 1]."""


def subject_cutter(work: Transaction, config: Matting, weights: str, runtime: Runtime) -> CutOut:
    """What cuts subjects out by the method that is chosen.

    Args:
        work: whose record names the network.
        config: the method, or the network.
        weights: folders that the user names, as `weight_overrides` takes them.
        runtime: where the network computes.

    Raises:
        BackendUnavailableError: the network's weights are not on this machine, or damaged.
    """
    method = config.matting
    if catalogue().get(method) is None or catalogue()[method].kind != MATTING_MODELS:
        return lambda picture: matte(picture, config.method)
    folder = WeightsFolder(located_weights(work, method, weights), Placement(runtime.device))
    find = load_subject_finder(folder)

    def cut_out(picture: Array) -> Matte:
        alpha: Array = find(torch.from_numpy(picture[..., :3].copy())).numpy()
        if not (alpha > SOLID).any():
            return Matte(nothing_of(picture), method)
        return replace(matte(picture, mask=alpha), method=method)

    return cut_out
