"""The compact network: noisy images of an object from several sides, at several times, to the velocity v."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pixel_shuffle, pixel_unshuffle, silu

from a4d.config import Config
from a4d.priors.compact.attention import RowAttention, quarter_weights
from a4d.priors.compact.sources import SOURCES, composite, gather_sources

SHOWN = [0, 2, 3, 4]
"""The sources that differ, of which the network's input consists beside the noisy image."""


DOUBT_GAIN = 2.0
DOUBT_RANGE = (-4.0, 1.0)
"""Of the logarithm of a pixel's deviation over the usual one: what is plainly background deviates little."""

NUMBER_GAIN = 6.0
"""Of time, camera and noise level, few numbers that would else be lost beside the many of the caption."""

TEXT_GAIN = 0.5
"""Of the sum of a caption's words, as the embedding takes it."""

DEVIATION = (0.2, 0.5)
"""Of clean pixels in [-1, 1] from what the output is centred on, for moving and for still objects."""


class CompactConfig(Config):
    """Sizes of the network.

    Args:
        size: pixels.
        patch: pixels that one cell of the fine level takes along each side.
        fine_width: channels at size / patch.
        width: channels at half of that, where views, times and words meet.
        blocks: there.
        heads: of attention.
        embedding: channels of what modulates every layer.
        words: rows of the word table.
        text_length: words of a caption at most.
        text_width: channels of a word.
    """

    size: int = Field(default=64, ge=8, le=1024)
    patch: int = Field(default=4, ge=1, le=64)
    fine_width: int = Field(default=48, ge=1, le=4096)
    width: int = Field(default=128, ge=1, le=4096)
    blocks: int = Field(default=3, ge=0, le=64)
    heads: int = Field(default=4, ge=1, le=64)
    embedding: int = Field(default=192, ge=1, le=8192)
    words: int = Field(default=128, ge=1, le=100_000)
    text_length: int = Field(default=16, ge=1, le=1024)
    text_width: int = Field(default=128, ge=1, le=4096)


@dataclass(frozen=True)
class Task:
    """What is known about S samples of V views, and what is asked of the network.

    Args:
        still: (S, V, 3, H, W) in [-1, 1] the object at rest from each side; white where unknown.
        known: (S, V) 1 where that picture is known, else 0.
        azimuth: (S, V) degrees.
        elevation: (S, V) degrees.
        phase: (S, F) periods at which images are asked for.
        moving: (S,) 1 where the object moves, else 0.
        words: (S, L) rows of the word table.
    """

    still: Tensor
    known: Tensor
    azimuth: Tensor
    elevation: Tensor
    phase: Tensor
    moving: Tensor
    words: Tensor


class Output(NamedTuple):
    """What the network says of S samples of V views and F frames.

    Args:
        velocity: (S, V, F, 3, H, W) v.
        way: (S, V, F, 6, 2, H, W) half image widths from each pixel to where its colour is taken from each source.
    """

    velocity: Tensor
    way: Tensor


