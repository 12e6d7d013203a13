"""Which of several views of one thing has a mask that the others contradict.

The visual hull of right masks covers each of them (Laurentini 1994). A mask that is shifted, empty or inverted carves
away what the others show, and leaves parts of theirs bare; one that shows more than there is stays bare itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a4d.estimation.silhouettes import Silhouettes

FEWEST = 4
"""Views of which one can be told to be wrong: of fewer, any two may be right."""

MOST = 1 / 3
"""Share of the views that may be wrong: beyond it nobody knows which are right."""

CARVED = 0.02
"""Mean share of the others' masks that are bare for one view's sake alone, from which that view is wrong."""

MENDED, RIVAL = 0.5, 0.5
"""Share of all that is bare which this must be, at the least, and share of it that another view may have, at most."""

BARE, COVERED = 0.1, 0.2
"""Share of a mask that is bare, from which it shows what is not there, and share of that which others may be bare."""


@dataclass(frozen=True)
class Contradictions:
    """What masks say of each other.

    Args:
        wrong: the views, the worst first, without which the masks of the others agree.
        bare: mean share of the others' masks that their own hull leaves bare, in [0, 1].
        suspect: of the others the one for whose sake most is bare, where it is told from the next.
    """

    wrong: tuple[int, ...]
    bare: float
    suspect: int | None = None


def contradictions(views: Silhouettes) -> Contradictions:
    """Look for masks that the others contradict, one after the other.

    Args:
        views: of one moment, with a pixel of slack, so that edges alone leave nothing bare.
    """
    wrong = [view for view in range(len(views)) if not views.inside[view].any()]
    while True:
        kept = np.setdiff1d(np.arange(len(views)), wrong)
        if not len(kept):
            return Contradictions(tuple(wrong), 0.0)
        cover = _cover(views, kept)
        worst = _worst(cover) if len(kept) >= FEWEST and len(wrong) + 1 <= MOST * len(views) else None
        if worst is None:
            told = _carver(cover) if len(kept) > 2 else None
            suspect = None if told is None else int(kept[told.view])
            return Contradictions(tuple(wrong), float(cover.bare.mean()), suspect)
        wrong.append(int(kept[worst]))


@dataclass(frozen=True)
class _Cover:
    """What the hull of some views leaves bare, and what it would cover without one of them.

    Args:
        bare: (K,) share of each mask.
        mended: (K, K) share of each mask (row) that is covered as soon as one view (column) is left out.
    """

    bare: NDArray[np.float64]
    mended: NDArray[np.float64]


def _cover(views: Silhouettes, kept: NDArray[np.int64]) -> _Cover:
    inside, pixel, masks = views.inside[kept], views.pixel[kept], views.masks[kept]
    carves = ~inside & (pixel >= 0)
    count = carves.sum(axis=0)
    hull, alone = count == 0, count == 1
    carver = carves[:, alone].argmax(axis=0)
    bare, mended = np.zeros(len(kept)), np.zeros((len(kept), len(kept)))
    for view, mask in enumerate(masks):
        # The last place is that of voxels which no pixel shows.
        is_bare = np.append(mask, False)
        is_bare[pixel[view, hull]] = False
        is_bare[-1] = False
        # What stands on edge may be thinner than a pixel, and no mask of it is left.
        area = max(mask.sum(), 1)
        bare[view] = is_bare.sum() / area
        shown = pixel[view, alone]
        is_mended = is_bare[shown]
        pairs = np.unique(carver[is_mended] * len(mask) + shown[is_mended])
        mended[view] = np.bincount(pairs // len(mask), minlength=len(kept)) / area
    return _Cover(bare, mended)


def _worst(cover: _Cover) -> int | None:
    """The view that shows what two others do not, or carves away what two others show; None where all may be right.

    One witness tells nothing: either of the two may be wrong.
    """
    loudest = int(cover.bare.argmax())
    unexplained = cover.bare[loudest] - cover.mended[loudest].max()
    if unexplained > BARE and np.delete(cover.bare, loudest).mean() < COVERED * unexplained:
        return loudest
    carver = _carver(cover)
    if carver is None:
        return None
    others = np.delete(cover.bare, [carver.view, carver.witness])
    return carver.view if carver.carved > MENDED * others.mean() else None


@dataclass(frozen=True)
class _Carver:
    """A view that carves away what others show, which of them misses most of it, and the mean share of the rest's."""

    view: int
    witness: int
    carved: float


def _carver(cover: _Cover) -> _Carver | None:
    """The view for whose sake most is bare; None where that is little, or another one's share is near."""
    mended = (cover.mended.sum(axis=0) - cover.mended.max(axis=0)) / (len(cover.bare) - 2)
    rival, view = np.argsort(mended)[-2:]
    is_told = mended[view] > CARVED and mended[rival] < RIVAL * mended[view]
    return _Carver(int(view), int(cover.mended[:, view].argmax()), float(mended[view])) if is_told else None
