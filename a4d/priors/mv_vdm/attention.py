"""The three kinds of attention of MV-VDM, as diffusers' attention processors with parameters of their own.

Names of parameters are those of the released checkpoint. Tokens come in the order samples, views, frames, pixels, or in
motion modules samples, views, pixels, frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from diffusers.models.resnet import AlphaBlender
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

LARGEST_BATCH = 2**15
"""Rows of one attention: beyond it some of CUDA's kernels leave their grid."""


@dataclass(frozen=True)
class Layout:
    """How the tokens of a batch are arranged.

    Args:
        views: per sample, V.
        frames: per view, F.
        height: of the feature map, h.
        width: of the feature map, w.
    """

    views: int
    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Pixels of one feature map."""
        return self.height * self.width


def attend(
    query: Tensor,  # (B, Q, C)
    key: Tensor,  # (B, K, C)
    value: Tensor,  # (B, K, C)
    heads: int,
) -> Tensor:
    """Attention with several heads and the usual scale, (B, Q, C)."""
    if len(query) > LARGEST_BATCH:
        parts = (each.split(LARGEST_BATCH) for each in (query, key, value))
        return torch.cat([attend(q, k, v, heads) for q, k, v in zip(*parts, strict=True)])
    q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (query, key, value))
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def grid_encoding(
    height: int,
    width: int,
    channels: int,
    like: Tensor,
) -> Tensor:
    """Sinusoidal code of a pixel's place, the same in every view (as in DETR, places scaled to (0, 2 pi]).

    Returns:
        (h x w, C) of the dtype and device of `like`: the first half for the row, the second for the column.
    """
    half = channels // 2
    index = torch.arange(half, device=like.device)
    wavelength = 10000.0 ** (2 * (index // 2) / half)

    def code(count: int) -> Tensor:
        place = torch.arange(1, count + 1, dtype=torch.float32, device=like.device) / (count + 1e-6) * 2 * torch.pi
        angle = place[:, None] / wavelength
        return torch.where(index % 2 == 0, angle.sin(), angle.cos())

    rows = code(height)[:, None].expand(-1, width, -1)
    columns = code(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).to(like.dtype)


class MultiViewImageAttention(nn.Module):
    """Self-attention among the pixels of all views of a frame, with a branch that looks at the first frame (MV2V).

    The branch has queries of its own; its keys and values are those that the frozen projections make of frame 0. It
    starts with the frozen queries and adds nothing.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q_i2v = nn.Linear(channels, channels, bias=False)
        self.to_out_i2v = nn.Linear(channels, channels)
        nn.init.zeros_(self.to_out_i2v.weight)
        nn.init.zeros_(self.to_out_i2v.bias)

    def __call__(self, attention: Attention, hidden_states: Tensor, layout: Layout, **others: Any) -> Tensor:
        """(S V F, h w, C) tokens that have seen their frame in all views, and frame 0."""
        views, frames = layout.views, layout.frames
        _, length, width = hidden_states.shape
        by_frame = hidden_states.reshape(-1, views, frames, length, width).transpose(1, 2)
        tokens = by_frame.reshape(-1, views * length, width)
        query, key, value = attention.to_q(tokens), attention.to_k(tokens), attention.to_v(tokens)
        mixed = attend(query, key, value, attention.heads)
        # A query sees nothing of the others, so that all frames may ask the first one as one long sequence.
        first_key, first_value = (each.unflatten(0, (-1, frames))[:, 0] for each in (key, value))
        asked = self.to_q_i2v(tokens).unflatten(0, (-1, frames)).flatten(1, 2)
        seen = self.to_out_i2v(attend(asked, first_key, first_value, attention.heads)).view_as(mixed)
        mixed = attention.to_out[0](mixed + seen)
        return mixed.reshape(-1, frames, views, length, width).transpose(1, 2).reshape(hidden_states.shape)


class TextImageAttention(nn.Module):
    """Cross-attention to the prompt and, decoupled from it, to the view's picture (IP-Adapter, Ye et al. 2023).

    Args:
        channels: C.
        context: width of the prompt's and the picture's tokens.
        scale: of what the picture adds.
    """

    def __init__(self, channels: int, context: int, scale: float = 1.0) -> None:
        super().__init__()
        self.to_k_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])
        self.to_v_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])
        self.scale = scale

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[Tensor, Tensor],
        layout: Layout,
        **others: Any,
    ) -> Tensor:
        """(S V F, h w, C) tokens that have seen the prompt (S, L, D) and their view's picture (S V, K, D)."""
        text, image = encoder_hidden_states
        query = attention.to_q(hidden_states)
        # One row per prompt, and one per picture: their keys are not repeated for every image that asks.
        of_sample, of_view = (query.reshape(len(rows), -1, query.shape[-1]) for rows in (text, image))
        told = attend(of_sample, attention.to_k(text), attention.to_v(text), attention.heads)
        shown = attend(of_view, self.to_k_ip[0](image), self.to_v_ip[0](image), attention.heads)
        mixed: Tensor = attention.to_out[0](told.view_as(query) + self.scale * shown.view_as(query))
        return mixed


class SpatiotemporalAttention(nn.Module):
    """Attention of a motion module: among all pixels and views of a frame, and over the frames of a pixel, blended.

    Each branch has its own positional code, added to the normalised tokens. The temporal branch uses the projections
    of the attention that it processes.

    Args:
        channels: C.
        longest: frames for which there are positions.
    """

    def __init__(self, channels: int, longest: int) -> None:
        super().__init__()
        self.to_q_sp = nn.Linear(channels, channels, bias=False)
        self.to_k_sp = nn.Linear(channels, channels, bias=False)
        self.to_v_sp = nn.Linear(channels, channels, bias=False)
        self.to_out_sp = nn.Linear(channels, channels)
        self.time_pos_embed = SinusoidalPositionalEmbedding(channels, longest)
        self.alpha_blender = AlphaBlender(0.0, "learned")

    def __call__(self, attention: Attention, hidden_states: Tensor, layout: Layout, **others: Any) -> Tensor:
        """(S V h w, F, C) tokens that have seen both."""
        blended: Tensor = self.alpha_blender(
            self._across_views(attention, hidden_states, layout), self._over_time(attention, hidden_states)
        )
        return blended

    def _across_views(self, attention: Attention, hidden_states: Tensor, layout: Layout) -> Tensor:
        width, together = hidden_states.shape[-1], layout.views * layout.pixels
        tokens = hidden_states.reshape(-1, together, layout.frames, width).transpose(1, 2).flatten(0, 1)
        places = grid_encoding(layout.height, layout.width, width, tokens)
        tokens = tokens + places.repeat(layout.views, 1)
        mixed = attend(self.to_q_sp(tokens), self.to_k_sp(tokens), self.to_v_sp(tokens), attention.heads)
        mixed = self.to_out_sp(mixed).unflatten(0, (-1, layout.frames))
        return mixed.transpose(1, 2).reshape(hidden_states.shape)

    def _over_time(self, attention: Attention, hidden_states: Tensor) -> Tensor:
        tokens = self.time_pos_embed(hidden_states)
        mixed = attend(attention.to_q(tokens), attention.to_k(tokens), attention.to_v(tokens), attention.heads)
        output: Tensor = attention.to_out[0](mixed)
        return output
