"""A subject followed through a film: masks carried along the flow, and cut anew within a band around their outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.matting.colour_mixture import ColourModel, Pixels, learn_colours
from a4d.matting.grabcut import find_subject
from a4d.pixels import SOLID, Array

Mask = NDArray[np.bool_]

Carry = Callable[[Array, int, int], tuple[Array, Mask]]
"""A map (H, W) of a frame, that frame and another, to the map as it is in the other, and where that can be believed."""

FEWEST_LOOKS, FRAMES_PER_LOOK = 5, 12
"""Frames that are looked at for themselves: at least so many, and one of so many."""

INSIDE, OUTSIDE = 0.05, 0.1
"""Half widths of the band in which the outline is sought, as shares of the square root of the subject's area."""

PACE = 0.15
"""By how much the colours of the last frame change those that are kept."""

EVIDENCE = 5.0
"""Logarithm of likelihoods beyond which a single pixel's colour says no more."""

PIXELS_OF_A_LOOK = 4000
"""Drawn of the surroundings in each frame that is looked at, and half as many of the subject."""

PIXELS_OF_A_STEP = 4000
"""From which the colours of a frame are learnt."""

FRAGMENT, HOLE = 0.05, 0.002
"""Shares of the subject below which parts beside it are none of it, and holes in it are none."""

GROWTH = 1.6
"""By which the area may change from frame to frame beyond what the flow says."""

AGREEMENT = 0.5
"""Overlap of a cut with what was carried to it, below which it is another thing."""

SHARED = 0.7
"""Pixels right beside a subject that have one of its colours, per pixel of it, above which the colour is a shadow's."""

TRUSTED = 0.5
"""Certainty from which a look is begun from whatever has been carried to it: limbs that were lost on the way return."""

HEARD = 0.25
"""Certainty from which a look that shows something else puts what has been carried to it in doubt."""

MET = 0.7
"""Overlap below which neither of two masks of one frame is believed."""

PURITY = 0.7
"""Mean share of the pixels within and around a cut whose colours say so, below which it has gone astray."""

RESEMBLANCE = 0.6, 0.5
"""Shares of a cut's pixels that have the subject's colours, below which it is in doubt, and something else."""

LOST = 0.05
"""Share of the subject's usual area below which nothing of it is left."""

USABLE = 0.1
"""Certainty below which nobody starts at a look while there is a better one."""


@dataclass(frozen=True)
class FollowedMask:
    """A subject in one frame.

    Args:
        subject: (H, W); empty where it is not seen.
        is_sure: whether nothing speaks against it.
    """

    subject: Mask
    is_sure: bool


@dataclass(frozen=True)
class _Look:
    """What one frame shows by itself, and how sure that is, in [0, 1]."""

    subject: Mask
    certainty: float


def follow_subject(
    film: Sequence[Array],  # (H, W, 3) sRGB in [0, 1] each, of one size
    carry: Carry,
    known: Mapping[int, Mask] | None = None,
) -> list[FollowedMask]:
    """The most prominent thing of a film in every frame.

    Some frames are looked at for themselves, and their colours are pooled. From the frames whose own cuts are clear and
    have the colours of the others, the mask goes from frame to frame to the middle between two, where both have to
    agree, and beyond the outermost until it disagrees with the flow or with those colours; then from the next best
    frames. What nobody reaches so is filled from both sides and not sure.

    Args:
        film: read again when a frame is asked for again.
        carry: along the flow between neighbours.
        known: masks (H, W) of frames in which the subject is told otherwise; they stay.

    Returns:
        one per frame.
    """
    found = {index: FollowedMask(mask, is_sure=True) for index, mask in (known or {}).items()}
    model, rated = _rated_looks(film, [index for index in range(len(film)) if index not in found])
    follower = _Follower(film, carry, model)
    follower.spread(found, list(found))
    trusted = [index for index in rated if index not in found and rated[index].certainty >= TRUSTED]
    found.update({index: FollowedMask(follower.recut(index, rated[index].subject), is_sure=True) for index in trusted})
    for one, other in pairwise(sorted(found)):
        found.update(follower.joined(found, one, other))
    follower.spread(found, trusted)
    for index in sorted(rated, key=lambda index: -rated[index].certainty):
        is_usable = rated[index].certainty >= USABLE
        if index in found or (found and not is_usable):
            continue
        found[index] = FollowedMask(follower.recut(index, rated[index].subject), is_usable)
        before = len(found)
        follower.spread(found, [index])
        if len(found) == before and len(film) > 1:  # no neighbour shows the same
            found[index] = replace(found[index], is_sure=False)
    for gap in _gaps(found, len(film)):
        found.update(_filled(follower, found, gap))
    for index in _contradicted(found, rated):
        if index not in (known or {}):
            found[index] = replace(found[index], is_sure=False)
    return [found[index] for index in range(len(film))]


