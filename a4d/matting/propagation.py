"""A subject followed through a film, from the frames that show it clearly to all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from a4d.matting.following import MET, Carry, FollowedMask, Follower
from a4d.matting.looks import Look, rated_looks
from a4d.matting.masks import Mask, overlap
from a4d.pixels import Array

TRUSTED = 0.5
"""Certainty from which a look is begun from whatever has been carried to it: limbs that were lost on the way return."""

HEARD = 0.25
"""Certainty from which a look that shows something else puts what has been carried to it in doubt."""

USABLE = 0.1
"""Certainty below which nobody starts at a look while there is a better one."""


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
    model, rated = rated_looks(film, [index for index in range(len(film)) if index not in found])
    follower = Follower(film, carry, model)
    follower.spread(found, list(found))
    trusted = [index for index in rated if index not in found and rated[index].certainty >= TRUSTED]
    found.update({index: FollowedMask(follower.recut(index, rated[index].subject), is_sure=True) for index in trusted})
    for one, other in pairwise(sorted(found)):
        found.update(follower.joined(found, one, other))
    follower.spread(found, trusted)
    _spread_from_others(follower, found, rated)
    for gap in _gaps(found, len(film)):
        found.update(_filled(follower, found, gap))
    for index in _contradicted(found, rated):
        if index not in (known or {}):
            found[index] = replace(found[index], is_sure=False)
    return [found[index] for index in range(len(film))]


def _spread_from_others(follower: Follower, found: dict[int, FollowedMask], rated: Mapping[int, Look]) -> None:
    """Go from the looks that nothing has reached, the clearest first, as far as they can be used."""
    for index in sorted(rated, key=lambda index: -rated[index].certainty):
        is_usable = rated[index].certainty >= USABLE
        if index in found or (found and not is_usable):
            continue
        found[index] = FollowedMask(follower.recut(index, rated[index].subject), is_usable)
        before = len(found)
        follower.spread(found, [index])
        if len(found) == before and follower.count > 1:  # no neighbour shows the same
            found[index] = replace(found[index], is_sure=False)


def clearest_cut(
    film: Sequence[Array],  # (H, W, 3) sRGB in [0, 1] each, of one size
) -> tuple[int, Mask]:
    """The frame that shows the most prominent thing of a film most clearly, and (H, W) where it is there."""
    _, rated = rated_looks(film, range(len(film)))
    index = max(rated, key=lambda each: rated[each].certainty)
    return index, rated[index].subject


def _contradicted(found: Mapping[int, FollowedMask], looks: Mapping[int, Look]) -> list[int]:
    """The frames whose nearest look shows something else than what is found of the subject there."""
    others = {
        index
        for index, look in looks.items()
        if look.certainty >= HEARD and overlap(look.subject, found[index].subject) < MET
    }
    return [index for index in found if others and min(looks, key=lambda place: abs(place - index)) in others]


def _gaps(found: Mapping[int, FollowedMask], count: int) -> list[range]:
    """Runs of frames of which nothing is found."""
    missing = [index for index in range(count) if index not in found]
    starts = [index for index in missing if index - 1 in found or index == 0]
    ends = [index for index in missing if index + 1 in found or index == count - 1]
    return [range(start, end + 1) for start, end in zip(starts, ends, strict=True)]


def _filled(follower: Follower, found: Mapping[int, FollowedMask], gap: range) -> dict[int, FollowedMask]:
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
