"""Frames as a camera would have taken them that always looks at the subject, which makes all of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a4d.estimation.flow import inverse_search
from a4d.estimation.objects.courses import Array
from a4d.pixels import SOLID, WHITE, composite
from a4d.pixels import Array as Picture

SIDE = 96
"""Pixels of a crop's side; silhouettes say nothing finer of a body that moves."""

FILLED = 0.46
"""Share of the side that the largest silhouette's radius takes."""

FULL_RADIUS = 99.5
"""Percentile of the distances to a silhouette's middle that counts as its radius."""

CUT_OFF = 0.25
"""Pixels of a silhouette along the picture's border, as a share of its area's root, above which it is not whole."""

COVERED = 0.4
"""Coverage from which a reduced pixel is the subject's: thin limbs are to be kept."""


@dataclass(frozen=True)
class Crops:
    """F square pictures of a subject, seen along the ray through the middle of its silhouette.

    Args:
        rgba: (F, S, S, 4) float32 sRGB, straight alpha.
        focal: pixels; the principal point is the middle.
        camera_from_crop: (F, 3, 3) turns the axes of a crop's camera into those of the frame's, OpenCV's.
        is_seen: (F,) whether the subject is.
        is_whole: (F,) whether hardly anything of it is beyond the picture's border either. The other crops are empty,
            and look where the subject should be.
    """

    rgba: Picture
    focal: float
    camera_from_crop: Array
    is_seen: NDArray[np.bool_]
    is_whole: NDArray[np.bool_]

    @property
    def extent(self) -> float:
        """Half the edge of a box that holds the subject, at a distance of 1."""
        return 1.1 * FILLED * self.rgba.shape[1] / self.focal

    def flows(self) -> Picture:
        """(F, S, S, 2) pixels right and down that lead from each crop to the next; 0 where one is not whole."""
        flows = np.zeros((*self.rgba.shape[:3], 2), np.float32)
        for index in np.flatnonzero(self.is_whole[:-1] & self.is_whole[1:]).tolist():
            flows[index] = self.flow(index, index + 1) * self.rgba[index, ..., 3:]
        return flows

    def flow(self, first: int, second: int) -> Picture:
        """(S, S, 2) pixels right and down that lead from one crop to another."""
        return inverse_search(composite(self.rgba[first], WHITE), composite(self.rgba[second], WHITE))

    def reduced(self, side: int, frames: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Picture]:
        """(K, s, s) masks and (K, s, s, 3) colours of some frames with fewer pixels."""
        premultiplied = self.rgba[frames]
        premultiplied[..., :3] *= premultiplied[..., 3:]
        small = np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in premultiplied])
        masks = small[..., 3] > COVERED
        colours = small[..., :3] / np.maximum(small[..., 3:], 1e-3) * masks[..., None]
        return masks, np.ascontiguousarray(colours, np.float32)


def look_at_subject(
    film: Sequence[Picture],  # F of (H, W, 4) sRGB in [0, 1], straight alpha
    lens: Array,  # (4,) fx, fy, cx, cy in pixels
    filmed: Array,  # (4,) left, top, right, bottom in pixels of what was filmed
) -> Crops:
    """Turn the camera of each frame toward the subject, and enlarge all by the same factor."""
    middles, radii = np.full((len(film), 2), np.nan), np.zeros(len(film))
    is_seen = np.zeros(len(film), np.bool_)
    left, top, right, bottom = filmed.round().astype(int)
    for index, frame in enumerate(film):
        inside = frame[top:bottom, left:right, 3] > SOLID
        is_seen[index] = inside.any()
        border = inside[0].sum() + inside[-1].sum() + inside[:, 0].sum() + inside[:, -1].sum()
        if not is_seen[index] or border > CUT_OFF * np.sqrt(inside.sum()):
            continue
        places = np.argwhere(inside)[:, ::-1] + 0.5 + [left, top]
        middles[index] = places.mean(0)
        radii[index] = np.percentile(np.linalg.norm(places - middles[index], axis=1), FULL_RADIUS)
    is_whole = np.isfinite(middles[:, 0])
    if is_whole.any():
        known = np.flatnonzero(is_whole)
        middles = np.stack([np.interp(np.arange(len(film)), known, middles[known, axis]) for axis in range(2)], axis=-1)
    focal = float(lens[0]) * FILLED * SIDE / max(float(radii.max()), 1.0)
    turns = np.stack([_toward((middle - lens[2:]) / lens[:2]) for middle in middles])
    pictures = [
        _seen_along(film[i], lens, turns[i], focal, is_whole=whole) for i, whole in enumerate(is_whole.tolist())
    ]
    return Crops(np.stack(pictures), focal, turns, is_seen, is_whole)


def _toward(slopes: Array) -> Array:
    """(3, 3) the smallest turn that takes the viewing axis to a ray of slopes right and down."""
    ray = np.array([*np.nan_to_num(slopes), 1.0])
    axis = np.cross([0.0, 0.0, 1.0], ray / np.linalg.norm(ray))
    sine = np.linalg.norm(axis)
    return np.asarray(cv2.Rodrigues(axis / max(sine, 1e-12) * np.arcsin(sine))[0], np.float64)


def _seen_along(frame: Picture, lens: Array, turn: Array, focal: float, *, is_whole: bool) -> Picture:
    """(S, S, 4) a frame as a camera takes it that has been turned; empty where the subject is not whole."""
    if not is_whole:
        return np.zeros((SIDE, SIDE, 4), np.float32)
    finer = max(1, round(float(lens[0]) / focal))
    wide = SIDE * finer
    whole = np.array([[lens[0], 0, lens[2] - 0.5], [0, lens[1], lens[3] - 0.5], [0, 0, 1]])
    own = np.array([[focal * finer, 0, wide / 2 - 0.5], [0, focal * finer, wide / 2 - 0.5], [0, 0, 1]])
    premultiplied = np.concatenate([frame[..., :3] * frame[..., 3:], frame[..., 3:]], axis=-1).astype(np.float32)
    turned = cv2.warpPerspective(premultiplied, own @ turn.T @ np.linalg.inv(whole), (wide, wide))
    small = cv2.resize(turned, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small[..., :3] = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    return small.clip(0, 1)