class CompactNetwork(nn.Module):
    """A UNet of two levels whose output is centred on the known pictures.

    With b a picture put together from the known ones (a4d.priors.compact.sources) and d the deviation of clean images
    from it, the clean image is `b + c_skip (x_t - alpha b) + c_out F` with `c_skip = alpha d² / D`, `c_out = sigma d /
    sqrt(D)` and `D = alpha² d² + sigma²` (Karras et al. 2022, table 1); `d = 1` is plain v-prediction. In c_skip, d is
    the network's own estimate for each pixel, so that no noise is taken over where there is nothing to see. The last
    layers start at zero, so that an untrained network shows a moving object at rest, and with a small d the network
    need not carry the noise through to its output. Outside it is a v-predicting network like any other.

    Args:
        config: sizes.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        c, d, e = config.fine_width, config.width, config.embedding
        cells = config.size // config.patch
        self.enter = nn.Linear(3 * config.patch**2, c)
        self.enter_known = nn.Linear(3 * len(SHOWN) * config.patch**2 + 1, c)
        self.fine_position = nn.Parameter(0.02 * torch.randn(cells, cells, c))
        self.position = nn.Parameter(0.02 * torch.randn(cells // 2, cells // 2, d))
        self.text = TextEncoder(config)
        self.embed = Embedding(config)
        self.fine_in = ConvBlock(c, e)
        self.down = nn.Linear(4 * c, d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.up = nn.Linear(d, 4 * c)
        self.join = nn.Linear(2 * c, c)
        self.fine_out = ConvBlock(c, e)
        self.modulate = Modulation(c, e)
        p = config.patch**2
        self.velocity_head = _zero(nn.Linear(c, 3 * p))
        self.flow_head = _zero(nn.Linear(c, 2 * SOURCES))
        self.gate_head = _zero(nn.Linear(c, (SOURCES - 1) * p))
        self.doubt_head = _zero(nn.Linear(c, p))
        self.affine_head = _zero(nn.Linear(d + e, 6 * SOURCES + SOURCES - 1))

    def forward(
        self,
        noisy: Tensor,  # (S, V, F, 3, H, W); clean where sigma is 0
        sigma: Tensor,  # (S, V, F) noise level in [0, 1]
        task: Task,
    ) -> Output:
        """The velocity and the way to the sources, in float32."""
        dtype = self.enter.weight.dtype
        samples, views, frames = sigma.shape
        sources = gather_sources(task.still, task.known, task.azimuth)
        text = self.text(task.words)
        spoken = (task.words > 0).to(dtype)[..., None]
        e = self.embed(sigma, task, TEXT_GAIN * (text * spoken).sum(1)).flatten(0, 2)
        x = self._enter(noisy, sources, task, dtype)
        skip = self.fine_in(x + self.fine_position, e)
        h = self.down(_gathered(skip)) + self.position
        quarters = quarter_weights(task.azimuth)
        for block in self.blocks:
            h = block(h, e, text, quarters, (samples, views, frames))
        x = self.join(torch.cat([skip, _spread(self.up(h))], dim=-1))
        x = silu(self.modulate(self.fine_out(x, e), e))
        whole = self.affine_head(torch.cat([h.mean((1, 2)), e], dim=-1)).float()
        affine, blend = whole.split([6 * SOURCES, SOURCES - 1], dim=-1)
        gates, residual, doubt = (
            pixel_shuffle(head(x).permute(0, 3, 1, 2).float(), self.config.patch)
            for head in (self.gate_head, self.velocity_head, self.doubt_head)
        )
        base, way = composite(sources, frames, self.flow_head(x).float(), gates + blend[..., None, None], affine)
        level = sigma.float().view(samples, views, frames, 1, 1, 1)
        deviation = torch.where(task.moving.float() > 0, *DEVIATION).view(-1, 1, 1, 1, 1, 1)
        trusted = deviation * (DOUBT_GAIN * doubt).clamp(*DOUBT_RANGE).exp().view(*noisy.shape[:3], 1, *noisy.shape[4:])
        v = velocity(noisy.float(), base.view_as(noisy), residual.view_as(noisy), level, deviation, trusted)
        return Output(v, way.view(samples, views, frames, *way.shape[1:]))

    def _enter(self, noisy: Tensor, sources: Tensor, task: Task, dtype: torch.dtype) -> Tensor:
        """(B, h, w, c) the fine level's input: the noisy image beside the known ones."""
        frames = noisy.shape[2]
        patches = pixel_unshuffle(noisy.to(dtype).flatten(0, 2), self.config.patch).permute(0, 2, 3, 1)
        seen = pixel_unshuffle(sources[:, :, SHOWN].to(dtype).flatten(2, 3).flatten(0, 1), self.config.patch)
        known = task.known.to(dtype).reshape(-1, 1, 1, 1).expand(-1, -1, *seen.shape[-2:])
        seen = self.enter_known(torch.cat([seen, known], dim=1).permute(0, 2, 3, 1))
        entered: Tensor = self.enter(patches) + seen.repeat_interleave(frames, dim=0)
        return entered


def velocity(
    noisy: Tensor,  # (..., 3, H, W)
    base: Tensor,  # (..., 3, H, W) that clean images are near
    residual: Tensor,  # (..., 3, H, W) the network's output F
    sigma: Tensor,  # (..., 1, 1, 1)
    deviation: Tensor,  # (..., 1, 1, 1) of clean images from the base, by which F is scaled
    trusted: Tensor,  # (..., 1, H, W) of clean pixels from the base, by which the noisy image is believed
) -> Tensor:
    """The velocity that the clean image `b + c_skip (x_t - alpha b) + c_out F` implies, without a division by sigma."""
    alpha = (1 - sigma.square()).clamp_min(0).sqrt()
    total, of_pixel = ((alpha * each).square() + sigma.square() for each in (deviation, trusted))
    linear = sigma * (alpha * (1 - trusted.square()) * noisy - base) / of_pixel
    return linear - deviation / total.sqrt() * residual


