"""Gaussians drawn with pixels of another size than those they were fitted with.

The 0.3 square pixels of `a4d.render.gaussians` are part of the shape that a fit has found: they belong to pixels of
that size. Drawn with pixels twice as wide, the same Gaussians would be dilated twice as far, and with finer ones
there would be gaps. So the dilation keeps its size in the world, as the three-dimensional filter of Mip-Splatting
does (Yu et al. 2024), and where pixels are so wide that Gaussians would slip between their centres, the image is
drawn finer and reduced. Their two-dimensional filter, which lowers opacities instead, would make surfaces of
overlapping Gaussians translucent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.render.gaussians import render_gaussians
from a4d.render.gaussians_reference import DILATION
from a4d.render.render import Render, Wants

NEAREST = 1.0
"""Metres, at the least, from a camera to what it looks at: the subject is a unit ball, or a room around it."""

SAME = 0.02
"""Relative difference up to which two sizes of pixels are the same."""

WIDEST = 1.25
"""Widths of a fit's pixels up to which a pixel is drawn at once; a wider one is the mean of several."""

MOST_FINER = 8
"""Parts of a pixel's side at most."""

LAYERS = 8
"""Enough that the mean depth lies on the first surface, though half of the light passes through each Gaussian."""

MOST_LOGIT = 12.0


@dataclass(frozen=True)
class Drawing:
    """How an image is drawn.

    Args:
        cameras: B, with `finer` times as many pixels along each side as the image has.
        dilations: (B,) square pixels of these, float64.
        finer: whole number, from 1.
    """

    cameras: Cameras
    dilations: Tensor
    finer: int

    def reduced(self, drawn: Render) -> Render:
        """What these cameras show, with the pixels of the image: means, of depth over what is seen."""
        if self.finer == 1:
            return drawn
        alpha = self._mean(drawn.alpha)
        depth = self._mean(drawn.alpha * drawn.depth) / torch.where(alpha > 0, alpha, 1)
        channels = {name: self._mean(channel) for name, channel in drawn.channels.items()}
        return dataclasses.replace(drawn, rgb=self._mean(drawn.rgb), alpha=alpha, depth=depth, channels=channels)

    def _mean(self, image: Tensor) -> Tensor:
        parts = image.unflatten(2, (-1, self.finer)).unflatten(1, (-1, self.finer))
        return parts.mean(dim=(2, 4))


def pixel_sizes(cameras: Cameras) -> Tensor:
    """(B,) float64 metres that a pixel is wide at the subject: as far as the origin, but no nearer than `NEAREST`."""
    distances = cameras.positions.double().norm(dim=-1).clamp_min(NEAREST)
    return distances / cameras.intrinsics[:, :2].double().amax(dim=-1)


def drawing(cameras: Cameras, footprint: float | None) -> Drawing:
    """How Gaussians are drawn that were fitted with pixels of a size.

    Args:
        cameras: B.
        footprint: metres, of a pixel of the fit; None draws every image with the dilation of its own pixels.
    """
    ratios = [1.0] * len(cameras) if footprint is None else (pixel_sizes(cameras) / footprint).tolist()
    wider = [1.0 if abs(ratio - 1) <= SAME else ratio for ratio in ratios]
    finer = min(max(math.ceil(max(wider, default=1.0) / WIDEST), 1), MOST_FINER)
    drawn = cameras if finer == 1 else cameras.resized(finer * cameras.width, finer * cameras.height)
    return Drawing(drawn, DILATION * (finer / torch.tensor(wider, dtype=torch.float64)) ** 2, finer)


def render_fitted(
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None = None,  # (B, 3) or (3,) sRGB
    footprint: float | None = None,
    wants: Wants = (),
    signals: Mapping[str, Tensor] | None = None,  # each (N, C) or (B, N, C)
) -> Render:
    """Images of Gaussians that were fitted with pixels of a size.

    Args:
        gaussians: N.
        cameras: B.
        background: as `a4d.render.gaussians.render_gaussians` takes it.
        footprint: as `drawing` takes it.
        wants: as `a4d.render.gaussians.render_gaussians` takes it.
        signals: as `a4d.render.gaussians.render_gaussians` takes them.
    """
    how = drawing(cameras, footprint)
    drawn = render_gaussians(
        gaussians, how.cameras, background, wants=wants, signals=signals, dilations=how.dilations
    )  # fmt: skip
    return how.reduced(drawn)


def render_layered(gaussians: Gaussians, cameras: Cameras, footprint: float | None = None) -> Render:
    """Images over black with depth as if every Gaussian stood in `LAYERS` layers; colour and coverage as they are."""
    # log(1 - opacity) adds up over layers.
    through = LAYERS * torch.nn.functional.logsigmoid(-gaussians.opacity_logits.double())
    logits = (torch.log(-torch.expm1(through)) - through).float().clamp(max=MOST_LOGIT)
    opaque = dataclasses.replace(gaussians, opacity_logits=logits)
    layered = render_fitted(opaque, cameras, footprint=footprint)
    return dataclasses.replace(render_fitted(gaussians, cameras, footprint=footprint), depth=layered.depth)
