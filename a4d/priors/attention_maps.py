"""Where a diffusers model looks for each token of a prompt: the probabilities of its cross-attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

PLAIN = ("AttnProcessor", "AttnProcessor2_0")
"""Processors of diffusers whose computation is attention and nothing else; other ones are left as they are."""

ATTENTION = "attention"
"""By what name priors offer it."""


class RecordingAttention:
    """Cross-attention that keeps its probabilities, of mean over heads.

    Args:
        maps: takes (B, L, T) of L latent and T text tokens, under the layer's name.
        name: of the layer.
    """

    def __init__(self, maps: dict[str, Tensor], name: str) -> None:
        self.maps, self.name = maps, name

    def __call__(
        self, attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, *arguments: Any, **keywords: Any
    ) -> Tensor:
        """(B, L, C) of latent tokens (B, L, C) that attend to text tokens (B, T, D)."""
        query, key, value = (
            project(tokens).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for project, tokens in (
                (attention.to_q, hidden_states),
                (attention.to_k, encoder_hidden_states),
                (attention.to_v, encoder_hidden_states),
            )
        )
        probabilities = (attention.scale * query @ key.transpose(-1, -2)).softmax(dim=-1)
        self.maps[self.name] = probabilities.mean(1)
        mixed = (probabilities @ value).transpose(1, 2).flatten(2)
        for layer in attention.to_out:
            mixed = layer(mixed)
        return mixed


@contextmanager
def recorded_attention(unet: Any) -> Iterator[dict[str, Tensor]]:
    """Record the cross-attention of every pass within the block.

    Args:
        unet: of diffusers, whose layers of cross-attention are called `attn2`.

    Returns:
        (B, L, T) per layer once a pass is through, by `attention/LAYER`, with the graph of that pass.
    """
    maps: dict[str, Tensor] = {}
    former = dict(unet.attn_processors)
    recording = {
        name: RecordingAttention(maps, f"{ATTENTION}/{name.removesuffix('.processor')}")
        if ".attn2." in name and type(processor).__name__ in PLAIN
        else processor
        for name, processor in former.items()
    }
    unet.set_attn_processor(recording)
    try:
        yield maps
    finally:
        unet.set_attn_processor(former)
