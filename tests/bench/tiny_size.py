"""The released priors with tiny random weights, which a rehearsal measures in the place of those of `full_size`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "priors"))

import tiny_models as tiny
from tiny_mv_vdm import mv_vdm
from tiny_priors import BUILDERS

from a4d.priors.protocol import Prior


@dataclass(frozen=True)
class TinySize:
    """A prior as `full_size.FullSize` describes one.

    Args:
        make: builds it on the CPU.
        images: per step.
        frames: of each view; None for still images.
        size: pixels of the images that a step renders.
    """

    make: Callable[[], Prior]
    images: int = 1
    frames: int | None = None
    size: int = tiny.SIZE

    def build(self, device: str, dtype: torch.dtype) -> Prior:
        """Random weights; what encodes texts stays in single precision."""
        prior = self.make()
        for part in [*vars(prior).values(), getattr(prior.encoder, "vae", None)]:
            if isinstance(part, nn.Module):
                part.to(device, dtype)
        return prior


PRIORS: dict[str, TinySize] = {
    "stable-diffusion-1.5": TinySize(BUILDERS["stable_diffusion"]),
    "deep-floyd-if-1": TinySize(BUILDERS["deep_floyd"]),
    "zero123-xl": TinySize(BUILDERS["zero123"]),
    "mvdream-2.1": TinySize(BUILDERS["mvdream"], images=4),
    "modelscope-1.7b": TinySize(BUILDERS["text_to_video"], images=4, frames=4),
    "controlnet-tile": TinySize(BUILDERS["controlnet_tile"]),
    "mv-vdm": TinySize(mv_vdm, images=8, frames=2),
}
