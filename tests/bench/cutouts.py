"""Cut-outs of subjects whose alpha is known, before grounds that are made: plain, shaded, floors with an edge, plinths.

    python tests/bench/cutouts.py PICTURE... [--grounds NAME...] [--size N]

Pictures have alpha. The overlap (IoU of soft alphas) is printed for each and, for each ground, in the median and the
worst decile. How sharp an outline is, and how deep in a floor its subject stands, were chosen on TripoSR's chair and
horse, the panda, and renders of the meshes that `inflation.py` names in `CHOSEN_ON`: give others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from a4d.framing import crop_around, cut
from a4d.io.pictures.images import read_image
from a4d.matting.matte import matte
from a4d.pixels import Array

COLOURS = {"white": (1.0, 1.0, 1.0), "grey": (0.6, 0.6, 0.6), "cream": (0.93, 0.9, 0.84)}
FLOOR = 0.86
"""Of the frame's height: where a slab's middle lies, just above the lowest row of the subject."""


def places(size: int) -> tuple[Array, Array]:
    """(N, N) row and column of each pixel in [0, 1]."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return y, x


def plain(size: int) -> Array:
    """(N, N) light: the same everywhere."""
    return np.ones((size, size))


def gradient(size: int) -> Array:
    """Light that falls off toward a corner."""
    y, x = places(size)
    return 1 - 0.18 * y - 0.08 * x


def shadow(size: int) -> Array:
    """A soft shadow under the subject."""
    y, x = places(size)
    return 1 - 0.4 * np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - FLOOR - 0.02) / 0.05) ** 2)


def slab(size: int) -> Array:
    """A darker disc with an edge, seen at a slant, wider than the subject."""
    y, x = places(size)
    return np.where(np.hypot((x - 0.5) / 0.46, (y - FLOOR) / 0.08) < 1, 0.75, 1.0)


def bright_slab(size: int) -> Array:
    """A disc that is a little darker, with a dark rim."""
    y, x = places(size)
    away = np.hypot((x - 0.5) / 0.46, (y - FLOOR) / 0.08)
    return np.where(away < 0.95, 0.88, np.where(away < 1, 0.6, 1.0))


def contact(size: int) -> Array:
    """A shadow at the subject's feet that fades within few pixels, and to one side."""
    y, x = places(size)
    return 1 - 0.6 * np.exp(-(((x - 0.62) / 0.25) ** 2) - ((y - FLOOR - 0.01) / 0.018) ** 2)


def plinth(size: int) -> Array:
    """Nothing but the block that carries the subject, which is a part of it: see `carried`."""
    return plain(size)


GROUNDS: dict[str, Callable[[int], Array]] = {
    each.__name__: each for each in (plain, gradient, shadow, contact, slab, bright_slab, plinth)
}


def overlap(found: Array, truth: Array) -> float:
    return float(np.minimum(found, truth).sum() / np.maximum(found, truth).sum())


def carried(subject: Array, colour: tuple[float, ...]) -> Array:
    """A subject on top of a block of a darker shade of what is around it, a third wider than what stands on it."""
    covered = subject[..., 3] > 0.5
    size, rows = len(subject), np.flatnonzero(covered.any(1))
    feet = np.flatnonzero(covered[rows[-1] - len(rows) // 10 : rows[-1] + 1].any(0))
    reach = max(0.65 * np.ptp(feet), 0.3 * np.ptp(np.flatnonzero(covered.any(0))))
    y, x = np.mgrid[:size, :size]
    block = (np.abs(x - feet.mean()) < reach) & (y >= rows[-1]) & (y < rows[-1] + 0.05 * size)
    alpha = np.maximum(subject[..., 3], block)[..., None]
    shown = np.where((block & ~covered)[..., None], 0.7 * np.array(colour), subject[..., :3])
    return np.concatenate([shown, alpha], axis=-1).astype(np.float32)


def cut_out(subject: Array, light: Array, colour: tuple[float, ...]) -> float:
    """How well a subject is found before light of a colour."""
    ground = np.array(colour) * cv2.GaussianBlur(light, (0, 0), 0.7)[..., None]
    noise = np.random.default_rng(0).normal(0, 0.004, ground.shape)
    alpha = subject[..., 3:]
    picture = np.clip(alpha * subject[..., :3] + (1 - alpha) * ground + noise, 0, 1).astype(np.float32)
    return overlap(matte(picture, must_show=False).rgba[..., 3], subject[..., 3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--grounds", nargs="+", choices=list(GROUNDS), default=list(GROUNDS))
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in options.grounds}
    for path in options.pictures:
        rgba = read_image(path)
        subject = cut(rgba, crop_around(rgba[..., 3], options.size))
        for name in options.grounds:
            light = GROUNDS[name](options.size)
            scores = [
                cut_out(carried(subject, colour) if name == plinth.__name__ else subject, light, colour)
                for colour in COLOURS.values()
            ]
            found[name] += scores
            print(f"{path.parent.name}/{path.stem:20s}{name:14s}" + "".join(f"{score:8.3f}" for score in scores))
    found["all"] = [score for scores in found.values() for score in scores]
    for name, scores in found.items():
        print(f"{name:14s}median {np.median(scores):.3f}, worst decile {np.quantile(scores, 0.1):.3f} ({len(scores)})")


if __name__ == "__main__":
    main()