class Embedding(nn.Module):
    """Noise level, camera, time and the whole caption as one vector per image."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        numbers = 8 + 6 + 6 + 2
        e = config.embedding
        self.layers = nn.Sequential(
            nn.Linear(numbers + config.text_width, e),
            nn.SiLU(),
            nn.Linear(e, e),
            nn.SiLU(),
            nn.Linear(e, e),
            nn.LayerNorm(e),
            nn.SiLU(),
        )

    def forward(
        self,
        sigma: Tensor,  # (S, V, F)
        task: Task,
        text: Tensor,  # (S, text_width)
    ) -> Tensor:
        """(S, V, F, embedding)."""
        views, frames = sigma.shape[1:]
        octaves = 2.0 ** torch.arange(4, device=sigma.device)
        angle = sigma[..., None].float() * math.pi / 2 * octaves
        turn = torch.deg2rad(task.azimuth)[..., None] * octaves[:2]
        rise = torch.deg2rad(task.elevation)[..., None]
        camera = torch.cat([turn.sin(), turn.cos(), rise.sin(), rise.cos()], dim=-1)
        cycle = 2 * math.pi * task.phase[..., None] * torch.arange(1, 4, device=sigma.device)
        time = torch.cat([cycle.sin(), cycle.cos()], dim=-1)
        flags = torch.stack([task.known, task.moving[:, None].expand_as(task.known)], dim=-1)
        numbers = [
            angle.sin(),
            angle.cos(),
            camera[:, :, None].expand(-1, -1, frames, -1),
            time[:, None].expand(-1, views, -1, -1),
            flags[:, :, None].expand(-1, -1, frames, -1),
        ]
        told = NUMBER_GAIN * torch.cat([part.to(text.dtype) for part in numbers], dim=-1)
        embedded: Tensor = self.layers(torch.cat([told, text[:, None, None].expand(-1, views, frames, -1)], dim=-1))
        return embedded


class TextEncoder(nn.Module):
    """Words to vectors that know their neighbours: a table, positions, and two layers of attention."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        width = config.text_width
        self.table = nn.Embedding(config.words, width)
        self.position = nn.Parameter(0.02 * torch.randn(config.text_length, width))
        nn.init.normal_(self.table.weight, std=0.5)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )

    def forward(self, words: Tensor) -> Tensor:
        """(S, L, text_width) of rows (S, L) of the table."""
        text = self.table(words)
        bag = text
        text = text + self.position
        for layer in self.layers:
            text = layer(text)
        # The plain words stay in sight, so that a word acts before the layers have learnt anything.
        return text + bag


class Modulation(nn.Module):
    """A layer norm over channels whose scale and shift follow from the embedding."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.to_scale_shift = _zero(nn.Linear(embedding, 2 * width))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Modulated (B, h, w, c) of x (B, h, w, c) by e (B, embedding)."""
        scale, shift = self.to_scale_shift(e)[:, None, None].chunk(2, dim=-1)
        return torch.addcmul(shift, layer_norm(x, x.shape[-1:]), 1 + scale)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.modulate = Modulation(width, embedding)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """(B, h, w, c), like x."""
        h = silu(self.modulate(x, e)).permute(0, 3, 1, 2)
        return x + self.second(silu(self.first(h))).permute(0, 2, 3, 1)


class Block(nn.Module):
    """A convolution, attention along rows, and a perceptron, each beside the identity."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        d, e = config.width, config.embedding
        self.conv = ConvBlock(d, e)
        self.attention_modulate = Modulation(d, e)
        self.attention = RowAttention(d, config.heads, config.size // config.patch // 2, config.text_width)
        self.mlp_modulate = Modulation(d, e)
        self.widen = nn.Linear(d, 2 * d)
        self.narrow = _zero(nn.Linear(2 * d, d))

    def forward(self, h: Tensor, e: Tensor, text: Tensor, quarters: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """(B, h, w, d), like h; `shape` is the samples, views and frames that B is made of."""
        h = self.conv(h, e)
        tokens = self.attention_modulate(h, e).unflatten(0, shape)
        h = h + self.attention(tokens, text, quarters).flatten(0, 2)
        return h + self.narrow(silu(self.widen(self.mlp_modulate(h, e))))


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _gathered(x: Tensor) -> Tensor:
    """(B, h/2, w/2, 4c) of (B, h, w, c)."""
    batch, height, width, channels = x.shape
    cells = x.view(batch, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
    return cells.reshape(batch, height // 2, width // 2, 4 * channels)


def _spread(x: Tensor) -> Tensor:
    """(B, 2h, 2w, c) of (B, h, w, 4c)."""
    batch, height, width, channels = x.shape
    cells = x.view(batch, height, width, 2, 2, channels // 4).permute(0, 1, 3, 2, 4, 5)
    return cells.reshape(batch, 2 * height, 2 * width, channels // 4)
