"""Cross-attention of a diffusers model, open to updates of its projections and to whoever looks at its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

PLAIN = ("AttnProcessor", "AttnProcessor2_0")
"""Processors of diffusers whose computation is attention and nothing else; other ones are left as they are."""

CROSS_ATTENTION = ".attn2"
"""How diffusers calls the layers that attend to texts."""

UPDATES = "guided_updates"
"""The attribute of such a layer that holds updates of its projections, if it has any."""


@dataclass(frozen=True)
class RowGuidance:
    """What updates of a layer's projections follow from, a row per image.

    Args:
        text: (B, D) what the row's own prompt says.
        camera: (B, E) what a network says of its camera.
    """

    text: Tensor
    camera: Tensor


Keep = Callable[[Tensor, Tensor], None]
"""Takes the scaled scores (B, L, T) of L latent and T text tokens and their softmax, each of mean over heads."""


class CrossAttention:
    """Attention of latent tokens to text tokens, as diffusers computes it.

    Each of the four projections gets the update that lies under `UPDATES` in the layer, by the guidance of its rows. As
    children of the layer, updates travel with a model that visits a device; as an argument, guidance is there again
    when a part is computed anew.

    Args:
        keep: looks at the scores. Without it they are never held as a whole.
    """

    def __init__(self, keep: Keep | None = None) -> None:
        self.keep = keep

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        row_guidance: RowGuidance | None = None,
        **keywords: Any,
    ) -> Tensor:
        """(B, L, C) of latent tokens (B, L, C) that attend to text tokens (B, T, D)."""
        updates: nn.ModuleDict | None = getattr(attention, UPDATES, None)

        def projected(name: str, projection: nn.Module, tokens: Tensor) -> Tensor:
            output: Tensor = projection(tokens)
            if updates is None or row_guidance is None:
                return output
            return output + updates[name](tokens, row_guidance).to(output)

        query, key, value = (
            projected(name, getattr(attention, name), tokens).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for name, tokens in (
                ("to_q", hidden_states),
                ("to_k", encoder_hidden_states),
                ("to_v", encoder_hidden_states),
            )
        )
        if self.keep is None:
            mixed = scaled_dot_product_attention(query, key, value)
        else:
            # In half precision the scores of some models are beyond the largest number.
            scores = attention.scale * query.float() @ key.float().transpose(-1, -2)
            probabilities = scores.softmax(dim=-1)
            self.keep(scores.mean(1), probabilities.mean(1))
            mixed = probabilities.to(value) @ value
        projection, *others = attention.to_out
        mixed = projected("to_out", projection, mixed.transpose(1, 2).flatten(2))
        for layer in others:
            mixed = layer(mixed)
        return mixed


def is_open(processor: Any) -> bool:
    """Whether `CrossAttention` computes what a processor of cross-attention does."""
    return isinstance(processor, CrossAttention) or type(processor).__name__ in PLAIN


class Uninformed:
    """A processor as it was, in a model whose cross-attention is told more than it can use.

    Args:
        processor: of any layer.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, *arguments: Any, row_guidance: RowGuidance | None = None, **keywords: Any) -> Tensor:
        """What the processor returns."""
        output: Tensor = self.processor(*arguments, **keywords)
        return output
