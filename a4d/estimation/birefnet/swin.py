"""The Swin transformer (Liu et al. 2021, version 1) under the names of its released checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from a4d.estimation.birefnet.config import SwinConfig


class PatchEmbedding(nn.Module):
    """A picture as normalised tokens, one per patch.

    Args:
        config: of the transformer.
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.proj = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        pixels: Tensor,  # (B, 3, H, W)
    ) -> Tensor:
        """(B, h, w, C)."""
        down, right = (-side % self.patch for side in pixels.shape[2:])
        tokens: Tensor = self.norm(self.proj(pad(pixels, (0, right, 0, down))).permute(0, 2, 3, 1))
        return tokens


class WindowAttention(nn.Module):
    """Attention within windows, biased by where tokens lie to each other.

    Args:
        width: channels.
        heads: that share them.
        window: tokens of a window's side.
    """

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        places = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        apart = places[:, None] - places[None] + window - 1
        self.register_buffer("relative_position_index", apart[..., 0] * (2 * window - 1) + apart[..., 1])
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        tokens: Tensor,  # (B, N, L, C) of N windows of L tokens
        apart: Tensor | None,  # (N, L, L) 0, or minus infinity between tokens that do not belong together
    ) -> Tensor:
        """(B, N, L, C)."""
        batch, count, length, width = tokens.shape
        query, key, value = self.qkv(tokens).view(batch, count, length, 3, self.heads, -1).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        bias = bias if apart is None else bias + apart[:, None]
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.proj(mixed.transpose(2, 3).reshape(batch, count, length, width))
        return out


class Perceptron(nn.Module):
    """Two layers within a block.

    Args:
        width: channels.
        hidden: channels between them.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of the same shape."""
        out: Tensor = self.fc2(self.act(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Attention and a perceptron, each before a sum.

    Args:
        width: channels.
        heads: of the attention.
        config: of the transformer.
        shift: tokens by which its windows are off the grid.
    """

    def __init__(self, width: int, heads: int, config: SwinConfig, shift: int) -> None:
        super().__init__()
        self.window, self.shift = config.window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, config.window)
        self.mlp = Perceptron(width, config.hidden * width)

    def forward(
        self,
        tokens: Tensor,  # (B, h, w, C)
    ) -> Tensor:
        """(B, h, w, C)."""
        height, width = tokens.shape[1:3]
        down, right = -height % self.window, -width % self.window
        padded = pad(self.norm1(tokens), (0, 0, 0, right, 0, down))
        shifted = padded.roll((-self.shift, -self.shift), (1, 2))
        rows, columns = height + down, width + right
        mixed = self.attn(_windows(shifted, self.window), self._apart(rows, columns, tokens))
        whole = _whole(mixed, rows, columns, self.window).roll((self.shift, self.shift), (1, 2))
        tokens = tokens + whole[:, :height, :width]
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out

    def _apart(self, rows: int, columns: int, like: Tensor) -> Tensor | None:
        """Which tokens of a shifted window come from opposite sides of the grid."""
        if not self.shift:
            return None
        region = torch.zeros(1, rows, columns, 1, device=like.device)
        parts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for index, (down, right) in enumerate((down, right) for down in parts for right in parts):
            region[:, down, right] = index
        labels = _windows(region, self.window)[0, ..., 0]
        differ = labels[:, :, None] != labels[:, None]
        return torch.zeros(differ.shape, dtype=like.dtype, device=like.device).masked_fill(differ, -torch.inf)


class PatchMerging(nn.Module):
    """Four neighbours as one token of twice the width.

    Args:
        width: channels before.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction, self.norm = nn.Linear(4 * width, 2 * width, bias=False), nn.LayerNorm(4 * width)

    def forward(
        self,
        tokens: Tensor,  # (B, h, w, C)
    ) -> Tensor:
        """(B, (h + 1) // 2, (w + 1) // 2, 2 C)."""
        tokens = pad(tokens, (0, 0, 0, tokens.shape[2] % 2, 0, tokens.shape[1] % 2))
        quarters = [tokens[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.reduction(self.norm(torch.cat(quarters, dim=-1)))
        return out


class Stage(nn.Module):
    """Blocks of one width, every second with shifted windows.

    Args:
        config: of the transformer.
        index: of the stage.
    """

    def __init__(self, config: SwinConfig, index: int) -> None:
        super().__init__()
        width, heads = config.width * 2**index, config.heads[index]
        shifts = [0 if layer % 2 == 0 else config.window // 2 for layer in range(config.depths[index])]
        self.blocks = nn.ModuleList(Block(width, heads, config, shift) for shift in shifts)
        self.downsample = PatchMerging(width) if index + 1 < len(config.depths) else None

    def forward(
        self,
        tokens: Tensor,  # (B, h, w, C)
    ) -> tuple[Tensor, Tensor]:
        """(B, h, w, C), and what the next stage begins with."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens, tokens if self.downsample is None else self.downsample(tokens)


class Swin(nn.Module):
    """Features of a picture at four scales.

    Args:
        config: its sizes.
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(config)
        self.layers = nn.ModuleList(Stage(config, index) for index in range(len(config.depths)))
        for index in range(len(config.depths)):
            self.add_module(f"norm{index}", nn.LayerNorm(config.width * 2**index))

    def forward(
        self,
        pixels: Tensor,  # (B, 3, H, W)
    ) -> list[Tensor]:
        """(B, C, h, w) of each stage, the finest first."""
        tokens, features = self.patch_embed(pixels), list[Tensor]()
        for index, stage in enumerate(self.layers):
            own, tokens = stage(tokens)
            features.append(self.get_submodule(f"norm{index}")(own).permute(0, 3, 1, 2))
        return features


def _windows(grid: Tensor, window: int) -> Tensor:
    """(B, N, L, C) tokens by window, of a grid (B, h, w, C) of whole windows."""
    batch, height, width, channels = grid.shape
    parts = grid.view(batch, height // window, window, width // window, window, channels)
    return parts.transpose(2, 3).reshape(batch, -1, window * window, channels)


def _whole(windows: Tensor, height: int, width: int, window: int) -> Tensor:
    """(B, h, w, C) the grid of windows (B, N, L, C)."""
    parts = windows.view(len(windows), height // window, width // window, window, window, -1)
    return parts.transpose(2, 3).reshape(len(windows), height, width, -1)
