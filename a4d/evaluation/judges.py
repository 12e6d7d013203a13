"""Networks that look at renders: their names, and loading those that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from a4d.config import unknown_key
from a4d.errors import UsageError
from a4d.evaluation.clip import Clip, load_clip
from a4d.priors.catalogue import locate
from a4d.priors.lpips import Lpips, load_network
from a4d.priors.placement import Placement
from a4d.priors.weights_folder import WeightsFolder

FAMILIES = {
    "clip": ("clip-vit-b-32", "clip-vit-l-14", "clip-vit-bigg-14"),
    "lpips": ("lpips-alexnet", "lpips-vgg16"),
}
"""Entries of the catalogue by what they measure; the first is meant where only the family is named."""


@dataclass(frozen=True)
class Judges:
    """The networks that are asked about renders.

    Args:
        clip: for CLIP-I, CLIP-F and CLIP-R.
        lpips: for LPIPS.
        texts: for CLIP-R: first the scene's own, then those from which it is to be told.
    """

    clip: Clip | None = None
    lpips: Lpips | None = None
    texts: tuple[str, ...] = ()

    def of_pair(
        self,
        image: Tensor,  # (H, W, 3) sRGB in [0, 1]
        truth: Tensor,  # (H, W, 3)
    ) -> dict[str, float]:
        """Figures of a render and what should be seen: `lpips` and `lpips_unscaled`, or none."""
        return self.lpips.figures(image, truth) if self.lpips else {}


def chosen_judges(text: str) -> dict[str, str]:
    """Names of the catalogue by family, from families and names such as `clip,lpips-vgg16`.

    Raises:
        ConfigError: there is no such judge.
        UsageError: two of a family are named.
    """
    known = {family: names[0] for family, names in FAMILIES.items()}
    known |= {name: name for names in FAMILIES.values() for name in names}
    chosen: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part not in known:
            raise unknown_key(f"--judges {part}", part, known)
        family = next(family for family, names in FAMILIES.items() if known[part] in names)
        if family in chosen:
            raise UsageError(f"--judges {text} names two of {family}", "Give one of each family")
        chosen[family] = known[part]
    return chosen


def load_judges(
    names: Mapping[str, str], texts: Sequence[str], overrides: Mapping[str, Path], device: str = "cpu"
) -> Judges:
    """The judges that are named; nothing is fetched.

    Args:
        names: of the catalogue, by family, as of `chosen_judges`.
        texts: for CLIP-R, the scene's own first.
        overrides: folders of weights by name.
        device: on which they compute, in single precision.

    Raises:
        UsageError: there is a single text, or there are texts without CLIP.
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
    """
    if texts and "clip" not in names:
        raise UsageError("texts are for CLIP-R alone", "Give --judges clip with them")
    if len(set(texts)) == 1:
        raise UsageError("CLIP-R chooses among texts", "Give the scene's own text, then others: --text A --text B")
    placement = Placement(device, torch.float32, overrides=overrides)
    clip = load_clip(WeightsFolder(locate(names["clip"], overrides), placement)) if "clip" in names else None
    lpips = load_network(names["lpips"], placement) if "lpips" in names else None
    return Judges(clip, lpips, tuple(dict.fromkeys(texts)))
