"""Colours by their names: which one a text gives its subject, and how much of a picture has it."""

from __future__ import annotations

import re
from functools import lru_cache

import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn.functional import normalize

from a4d.datasets.procedural.vocabulary import COLOURS, PARTS

SYNONYMS = {
    "crimson": "red", "scarlet": "red", "golden": "yellow", "gold": "yellow", "blond": "yellow", "lime": "green",
    "cyan": "teal", "turquoise": "teal", "aqua": "teal", "navy": "blue", "azure": "blue", "violet": "purple",
    "magenta": "pink", "rose": "pink", "beige": "brown", "tan": "brown", "wooden": "brown", "gray": "grey",
    "silver": "grey", "white": "grey", "metallic": "grey", "dark": "black",
}  # fmt: skip
"""Colours as people mean them, by the nearest that the vocabulary has; those of style sheets come after them."""


@lru_cache(maxsize=1024)
def colour_named(word: str) -> str | None:
    """The colour of the vocabulary that a lower-case word is or comes nearest to; None where it names none."""
    if word in COLOURS:
        return word
    if word in SYNONYMS or word not in ImageColor.colormap:
        return SYNONYMS.get(word)
    red, green, blue, *_ = ImageColor.getrgb(word)
    (place,) = nearest_colours(torch.tensor([[red, green, blue]]) / 255).tolist()
    return list(COLOURS)[place]


def main_colour(text: str) -> str | None:
    """The colour of the subject itself: the first that the text names, unless of a part such as legs; None if none.

    Of several colours in a row the last counts, since a dark green horse is green; but a red rose is red.
    """
    words = re.findall(r"[a-z]+", text.lower())
    pairs = zip(words, [*words[1:], ""], strict=True)
    own = (word for word, following in pairs if following not in PARTS and not _is_shade(word, following))
    return next(filter(None, map(colour_named, own)), None)


def _is_shade(word: str, following: str) -> bool:
    """Whether a word only says which tone of the colour after it is meant, which may also be a thing of a colour."""
    return following in COLOURS or (word not in COLOURS and colour_named(following) is not None)


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
