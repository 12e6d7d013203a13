"""Attention along image rows, across all views and frames of a sample.

Cameras of one ring see a point at nearly the same height, so that whatever corresponds between views lies in the same
row of tokens: attending within rows is both the right prejudice and a fraction of the cost of attending everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

QUARTERS = 4


def quarter_weights(
    azimuth: Tensor,  # (S, V) degrees
) -> Tensor:
    """How much each of four relative azimuths 0, 90, 180, 270 counts for each pair of views, linear in between.

    Returns:
        (S, V, V, 4) of the second view relative to the first.
    """
    turn = azimuth[:, None, :] - azimuth[:, :, None]
    steps = turn[..., None] / 90 - torch.arange(QUARTERS, device=azimuth.device)
    circular = (steps + 2) % QUARTERS - 2
    return (1 - circular.abs()).clamp_min(0)


class RowAttention(nn.Module):
    """Self-attention among the tokens of one row in all views and frames, and cross-attention to the words.

    Args:
        width: channels of the tokens.
        heads: number of heads.
        columns: tokens in a row of one image.
        text_width: channels of the words.
    """

    def __init__(self, width: int, heads: int, columns: int, text_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_text_kv = nn.Linear(text_width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        self.bias = nn.Parameter(_initial_bias(heads, columns))

    def forward(
        self,
        tokens: Tensor,  # (S, V, F, h, w, d)
        text: Tensor,  # (S, L, text_width)
        quarters: Tensor,  # (S, V, V, 4)
    ) -> Tensor:
        """What the tokens (S, V, F, h, w, d) are to be changed by."""
        samples, views, frames, height, columns, width = tokens.shape
        rows = tokens.permute(0, 3, 1, 2, 4, 5).reshape(samples * height, views * frames * columns, width)
        query, key, value = self.to_qkv(rows).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        words = self.to_text_kv(text).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        text_key, text_value = words.repeat_interleave(height, dim=1)
        bias = torch.einsum("svuk,akqc->savquc", quarters.to(self.bias), self.bias)
        bias = bias[:, :, :, None, :, :, None].expand(-1, -1, -1, frames, -1, -1, frames, -1)
        bias = bias.reshape(samples, self.heads, *[views * frames * columns] * 2)
        bias = nn.functional.pad(bias, (0, text.shape[1])).repeat_interleave(height, dim=0)
        # Rows are too short for the fused kernels to gain anything, which moreover know no gradient of the bias.
        fit = torch.cat([key, text_key], 2).transpose(-1, -2)
        share = torch.baddbmm(bias.flatten(0, 1), query.flatten(0, 1) * query.shape[-1] ** -0.5, fit.flatten(0, 1))
        mixed = share.softmax(-1).view(bias.shape) @ torch.cat([value, text_value], 2)
        mixed = self.to_out(mixed.transpose(1, 2).flatten(2))
        mixed = mixed.view(samples, height, views, frames, columns, width)
        return mixed.permute(0, 2, 3, 1, 4, 5)


def _initial_bias(heads: int, columns: int) -> Tensor:
    """(heads, 4, w, w): half of the heads start by looking where an opaque object shows the same point or its back."""
    position = torch.arange(columns, dtype=torch.float32)
    apart = (position[:, None] - position).square() / 2
    bias = torch.zeros(heads, QUARTERS, columns, columns)
    bias[: heads // 2, 0] = 1 - apart.clamp_max(3)
    bias[: heads // 2, 2] = 1 - apart.flip(1).clamp_max(3)
    return bias
