"""Optical flow between two frames, and where it can be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.pixels import SOLID, WHITE, Array, composite

ROUND_TRIP = 0.01, 0.5
"""Share of the squared lengths, and squared pixels, by which a way there and back may miss (Sundaram et al. 2010)."""

FINEST_SCALE = 0
"""Level of the pyramid at which dense inverse search ends: that of the pictures themselves."""

Estimator = Callable[[Array, Array, "Array | None"], Array]
"""Two pictures (H, W, 3) in [0, 1] and a guess, to (H, W, 2) pixels right and down from the first to the second."""


def inverse_search(first: Array, second: Array, guess: Array | None = None) -> Array:
    """Where each pixel of a picture is in another, by dense inverse search without a network (Kroeger et al. 2016).

    Args:
        first: (H, W, 3) sRGB in [0, 1].
        second: (H, W, 3).
        guess: (H, W, 2).

    Returns:
        (H, W, 2) float32 pixels right and down.
    """
    start = np.zeros((*first.shape[:2], 2), np.float32) if guess is None else np.array(guess, np.float32)
    # An object that has computed once keeps its start, even for pictures of another size.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(FINEST_SCALE)
    before, after = (cv2.cvtColor(np.rint(each * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for each in (first, second))
    return np.asarray(search.calc(before, after, start), np.float32)


@dataclass(frozen=True)
class KnownFlow:
    """Flow from one frame of a film to another.

    Args:
        start: index of the frame.
        step: how many frames later the other is; negative where it is earlier.
        flow: (H, W, 2) pixels right and down.
        valid: (H, W) bool, where it can be believed.
    """

    start: int
    step: int
    flow: Array
    valid: NDArray[np.bool_]


def film_flows(
    film: Sequence[Array],  # (H, W, 4) sRGB in [0, 1], straight alpha
    strides: Sequence[int],
    estimator: Estimator = inverse_search,
) -> Iterator[KnownFlow]:
    """The flow between all frames of a film that are so many apart, forward and backward.

    Args:
        film: read again when a frame is asked for again.
        strides: in frames.
        estimator: of a pair; longer ways are guessed from the steps that they consist of.
    """

    @lru_cache(maxsize=2 * max(strides) + 2)
    def step(first: int, second: int) -> Array:
        return estimator(composite(film[first], WHITE), composite(film[second], WHITE), None)

    def between(first: int, second: int) -> Array:
        way = 1 if second > first else -1
        if second == first + way:
            return step(first, second)
        guess = step(first, first + way)
        for middle in range(first + way, second, way):
            guess = guess + followed(step(middle, middle + way), guess)
        return estimator(composite(film[first], WHITE), composite(film[second], WHITE), guess)

    for first in range(len(film)):
        for stride in strides:
            second = first + stride
            if second >= len(film):
                continue
            there, back = between(first, second), between(second, first)
            own, other = film[first][..., 3], film[second][..., 3]
            yield KnownFlow(first, stride, there, is_consistent(there, back, own, other))
            yield KnownFlow(second, -stride, back, is_consistent(back, there, other, own))


def followed(
    values: Array,  # (H, W, C)
    flow: Array,  # (H, W, 2)
) -> Array:
    """(H, W, C) values where the flow leads, bilinear; 0 beyond the picture."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    moved = cv2.remap(
        values.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    return np.asarray(moved, np.float32).reshape(*flow.shape[:2], -1)


def is_consistent(
    flow: Array,  # (H, W, 2) from a frame to another
    back: Array,  # (H, W, 2) from the other to the frame
    subject: Array,  # (H, W) alpha of the frame
    other: Array,  # (H, W) alpha of the other
) -> NDArray[np.bool_]:
    """(H, W) where a pixel shows the subject in both frames, and the way there and back ends where it began."""
    arrives = followed(other[..., None], flow)[..., 0] > SOLID
    return (subject > SOLID) & arrives & returns(flow, back)


def returns(
    flow: Array,  # (H, W, 2) from a frame to another
    back: Array,  # (H, W, 2) from the other to the frame
) -> NDArray[np.bool_]:
    """(H, W) where the way there stays in the picture, and the way back ends where it began."""
    height, width = flow.shape[:2]
    rows, columns = np.indices((height, width), dtype=np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    is_inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    returned = followed(back, flow)
    share, slack = ROUND_TRIP
    missed = np.square(flow + returned).sum(-1)
    allowed = share * (np.square(flow).sum(-1) + np.square(returned).sum(-1)) + slack
    return is_inside & (missed <= allowed)


class Carrier:
    """Carries maps between the frames of a film along the flow between them.

    Args:
        film: (H, W, 3) sRGB in [0, 1] each, of one size; read again when a frame is asked for again.
        estimator: of the flow.
    """

    def __init__(self, film: Sequence[Array], estimator: Estimator = inverse_search) -> None:
        self._between = lru_cache(maxsize=4)(lambda first, second: estimator(film[first], film[second], None))

    def __call__(
        self,
        values: Array,  # (H, W) of the frame `source`
        source: int,
        target: int,
    ) -> tuple[Array, NDArray[np.bool_]]:
        """(H, W) the values as they are in the frame `target`, and (H, W) where that can be believed."""
        flow = self._between(target, source)
        return followed(values[..., None], flow)[..., 0], returns(flow, self._between(source, target))
