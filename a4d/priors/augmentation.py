"""Changes of pictures that leave their subject what it is, so that a prior learns the subject and not one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue (ITU-R BT.601)."""

BLUR_WIDTH = 5
"""Pixels of the blur's kernel."""


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed; the values are those of Animate124's textual inversion.

    Args:
        turn: degrees to either side.
        turn_chance: with which a picture is turned.
        area: of the part that is shown, as a share of the picture's; more than 1 shows what is beyond it.
        aspect: width over height of that part, at most and, inverted, at least.
        mirror_chance: with which left and right are exchanged.
        jitter: of brightness, contrast and saturation as a share, and of hue as a share of the circle, to either side.
        jitter_chance: with which colours are changed.
        grey_chance: with which colours are left out.
        blur: standard deviation in pixels, at least and at most.
        blur_chance: with which a picture is blurred.
    """

    turn: float = 10.0
    turn_chance: float = 0.75
    area: tuple[float, float] = (0.85, 1.15)
    aspect: float = 4 / 3
    mirror_chance: float = 0.5
    jitter: float = 0.04
    jitter_chance: float = 0.75
    grey_chance: float = 0.1
    blur: tuple[float, float] = (0.1, 2.0)
    blur_chance: float = 0.1

    def __call__(
        self,
        rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
        mask: Tensor,  # (B, H, W, 1) in [0, 1]
        background: float,
        draws: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Pictures and their masks, all changed alike.

        Args:
            rgb: of one sample.
            mask: of the subject, which moves with it.
            background: level of grey around the pictures.
            draws: decides how they are changed, on the CPU.

        Returns:
            (B, H, W, 3) sRGB in [0, 1] and (B, H, W, 1) in [0, 1].
        """
        moved = _sampled(torch.cat([rgb - background, mask], dim=-1), self._view(draws))
        colours, mask = moved[..., :3] + background, moved[..., 3:]
        return self._recoloured(colours, draws).clamp(0, 1), mask

    def _view(self, draws: torch.Generator) -> Tensor:
        """(2, 3) from the new picture's coordinates to the old one's, both in [-1, 1]."""
        chance, turn, area, aspect, left, top, mirror = torch.rand(7, generator=draws).tolist()
        angle = math.radians(self.turn * (2 * turn - 1)) if chance < self.turn_chance else 0.0
        share = self.area[0] + (self.area[1] - self.area[0]) * area
        ratio = self.aspect ** (2 * aspect - 1)
        width, height = math.sqrt(share * ratio), math.sqrt(share / ratio)
        x, y = (1 - width) * (2 * left - 1), (1 - height) * (2 * top - 1)
        sign = -1.0 if mirror < self.mirror_chance else 1.0
        turned = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        cut = torch.tensor([[sign * width, 0.0, x], [0.0, height, y]])
        return turned @ cut

    def _recoloured(self, rgb: Tensor, draws: torch.Generator) -> Tensor:
        jitter, grey, blur, deviation, *shifts = torch.rand(8, generator=draws).tolist()
        if jitter < self.jitter_chance:
            rgb = _jittered(rgb, [self.jitter * (2 * shift - 1) for shift in shifts])
        if grey < self.grey_chance:
            rgb = _luminance(rgb).expand_as(rgb)
        if blur < self.blur_chance:
            low, high = self.blur
            rgb = _blurred(rgb, low + (high - low) * deviation)
        return rgb


def _sampled(images: Tensor, view: Tensor) -> Tensor:
    """Images (B, H, W, C) seen through a view; zero is around them."""
    channels = images.permute(0, 3, 1, 2)
    grid = affine_grid(view.to(images).expand(len(images), -1, -1), list(channels.shape), align_corners=False)
    return grid_sample(channels, grid, align_corners=False).permute(0, 2, 3, 1)


def _jittered(rgb: Tensor, shifts: list[float]) -> Tensor:
    """Another brightness, contrast, saturation and hue."""
    brightness, contrast, saturation, hue = shifts
    rgb = rgb * (1 + brightness)
    mean = _luminance(rgb).mean((1, 2, 3), keepdim=True)
    rgb = torch.lerp(mean.expand_as(rgb), rgb, 1 + contrast)
    rgb = torch.lerp(_luminance(rgb).expand_as(rgb), rgb, 1 + saturation)
    return rgb @ _turn_around_grey(2 * math.pi * hue).to(rgb).T


def _turn_around_grey(angle: float) -> Tensor:
    """(3, 3) rotation of colours around the axis of greys, by Rodrigues' formula."""
    across = torch.full((3, 3), 1 / 3)
    side = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return math.cos(angle) * torch.eye(3) + (1 - math.cos(angle)) * across + math.sin(angle) * side


def _luminance(rgb: Tensor) -> Tensor:
    return (rgb * rgb.new_tensor(LUMINANCE)).sum(-1, keepdim=True)


def _blurred(rgb: Tensor, deviation: float) -> Tensor:
    offsets = torch.arange(BLUR_WIDTH) - BLUR_WIDTH // 2
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2).to(rgb)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    margin = BLUR_WIDTH // 2
    channels = pad(rgb.permute(0, 3, 1, 2), [margin] * 4, mode="replicate")
    blurred = conv2d(channels, kernel.expand(3, 1, -1, -1), groups=3)
    return blurred.permute(0, 2, 3, 1)
