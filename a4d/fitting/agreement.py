"""Photographs whose masks the others contradict: a single one would carve the subject out of all of them."""

from __future__ import annotations

from a4d.estimation.mask_agreement import contradictions
from a4d.estimation.silhouettes import PICTURE, silhouettes
from a4d.views import Frames
from a4d.workspace.transaction import Transaction

DOUBTED = 0.05
"""Mean share of the masks that is bare, from which one is named though it is not told to be wrong."""


def agreeing(work: Transaction, frames: Frames, radius: float) -> tuple[Frames, dict[str, float]]:
    """Leave out photographs whose masks the others contradict; the user is told of each.

    Args:
        work: takes the warning.
        frames: with cameras; those to train on are judged.
        radius: metres, of the ball around the origin in which the subject is.

    Returns:
        The frames that are left, of which at least two are to train on; and `outlines_bare`, the mean share in [0, 1]
        of their masks that their hull does not cover. Nothing is measured where most of the photographs have no mask.
    """
    train = frames.select("train")
    masked = [index for index in train if float(frames.reduced(index, PICTURE)[0][..., 3].min()) < 0.5]
    if len(train) < 2 or 2 * len(masked) <= len(train):
        return frames, {}
    found = contradictions(silhouettes(frames, train, radius, slack=1))
    wrong = [train[view] for view in sorted(found.wrong)]
    if len(train) - len(wrong) < 2:
        return frames, {}
    if wrong:
        names = ", ".join(_named(work, frames.names[index]) for index in wrong)
        work.warn(f"the masks of all other photographs contradict that of {names}, which is left out: give it a mask")
    elif found.suspect is not None and found.bare > DOUBTED:
        name = _named(work, frames.names[train[found.suspect]])
        work.warn(f"the mask of {name} contradicts those of the other photographs most: look at it")
    kept = [index for index in range(len(frames)) if index not in wrong]
    return (frames.subset(kept) if wrong else frames), {"outlines_bare": found.bare}


def _named(work: Transaction, name: str) -> str:
    """The picture of a frame, and the photograph that it was made of where that is known."""
    picture, files = f"images/{name}.png", work.note("files") or []
    return f"{picture} ({files[int(name)]})" if name.isdigit() and int(name) < len(files) else picture