def clearest_cut(
    film: Sequence[Array],  # (H, W, 3) sRGB in [0, 1] each, of one size
) -> tuple[int, Mask]:
    """The frame that shows the most prominent thing of a film most clearly, and (H, W) where it is there."""
    _, rated = _rated_looks(film, range(len(film)))
    index = max(rated, key=lambda each: rated[each].certainty)
    return index, rated[index].subject


def _rated_looks(film: Sequence[Array], frames: Sequence[int]) -> tuple[ColourModel, dict[int, _Look]]:
    """The colours that looks at some of the frames have in common, and these looks by how much they have them."""
    looks = _looks(film, frames)
    model = _common_colours(film, looks)
    return model, {index: _rated(look, model, _samples(film[index])) for index, look in looks.items()}


def _contradicted(found: Mapping[int, FollowedMask], looks: Mapping[int, _Look]) -> list[int]:
    """The frames whose nearest look shows something else than what is found of the subject there."""
    others = {
        index
        for index, look in looks.items()
        if look.certainty >= HEARD and _overlap(look.subject, found[index].subject) < MET
    }
    return [index for index in found if others and min(looks, key=lambda place: abs(place - index)) in others]


def _looks(film: Sequence[Array], frames: Sequence[int]) -> dict[int, _Look]:
    """The subject of some of the frames, which are spread over them, each by itself."""
    count = min(len(frames), max(FEWEST_LOOKS, len(frames) // FRAMES_PER_LOOK))
    chosen = (frames[round(place)] for place in np.linspace(0, len(frames) - 1, count))
    return {index: _Look(*find_subject(film[index])) for index in chosen}


def _common_colours(film: Sequence[Array], looks: Mapping[int, _Look]) -> ColourModel:
    """The colours of all looks together, each by how much its own agree with all."""
    model, trusted = None, dict(looks)
    for _ in range(2):
        pools = [_drawn(_samples(film[index]), look) for index, look in trusted.items()]
        inside, outside = (np.concatenate(each) for each in zip(*pools, strict=True))
        if not len(inside) or not len(outside):
            break
        model = _without_shadows(learn_colours(inside, outside), film, trusted)
        trusted = {index: _rated(look, model, _samples(film[index])) for index, look in looks.items()}
    if model is None:
        plain = np.zeros((1, 3), np.uint8)
        return learn_colours(plain, plain)
    return model


def _without_shadows(model: ColourModel, film: Sequence[Array], looks: Mapping[int, _Look]) -> ColourModel:
    """The same without colours of the subject that lie as much beside it, where a shadow goes on and a paw does not."""
    counts = np.zeros((2, len(model.subject.weights)))
    for index, look in looks.items():
        rgb = _samples(film[index])
        nearest = model.subject.nearest(rgb.reshape(-1, 3)).reshape(rgb.shape[:2])
        is_own = model.preference(rgb) > -1
        beside = _dilated(look.subject, max(3, round(OUTSIDE * np.sqrt(look.subject.sum())))) & ~look.subject
        for row, where in enumerate((look.subject, beside)):
            counts[row] += look.certainty * np.bincount(nearest[where & is_own], minlength=counts.shape[1])
    is_kept = counts[1] <= SHARED * counts[0]
    return replace(model, subject=model.subject.without(~is_kept)) if is_kept.any() else model


def _drawn(rgb: Pixels, look: _Look) -> tuple[Pixels, Pixels]:
    """Pixels of a look's subject and of its surroundings, the more the surer it is."""
    generator = np.random.default_rng(0)
    drawn = []
    for is_part, most in ((look.subject, PIXELS_OF_A_LOOK // 2), (~look.subject, PIXELS_OF_A_LOOK)):
        pixels, count = rgb[is_part], round(most * look.certainty)
        drawn.append(pixels[generator.integers(0, len(pixels), count)] if len(pixels) else pixels)
    return drawn[0], drawn[1]


def _rated(look: _Look, model: ColourModel, rgb: Pixels) -> _Look:
    """A look that is the less certain the less its colours tell its subject from the rest."""
    purity = _purity(model.preference(rgb), look.subject, ~look.subject)
    return replace(look, certainty=look.certainty * max(0.0, 2 * purity - 1) ** 2)


def _purity(preference: NDArray[np.float64], subject: Mask, around: Mask) -> float:
    """Mean share of the pixels inside and outside that have the colours of their side; 0 where there are none."""
    if not subject.any() or not around.any():
        return 0.0
    return float(np.mean(preference[subject] > 0) + np.mean(preference[around] < 0)) / 2


class _Follower:
    """Takes a subject from one frame to the next.

    Args:
        film: of frames (H, W, 3).
        carry: along the flow.
        model: the subject's colours and those around it, over the whole film.
    """

    def __init__(self, film: Sequence[Array], carry: Carry, model: ColourModel) -> None:
        self._film, self._carry, self._model = film, carry, model

    def recut(self, index: int, subject: Mask) -> Mask:
        """A frame's own cut with the colours of the whole film, which it may have mistaken in part."""
        rgb = _samples(self._film[index])
        reach = max(2, round(OUTSIDE * np.sqrt(subject.sum())))
        is_sure = _eroded(subject, reach) & (self._model.preference(rgb) > 0)
        return _tidy(self._model.cut(rgb, is_sure, _dilated(subject, reach)))

    def spread(self, found: dict[int, FollowedMask], starts: Sequence[int]) -> None:
        """Find the subject from frames that it is known in both ways, as far as that is sure."""
        for start in starts:
            for way in (1, -1):
                found.update(self.sweep(start, way, found, until_doubt=True))

    def joined(self, found: Mapping[int, FollowedMask], one: int, other: int) -> dict[int, FollowedMask]:
        """The frames between two known ones, each from the nearer; not sure where these disagree on the middle."""
        middle = (one + other) // 2
        known = {place: found[place] for place in (one, other)}
        first = islice(self.sweep(one, 1, known, until_doubt=True), middle - one)
        between = dict(first)
        second = self.sweep(other, -1, {**known, **between}, until_doubt=True)
        between.update(second)
        if middle not in between or middle + 1 not in between:
            return between
        carried, _ = self._step(between[middle + 1].subject, self._model, middle + 1, middle)
        if _overlap(carried.subject, between[middle].subject) < MET:
            return {index: replace(each, is_sure=False) for index, each in between.items()}
        return between

    def sweep(
        self, start: int, way: int, found: Mapping[int, FollowedMask], *, until_doubt: bool
    ) -> Iterator[tuple[int, FollowedMask]]:
        """What is found of the subject in one frame after the other.

        Args:
            start: the frame that it is known in; where that is not sure, nothing is.
            way: 1 or -1 frame a step.
            found: where it ends, and the start.
            until_doubt: end also where a step is not sure, and where nothing is left; else such frames are told.
        """
        last, model, began_sure = found[start].subject, self._model, found[start].is_sure
        if until_doubt and not began_sure:
            return
        usual = float(last.sum())
        for index in range(start + way, len(self._film) if way > 0 else -1, way):
            if index in found:
                return
            step, model = self._step(last, model, index - way, index)
            is_left = step.subject.sum() <= LOST * usual
            if until_doubt and (is_left or not step.is_sure):
                return
            if is_left:
                step = FollowedMask(np.zeros_like(last), began_sure and (touches_border(last) or not last.any()))
            elif not until_doubt:
                step = replace(step, is_sure=False)
            yield index, step
            last, usual = step.subject, usual + 0.1 * (float(step.subject.sum()) - usual)

    def _step(self, last: Mask, model: ColourModel, source: int, target: int) -> tuple[FollowedMask, ColourModel]:
        """The subject in a neighbouring frame, and the colours from there on."""
        values, is_believed = self._carry(last.astype(np.float32), source, target)
        carried = values > SOLID
        if not carried.any():
            return FollowedMask(carried, is_sure=False), model
        side = float(np.sqrt(carried.sum()))
        inner, outer = max(2, round(INSIDE * side)), max(3, round(OUTSIDE * side))
        window = _window(carried, 5 * outer)
        rgb, near = np.ascontiguousarray(_samples(self._film[target])[window]), carried[window]
        preferences = model.preference(rgb), self._model.preference(rgb)
        now, ever = (cv2.GaussianBlur(np.clip(each, -EVIDENCE, EVIDENCE), (0, 0), 1) for each in preferences)
        has_colours = is_believed[window] & (now > -1) & (ever > -1) | (now > 0) & (ever > 0)
        cut = _tidy(model.cut(rgb, _eroded(near, inner) & has_colours, _dilated(near, outer)))
        resemblance = float((ever[cut] > 0).mean()) if cut.any() else 0.0
        if resemblance < RESEMBLANCE[1]:
            return FollowedMask(np.zeros_like(last), is_sure=False), model
        ring = _dilated(cut, 2 * outer) & ~cut
        is_whole = 1 / GROWTH < carried.sum() / last.sum() < GROWTH or touches_border(last) or touches_border(carried)
        is_sure = (
            is_whole
            and resemblance >= RESEMBLANCE[0]
            and 1 / GROWTH < cut.sum() / carried.sum() < GROWTH
            and _overlap(cut, near) >= AGREEMENT
            and _purity(preferences[0], cut, ring) >= PURITY
        )
        whole = np.zeros_like(last)
        whole[window] = cut
        learnt = _relearnt(model, rgb[cut & (ever > -1)], rgb[~cut]) if is_sure else model
        return FollowedMask(whole, is_sure), learnt


def _relearnt(model: ColourModel, subject: Pixels, around: Pixels) -> ColourModel:
    """The colours on their way to those of a frame."""
    sides = []
    for mixture, pixels in ((model.around, around), (model.subject, subject)):
        some = pixels[:: max(1, len(pixels) // PIXELS_OF_A_STEP)]
        sides.append(mixture.blended(mixture.relearnt(some), PACE) if len(some) else mixture)
    return ColourModel(*sides)


def _gaps(found: Mapping[int, FollowedMask], count: int) -> list[range]:
    """Runs of frames of which nothing is found."""
    missing = [index for index in range(count) if index not in found]
    starts = [index for index in missing if index - 1 in found or index == 0]
    ends = [index for index in missing if index + 1 in found or index == count - 1]
    return [range(start, end + 1) for start, end in zip(starts, ends, strict=True)]


def _filled(follower: _Follower, found: Mapping[int, FollowedMask], gap: range) -> dict[int, FollowedMask]:
    """The frames of a gap from the nearer of its ends."""
    filled: dict[int, FollowedMask] = {}
    for start, way in ((gap.start - 1, 1), (gap.stop, -1)):
        if start in found:
            for index, mask in follower.sweep(start, way, found, until_doubt=False):
                is_nearer = 2 * abs(index - start) <= len(gap) + (way > 0)
                if index in filled and not is_nearer:
                    break
                filled[index] = mask
    return filled


def _overlap(one: Mask, other: Mask) -> float:
    """Shared pixels by those of either; 0 of two empty masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def touches_border(
    subject: Mask,  # (H, W)
) -> bool:
    """Whether a subject reaches the border of its picture."""
    return bool(subject[0].any() or subject[-1].any() or subject[:, 0].any() or subject[:, -1].any())


def _window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a mask, and a margin around them."""
    sides = (np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0)))
    rows, columns = (slice(max(0, int(side[0]) - margin), int(side[-1]) + 1 + margin) for side in sides)
    return rows, columns


def _tidy(subject: Mask) -> Mask:
    """Without small parts beside the largest, and without small holes; thin limbs stay."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count <= 1:
        return subject
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas >= FRAGMENT * areas.max())[labels]
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    is_small = stats[:, cv2.CC_STAT_AREA] < HOLE * kept.sum()
    is_small[0] = False
    return np.asarray(kept | is_small[holes])


def _dilated(mask: Mask, radius: int) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), _disc(radius)).astype(bool)


def _eroded(mask: Mask, radius: int) -> Mask:
    return cv2.erode(mask.astype(np.uint8), _disc(radius)).astype(bool)


def _disc(radius: int) -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)


def _samples(rgb: Array) -> Pixels:
    return np.rint(rgb * 255).astype(np.uint8)
