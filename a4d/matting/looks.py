"""Frames of a film that are looked at for themselves, and the colours that a subject has in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a4d.matting.colour_mixture import ColourModel, Pixels, learn_colours
from a4d.matting.grabcut import find_subject
from a4d.matting.masks import Mask, dilated
from a4d.pixels import Array

FEWEST_LOOKS, FRAMES_PER_LOOK = 5, 12
"""Frames that are looked at for themselves: at least so many, and one of so many."""

PIXELS_OF_A_LOOK = 4000
"""Drawn of the surroundings in each frame that is looked at, and half as many of the subject."""

BESIDE = 0.1
"""How far around a subject its shadow is looked for, as a share of the square root of its area."""

SHARED = 0.7
"""Pixels right beside a subject that have one of its colours, per pixel of it, above which the colour is a shadow's."""


@dataclass(frozen=True)
class Look:
    """What one frame shows by itself, and how sure that is, in [0, 1]."""

    subject: Mask
    certainty: float


def rated_looks(film: Sequence[Array], frames: Sequence[int]) -> tuple[ColourModel, dict[int, Look]]:
    """The colours that looks at some of the frames have in common, and these looks by how much they have them."""
    looks = _looks(film, frames)
    model = _common_colours(film, looks)
    return model, {index: _rated(look, model, samples(film[index])) for index, look in looks.items()}


def _looks(film: Sequence[Array], frames: Sequence[int]) -> dict[int, Look]:
    """The subject of some of the frames, which are spread over them, each by itself."""
    count = min(len(frames), max(FEWEST_LOOKS, len(frames) // FRAMES_PER_LOOK))
    chosen = (frames[round(place)] for place in np.linspace(0, len(frames) - 1, count))
    return {index: Look(*find_subject(film[index])) for index in chosen}


def _common_colours(film: Sequence[Array], looks: Mapping[int, Look]) -> ColourModel:
    """The colours of all looks together, each by how much its own agree with all."""
    model, trusted = None, dict(looks)
    for _ in range(2):
        pools = [_drawn(samples(film[index]), look) for index, look in trusted.items()]
        inside, outside = (np.concatenate(each) for each in zip(*pools, strict=True))
        if not len(inside) or not len(outside):
            break
        model = _without_shadows(learn_colours(inside, outside), film, trusted)
        trusted = {index: _rated(look, model, samples(film[index])) for index, look in looks.items()}
    if model is None:
        plain = np.zeros((1, 3), np.uint8)
        return learn_colours(plain, plain)
    return model


def _without_shadows(model: ColourModel, film: Sequence[Array], looks: Mapping[int, Look]) -> ColourModel:
    """The same without colours of the subject that lie as much beside it, where a shadow goes on and a paw does not."""
    counts = np.zeros((2, len(model.subject.weights)))
    for index, look in looks.items():
        rgb = samples(film[index])
        nearest = model.subject.nearest(rgb.reshape(-1, 3)).reshape(rgb.shape[:2])
        is_own = model.preference(rgb) > -1
        beside = dilated(look.subject, max(3, round(BESIDE * np.sqrt(look.subject.sum())))) & ~look.subject
        for row, where in enumerate((look.subject, beside)):
            counts[row] += look.certainty * np.bincount(nearest[where & is_own], minlength=counts.shape[1])
    is_kept = counts[1] <= SHARED * counts[0]
    return replace(model, subject=model.subject.without(~is_kept)) if is_kept.any() else model


def _drawn(rgb: Pixels, look: Look) -> tuple[Pixels, Pixels]:
    """Pixels of a look's subject and of its surroundings, the more the surer it is."""
    generator = np.random.default_rng(0)
    drawn = []
    for is_part, most in ((look.subject, PIXELS_OF_A_LOOK // 2), (~look.subject, PIXELS_OF_A_LOOK)):
        pixels, count = rgb[is_part], round(most * look.certainty)
        drawn.append(pixels[generator.integers(0, len(pixels), count)] if len(pixels) else pixels)
    return drawn[0], drawn[1]


def _rated(look: Look, model: ColourModel, rgb: Pixels) -> Look:
    """A look that is the less certain the less its colours tell its subject from the rest."""
    share = purity(model.preference(rgb), look.subject, ~look.subject)
    return replace(look, certainty=look.certainty * max(0.0, 2 * share - 1) ** 2)


def purity(preference: NDArray[np.float64], subject: Mask, around: Mask) -> float:
    """Mean share of the pixels inside and outside that have the colours of their side; 0 where there are none."""
    if not subject.any() or not around.any():
        return 0.0
    return float(np.mean(preference[subject] > 0) + np.mean(preference[around] < 0)) / 2


def samples(
    rgb: Array,  # (H, W, 3) in [0, 1]
) -> Pixels:
    """(H, W, 3) the same in 8 bits."""
    return np.rint(rgb * 255).astype(np.uint8)
