"""Colours by their names: which one a text gives its subject, and how much of a picture has it."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.datasets.procedural.vocabulary import COLOURS, PARTS


def main_colour(text: str) -> str | None:
    """The colour of the subject itself: the first that the text names, unless of a part such as legs; None if none."""
    words = re.findall(r"[a-z]+", text.lower())
    pairs = zip(words, [*words[1:], ""], strict=True)
    return next((word for word, following in pairs if word in COLOURS and following not in PARTS), None)


def nearest_colours(
    rgb: Tensor,  # (N, 3) sRGB in [0, 1]
) -> Tensor:
    """(N,) int64 places in `COLOURS` of the colour that is nearest in hue and saturation, however bright."""
    directions = normalize(torch.tensor(list(COLOURS.values())), dim=1)
    return (normalize(rgb, dim=1) @ directions.T).argmax(1)


def colour_lead(
    rgb: Tensor,  # (N, 3) sRGB in [0, 1]
    name: str,
) -> float:
    """Share of pixels that have a colour less the largest share of another one, in [-1, 1].

    Black and grey are one here, since their brightness alone tells them apart.
    """
    names = list(COLOURS)
    shares = nearest_colours(rgb).bincount(minlength=len(names)).float() / max(len(rgb), 1)
    grey, black = names.index("grey"), names.index("black")
    shares[grey] += shares[black]
    shares[black] = shares[grey]
    own = names.index(name)
    is_other = torch.ones(len(names), dtype=torch.bool)
    is_other[[grey, black] if own in (grey, black) else [own]] = False
    return float(shares[own] - shares[is_other].max())
