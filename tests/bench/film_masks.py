"""Follow rigged animals over a ground that moves under them, and compare the masks with the true ones.

python tests/bench/film_masks.py DATA [fox horse shark] [--frames 48] [--size 256] [--seed 0]

DATA holds rigged animals. Each repeats its clip while a camera goes half around it over a patterned ground. Printed are
the overlap of the masks, the share of frames in doubt, and how many of the frames whose mask is wrong, and of those
whose mask is right, are in doubt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from a4d.runtime import prepare_process

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from a4d.estimation.flow import Carrier  # noqa: E402
from a4d.geometry.assets.placement import Orientation, normalising, placed  # noqa: E402
from a4d.geometry.assets.posing import deform  # noqa: E402
from a4d.geometry.cameras import orbit  # noqa: E402
from a4d.io.assets.asset_reader import read_asset  # noqa: E402
from a4d.matting.propagation import follow_subject  # noqa: E402
from a4d.pixels import SOLID  # noqa: E402
from a4d.render.asset import AssetRenderer  # noqa: E402

ANIMALS = {
    "fox": ("rigged_quaternius/animals_pack/Fox.glb", "Gallop"),
    "horse": ("rigged_quaternius/animals_pack/Horse.glb", "Gallop"),
    "shark": ("rigged_quaternius/fish_pack/Shark.glb", "Swim"),
    "khronos-fox": ("gltf_khronos/Fox/glTF-Binary/Fox.glb", "Run"),
}
GROUNDS = {
    "meadow": ((0.16, 0.30, 0.10), (0.45, 0.55, 0.22), (0.38, 0.30, 0.18)),
    "carpet": ((0.55, 0.50, 0.52), (0.72, 0.66, 0.60), (0.40, 0.42, 0.50)),
    "desert": ((0.62, 0.50, 0.36), (0.50, 0.38, 0.26), (0.78, 0.68, 0.52)),
}
"""sRGB of the patches of a ground; the last is the horse's own."""

DISTANCE, FOV, ELEVATION = 3.4, 40.0, 15.0
TURNED, CYCLES = 150.0, 3
WRONG, RIGHT = 0.8, 0.9
"""Overlaps below which a mask is wrong, and above which it is right."""


def filmed(data: Path, animal: str, count: int, size: int) -> NDArray[np.float32]:
    """(F, H, W, 4) pictures of an animal that repeats its clip, which a camera goes half around."""
    name, clip_name = ANIMALS[animal]
    source = read_asset(data / name)
    clip = next(clip for clip in source.clips if clip.name.endswith(clip_name))
    seconds = [index * CYCLES / count % 1 * clip.duration for index in range(count)]
    asset = placed(source, normalising(Orientation(), [deform(source, clip, second).vertices for second in seconds]))
    renderer, share = AssetRenderer(asset), torch.arange(count) / count
    cameras = orbit(30 + TURNED * share, torch.full((count,), ELEVATION), DISTANCE, FOV, size, size)
    return torch.stack(
        [renderer.render(deform(asset, clip, second), cameras[index]).rgba for index, second in enumerate(seconds)]
    ).numpy()


def ground(name: str, side: int, seed: int) -> NDArray[np.float32]:
    """(S, S, 3) patches of three colours, of all sizes, as clouds have them."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(generator.normal(size=(3, side, side))) / frequency**1.3
    clouds = np.fft.ifft2(spectrum).real
    weights = np.exp(1.5 * clouds / clouds.std(axis=(1, 2), keepdims=True))
    return np.einsum("chw,cd->hwd", weights / weights.sum(0), np.array(GROUNDS[name])).astype(np.float32)


def over_ground(rgba: NDArray[np.float32], name: str, seed: int) -> list[NDArray[np.float32]]:
    """F of (H, W, 3), the animal before a ground that goes by, with the noise of a camera."""
    count, size, noise = len(rgba), rgba.shape[1], np.random.default_rng(seed)
    wide, frames = ground(name, 2 * size, seed), []
    for index, frame in enumerate(rgba):
        shift = round(index / max(count - 1, 1) * size)
        beside = wide[shift // 2 : shift // 2 + size, shift : shift + size]
        mixed = frame[..., :3] * frame[..., 3:] + beside * (1 - frame[..., 3:])
        frames.append((mixed + noise.normal(0, 0.01, mixed.shape)).clip(0, 1).astype(np.float32))
    return frames


def line(rgba: NDArray[np.float32], frames: list[NDArray[np.float32]]) -> str:
    """How the masks of a film are, in words."""
    followed = follow_subject(frames, Carrier(frames))
    true = rgba[..., 3] > SOLID
    shares = np.array([(f.subject & t).sum() / (f.subject | t).sum() for f, t in zip(followed, true, strict=True)])
    in_doubt = ~np.array([each.is_sure for each in followed])
    wrong, right = shares < WRONG, shares > RIGHT
    return (
        f"IoU {shares.mean():.3f} in the mean, {shares.min():.3f} at worst; {in_doubt.mean():.0%} in doubt: "
        f"{(in_doubt & wrong).sum()} of {wrong.sum()} wrong, {(in_doubt & right).sum()} of {right.sum()} right"
    )


def main() -> None:
    """Print a line per animal and ground."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("animals", nargs="*", default=list(ANIMALS))
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for animal in options.animals:
        rgba = filmed(options.data, animal, options.frames, options.size)
        for name in GROUNDS:
            print(f"{animal:12s} {name:8s} {line(rgba, over_ground(rgba, name, options.seed))}", flush=True)


if __name__ == "__main__":
    main()
