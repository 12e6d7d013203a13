"""What the network's output is centred on: the known pictures, moved, mirrored and put over one another.

Each image asked for has six sources: its own view at rest, twice, so that a limb can move over a body; the three
views a quarter, a half and three quarters of a turn further, into which a turning object turns; and the view from
behind, mirrored, which has the outline of the view in front. Unknown ones are white.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

SOURCES = 6
FLOW_SCALE = 0.25
"""Half image widths that a unit of the network's output moves a pixel by."""


def other_views(
    known: Tensor,  # (S, V)
    azimuth: Tensor,  # (S, V) degrees
) -> tuple[Tensor, Tensor]:
    """The views a quarter, a half and three quarters of a turn on: (S, V, 3) their indices, and whether they are known.

    A view is there if its camera is within 45 degrees of the place.
    """
    turn = (azimuth[:, None, :] - azimuth[:, :, None])[:, :, None]  # (S, V, 1, V)
    wanted = 90.0 * torch.arange(1, 4, device=azimuth.device)[:, None]
    apart = ((turn - wanted + 180) % 360 - 180).abs()  # (S, V, 3, V)
    nearest, index = apart.min(-1)
    samples = torch.arange(len(known), device=known.device)[:, None, None]
    return index, known[samples, index] * (nearest < 45.0)


def gather_sources(
    still: Tensor,  # (S, V, 3, H, W)
    known: Tensor,  # (S, V)
    azimuth: Tensor,  # (S, V) degrees
) -> Tensor:
    """(S, V, 6, 3, H, W) the sources of each view; white where they are unknown."""
    index, is_there = other_views(known, azimuth)
    samples = torch.arange(len(still), device=still.device)[:, None, None]
    others = torch.where(is_there[..., None, None, None] > 0, still[samples, index], 1.0)
    own = torch.where(known[:, :, None, None, None] > 0, still, 1.0)[:, :, None]
    return torch.cat([own, own, others, others[:, :, 1:2].flip(-1)], dim=2)


def composite(
    sources: Tensor,  # (S, V, 6, 3, H, W)
    frames: int,
    flow: Tensor,  # (B, h, w, 12) coarse, in units of FLOW_SCALE
    gates: Tensor,  # (B, 5, H, W)
    affine: Tensor,  # (B, 36) coefficients of the flow that is linear in position
) -> tuple[Tensor, Tensor]:
    """The pictures (B, 3, H, W), B = S x V x F, that the network's output is centred on, and the way to their sources.

    The first source is shown moved; every other is blended in by its gate, in order. All zeros give the view at rest.

    Returns:
        (B, 3, H, W) pictures; (B, 6, 2, H, W) half image widths from each pixel to its place in each source.
    """
    size = sources.shape[-1]
    images = sources[:, :, None].expand(-1, -1, frames, -1, -1, -1, -1).flatten(0, 2).float()
    batch = len(images)
    axis = (torch.arange(size, device=sources.device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = torch.stack([x, y], dim=-1)
    basis = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    linear = (affine.view(batch, SOURCES * 2, 3) @ basis).view(batch, SOURCES * 2, size, size)
    fine = interpolate(flow.permute(0, 3, 1, 2), (size, size), mode="bilinear", align_corners=False)
    way = FLOW_SCALE * (fine + linear).reshape(batch, SOURCES, 2, size, size)
    warped = grid_sample(
        images.flatten(0, 1),
        place + way.flatten(0, 1).permute(0, 2, 3, 1),
        padding_mode="border",
        align_corners=False,
    ).view(batch, SOURCES, 3, size, size)
    base, *others = warped.unbind(1)
    for other, gate in zip(others, gates.split(1, dim=1), strict=True):
        base = torch.addcmul(base, gate, other - base)
    return base, way
