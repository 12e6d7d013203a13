"""The network as a whole, under the names of the released checkpoints; what only its training needs is left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from a4d.estimation.birefnet.config import BiRefNetConfig
from a4d.estimation.birefnet.deformable import DeformablePyramid
from a4d.estimation.birefnet.swin import Swin


class DecoderBlock(nn.Module):
    """A pyramid between two convolutions.

    Args:
        inputs: channels.
        outputs: channels.
        config: of the network.
    """

    def __init__(self, inputs: int, outputs: int, config: BiRefNetConfig) -> None:
        super().__init__()
        self.conv_in, self.bn_in = nn.Conv2d(inputs, config.inner, 3, padding=1), nn.BatchNorm2d(config.inner)
        self.relu_in = nn.ReLU()
        self.dec_att = DeformablePyramid(config.inner, config.branch, config.kernels)
        self.conv_out, self.bn_out = nn.Conv2d(config.inner, outputs, 3, padding=1), nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) of (B, C, h, w)."""
        inner = self.dec_att(self.relu_in(self.bn_in(self.conv_in(features))))
        out: Tensor = self.bn_out(self.conv_out(inner))
        return out


class Lateral(nn.Module):
    """Features of the encoder as the decoder adds them.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w)."""
        out: Tensor = self.conv(features)
        return out


class Glance(nn.Module):
    """The picture itself as features: two convolutions without anything between them.

    Args:
        inputs: channels.
        inner: channels between them.
        outputs: channels.
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv_out = nn.Conv2d(inputs, inner, 3, padding=1), nn.Conv2d(inner, outputs, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, D, h, w) of (B, C, h, w)."""
        out: Tensor = self.conv_out(self.conv1(pixels))
        return out


class Decoder(nn.Module):
    """From the coarsest features to a mask, each step beside the picture in parts of that step's size.

    Args:
        config: of the network.
    """

    def __init__(self, config: BiRefNetConfig) -> None:
        super().__init__()
        coarse, third, second, fine = config.channels
        glances = [channels // 8 for channels in config.channels]
        # The picture cut into tiles as large as each step's features, all tiles above each other.
        tiles = [3 * 4**level for level in (5, 4, 3, 2, 0)]
        for index, (count, out) in enumerate(zip(tiles, [glances[0], *glances], strict=True)):
            self.add_module(f"ipt_blk{5 - index}", Glance(count, config.inner, out))
        self.decoder_block4 = DecoderBlock(coarse + glances[0], third, config)
        self.decoder_block3 = DecoderBlock(third + glances[0], second, config)
        self.decoder_block2 = DecoderBlock(second + glances[1], fine, config)
        self.decoder_block1 = DecoderBlock(fine + glances[2], fine // 2, config)
        self.conv_out1 = nn.Sequential(nn.Conv2d(fine // 2 + glances[3], 1, 1))
        for index, channels in ((4, third), (3, second), (2, fine)):
            self.add_module(f"lateral_block{index}", Lateral(channels))
            edges = nn.Sequential(
                nn.Conv2d(channels, config.gradient, 3, padding=1), nn.BatchNorm2d(config.gradient), nn.ReLU()
            )
            self.add_module(f"gdt_convs_{index}", edges)
            self.add_module(f"gdt_convs_attn_{index}", nn.Sequential(nn.Conv2d(config.gradient, 1, 1)))

    def forward(
        self,
        pixels: Tensor,  # (B, 3, H, W)
        features: list[Tensor],  # (B, C, h, w) of four scales, the finest first
    ) -> Tensor:
        """(B, 1, H, W) before the sigmoid."""
        current = features[3]
        for index in (4, 3, 2):
            current = torch.cat([current, self._glance(pixels, current, index + 1)], dim=1)
            current = self.get_submodule(f"decoder_block{index}")(current)
            edges = self.get_submodule(f"gdt_convs_{index}")(current)
            current = current * self.get_submodule(f"gdt_convs_attn_{index}")(edges).sigmoid()
            finer = features[index - 2]
            current = enlarged(current, finer) + self.get_submodule(f"lateral_block{index}")(finer)
        current = self.decoder_block1(torch.cat([current, self._glance(pixels, current, 2)], dim=1))
        current = enlarged(current, pixels)
        out: Tensor = self.conv_out1(torch.cat([current, self._glance(pixels, current, 1)], dim=1))
        return out

    def _glance(self, pixels: Tensor, beside: Tensor, index: int) -> Tensor:
        down, right = (whole // part for whole, part in zip(pixels.shape[2:], beside.shape[2:], strict=True))
        tiles = pixels.unflatten(3, (right, -1)).unflatten(2, (down, -1)).permute(0, 1, 2, 4, 3, 5).flatten(1, 3)
        out: Tensor = self.get_submodule(f"ipt_blk{index}")(enlarged(tiles, beside))
        return out


class BiRefNet(nn.Module):
    """What of a picture is its subject.

    Args:
        config: its sizes.
    """

    def __init__(self, config: BiRefNetConfig) -> None:
        super().__init__()
        self.config = config
        self.bb = Swin(config.swin)
        self.squeeze_module = nn.Sequential(DecoderBlock(sum(config.channels), config.channels[0], config))
        self.decoder = Decoder(config)

    def forward(
        self,
        pixels: Tensor,  # (B, 3, H, W) normalised, sides divisible by 32
    ) -> Tensor:
        """(B, H, W) in [0, 1]."""
        height, width = pixels.shape[2:]
        half = interpolate(pixels, (height // 2, width // 2), mode="bilinear", align_corners=True)
        features = [
            torch.cat([fine, enlarged(coarse, fine)], dim=1)
            for fine, coarse in zip(self.bb(pixels), self.bb(half), strict=True)
        ]
        context = [enlarged(each, features[3]) for each in features[:3]]
        features[3] = self.squeeze_module(torch.cat([*context, features[3]], dim=1))
        found: Tensor = self.decoder(pixels, features).sigmoid()
        return found[:, 0]


def enlarged(features: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) features at the size of others, corner on corner."""
    if features.shape[2:] == like.shape[2:]:
        return features
    return interpolate(features, like.shape[2:], mode="bilinear", align_corners=True)
