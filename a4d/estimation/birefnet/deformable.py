"""Convolutions whose taps lie where the features say (Zhu et al. 2019), and a pyramid of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, grid_sample


class DeformableConvolution(nn.Module):
    """A convolution that keeps the size; each tap is moved, and weighted between 0 and 2.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: pixels of its side, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.offset_conv = nn.Conv2d(inputs, 2 * kernel**2, kernel, padding=kernel // 2)
        self.modulator_conv = nn.Conv2d(inputs, kernel**2, kernel, padding=kernel // 2)
        self.regular_conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(
        self,
        features: Tensor,  # (B, C, H, W)
    ) -> Tensor:
        """(B, D, H, W)."""
        height, width = features.shape[2:]
        moves = self.offset_conv(features).unflatten(1, (-1, 2))
        weights = 2 * self.modulator_conv(features).sigmoid()
        row, column = torch.meshgrid(
            torch.arange(height, device=features.device), torch.arange(width, device=features.device), indexing="ij"
        )
        size, filters = features.new_tensor([width - 1, height - 1]).clamp_min(1), self.regular_conv.weight.flatten(2)
        total = features.new_zeros(len(features), filters.shape[0], height, width)
        for tap in range(self.kernel**2):
            down, right = (step - self.kernel // 2 for step in divmod(tap, self.kernel))
            places = torch.stack([column + right + moves[:, tap, 1], row + down + moves[:, tap, 0]], dim=-1)
            # Beyond the border there are zeros, into which the outermost pixels fade.
            seen = grid_sample(features, 2 * places / size - 1, padding_mode="zeros", align_corners=True)
            total = total + conv2d(seen * weights[:, tap, None], filters[..., tap, None, None])
        return total


class Branch(nn.Module):
    """A deformable convolution, normalised and cut off at zero.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: pixels of its side.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.atrous_conv = DeformableConvolution(inputs, outputs, kernel)
        self.bn, self.relu = nn.BatchNorm2d(outputs), nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) of (B, C, H, W)."""
        out: Tensor = self.relu(self.bn(self.atrous_conv(features)))
        return out


class DeformablePyramid(nn.Module):
    """Branches of several kernels beside the mean over the picture, mixed into as many channels as there were.

    Args:
        channels: in and out.
        branch: channels of each branch.
        kernels: pixels of their sides, after a first of one pixel.
    """

    def __init__(self, channels: int, branch: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.aspp1 = Branch(channels, branch, 1)
        self.aspp_deforms = nn.ModuleList(Branch(channels, branch, kernel) for kernel in kernels)
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, branch, 1, bias=False), nn.BatchNorm2d(branch), nn.ReLU()
        )
        self.conv1 = nn.Conv2d(branch * (2 + len(kernels)), channels, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(channels), nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W)."""
        parts = [self.aspp1(features), *(branch(features) for branch in self.aspp_deforms)]
        mean = self.global_avg_pool(features).expand(-1, -1, *features.shape[2:])
        out: Tensor = self.relu(self.bn1(self.conv1(torch.cat([*parts, mean], dim=1))))
        return out
