"""A mask taken from one frame of a film to the next: carried along the flow, and cut anew around its outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np

from a4d.matting.colour_mixture import ColourModel, Pixels
from a4d.matting.looks import purity, samples
from a4d.matting.masks import Mask, dilated, eroded, overlap, tidy, touches_border, window
from a4d.pixels import SOLID, Array

Carry = Callable[[Array, int, int], tuple[Array, Mask]]
"""A map (H, W) of a frame, that frame and another, to the map as it is in the other, and where that can be believed."""

INSIDE, OUTSIDE = 0.05, 0.1
"""Half widths of the band in which the outline is sought, as shares of the square root of the subject's area."""

PACE = 0.15
"""By how much the colours of the last frame change those that are kept."""

EVIDENCE = 5.0
"""Logarithm of likelihoods beyond which a single pixel's colour says no more."""

PIXELS_OF_A_STEP = 4000
"""From which the colours of a frame are learnt."""

GROWTH = 1.6
"""By which the area may change from frame to frame beyond what the flow says."""

AGREEMENT = 0.5
"""Overlap of a cut with what was carried to it, below which it is another thing."""

MET = 0.7
"""Overlap below which neither of two masks of one frame is believed."""

PURITY = 0.7
"""Mean share of the pixels within and around a cut whose colours say so, below which it has gone astray."""

RESEMBLANCE = 0.6, 0.5
"""Shares of a cut's pixels that have the subject's colours, below which it is in doubt, and something else."""

LOST = 0.05
"""Share of the subject's usual area below which nothing of it is left."""


@dataclass(frozen=True)
class FollowedMask:
    """A subject in one frame.

    Args:
        subject: (H, W); empty where it is not seen.
        is_sure: whether nothing speaks against it.
    """

    subject: Mask
    is_sure: bool


class Follower:
    """Takes a subject from one frame to the next.

    Args:
        film: of frames (H, W, 3).
        carry: along the flow.
        model: the subject's colours and those around it, over the whole film.
    """

    def __init__(self, film: Sequence[Array], carry: Carry, model: ColourModel) -> None:
        self._film, self._carry, self._model = film, carry, model

    @property
    def count(self) -> int:
        """Frames of the film."""
        return len(self._film)

    def recut(self, index: int, subject: Mask) -> Mask:
        """A frame's own cut with the colours of the whole film, which it may have mistaken in part."""
        rgb = samples(self._film[index])
        reach = max(2, round(OUTSIDE * np.sqrt(subject.sum())))
        is_sure = eroded(subject, reach) & (self._model.preference(rgb) > 0)
        return tidy(self._model.cut(rgb, is_sure, dilated(subject, reach)))

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
        if overlap(carried.subject, between[middle].subject) < MET:
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
        near_by = window(carried, 5 * outer)
        rgb, near = np.ascontiguousarray(samples(self._film[target])[near_by]), carried[near_by]
        preferences = model.preference(rgb), self._model.preference(rgb)
        now, ever = (cv2.GaussianBlur(np.clip(each, -EVIDENCE, EVIDENCE), (0, 0), 1) for each in preferences)
        has_colours = is_believed[near_by] & (now > -1) & (ever > -1) | (now > 0) & (ever > 0)
        cut = tidy(model.cut(rgb, eroded(near, inner) & has_colours, dilated(near, outer)))
        resemblance = float((ever[cut] > 0).mean()) if cut.any() else 0.0
        if resemblance < RESEMBLANCE[1]:
            return FollowedMask(np.zeros_like(last), is_sure=False), model
        ring = dilated(cut, 2 * outer) & ~cut
        is_whole = 1 / GROWTH < carried.sum() / last.sum() < GROWTH or touches_border(last) or touches_border(carried)
        is_sure = (
            is_whole
            and resemblance >= RESEMBLANCE[0]
            and 1 / GROWTH < cut.sum() / carried.sum() < GROWTH
            and overlap(cut, near) >= AGREEMENT
            and purity(preferences[0], cut, ring) >= PURITY
        )
        whole = np.zeros_like(last)
        whole[near_by] = cut
        learnt = _relearnt(model, rgb[cut & (ever > -1)], rgb[~cut]) if is_sure else model
        return FollowedMask(whole, is_sure), learnt


def _relearnt(model: ColourModel, subject: Pixels, around: Pixels) -> ColourModel:
    """The colours on their way to those of a frame."""
    sides = []
    for mixture, pixels in ((model.around, around), (model.subject, subject)):
        some = pixels[:: max(1, len(pixels) // PIXELS_OF_A_STEP)]
        sides.append(mixture.blended(mixture.relearnt(some), PACE) if len(some) else mixture)
    return ColourModel(*sides)
