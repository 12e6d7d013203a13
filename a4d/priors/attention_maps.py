"""Where a diffusers model looks for each token of a prompt: what its cross-attention holds of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from a4d.priors.cross_attention import CROSS_ATTENTION, CrossAttention, Keep, is_open

ATTENTION = "attention"
"""By what name priors offer the probabilities."""

ATTENTION_LOGITS = "attention-logits"
"""By what name they offer the scaled scores before the softmax."""

MAPS = frozenset({ATTENTION, ATTENTION_LOGITS})
"""All that can be had of a layer of cross-attention."""


@contextmanager
def recorded_attention(unet: Any, wanted: Collection[str] = (ATTENTION,)) -> Iterator[dict[str, Tensor]]:
    """Record the cross-attention of every pass within the block.

    Args:
        unet: of diffusers, whose layers of cross-attention are called `attn2`.
        wanted: of `MAPS`.

    Returns:
        (B, L, T) float32 per layer and map once a pass is through, of mean over heads, by `attention/LAYER` and
        `attention-logits/LAYER`, with the graph of that pass.
    """
    maps: dict[str, Tensor] = {}

    def recorder(layer: str) -> Keep:
        def keep(scores: Tensor, probabilities: Tensor) -> None:
            found = {ATTENTION: probabilities, ATTENTION_LOGITS: scores}
            maps.update({f"{name}/{layer}": found[name] for name in wanted})

        return keep

    former = dict(unet.attn_processors)
    recording = {
        name: CrossAttention(recorder(name.removesuffix(".processor")))
        if f"{CROSS_ATTENTION}." in name and is_open(processor)
        else processor
        for name, processor in former.items()
    }
    unet.set_attn_processor(recording)
    try:
        yield maps
    finally:
        unet.set_attn_processor(former)
