"""The transformer that turns learnt planes into those of a picture, in the layers and under the names of diffusers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu

from a4d.priors.triposr.config import BackboneConfig
from a4d.priors.triposr.linear import Linear
from a4d.priors.triposr.vision import attend

GROUPS = 32


class Attention(nn.Module):
    """Attention of tokens to a context.

    Args:
        config: of the backbone.
        context_width: channels of the context.
    """

    def __init__(self, config: BackboneConfig, context_width: int) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.to_q = Linear(config.width, inner, bias=False)
        self.to_k = Linear(context_width, inner, bias=False)
        self.to_v = Linear(context_width, inner, bias=False)
        self.to_out = nn.ModuleList([Linear(inner, config.width)])

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(B, N, C) of tokens (B, N, C) and a context (B, M, D)."""
        attended = attend(self.to_q(tokens), self.to_k(context), self.to_v(context), self.heads)
        out: Tensor = self.to_out[0](attended)
        return out


class GatedPerceptron(nn.Module):
    """A perceptron one half of whose inner channels gates the other (GEGLU, Shazeer 2020).

    Args:
        width: of the tokens; four times as many channels are gated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        gated = nn.ModuleDict({"proj": Linear(width, 8 * width)})
        self.net = nn.ModuleList([gated, nn.Identity(), Linear(4 * width, width)])

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) of (B, N, C)."""
        values, gates = self.net.get_submodule("0.proj")(tokens).chunk(2, dim=-1)
        out: Tensor = self.net[2](values * gelu(gates))
        return out


class Block(nn.Module):
    """The tokens look at each other, then at the picture, then each at itself."""

    def __init__(self, config: BackboneConfig, picture_width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn1 = Attention(config, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.attn2 = Attention(config, picture_width)
        self.norm3 = nn.LayerNorm(config.width)
        self.ff = GatedPerceptron(config.width)

    def forward(self, tokens: Tensor, picture: Tensor) -> Tensor:
        """(B, N, C) of tokens (B, N, C) and those of the picture (B, M, D)."""
        normed = self.norm1(tokens)
        tokens = tokens + self.attn1(normed, normed)
        tokens = tokens + self.attn2(self.norm2(tokens), picture)
        out: Tensor = tokens + self.ff(self.norm3(tokens))
        return out


class Backbone(nn.Module):
    """All blocks, between two projections.

    Args:
        config: their sizes.
        picture_width: channels of the picture's tokens.
    """

    def __init__(self, config: BackboneConfig, picture_width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, config.width, eps=1e-6)
        self.proj_in = Linear(config.width, config.width)
        self.transformer_blocks = nn.ModuleList(Block(config, picture_width) for _ in range(config.layers))
        self.proj_out = Linear(config.width, config.width)

    def forward(self, planes: Tensor, picture: Tensor) -> Tensor:
        """(B, C, N) of learnt tokens (B, C, N) and those of the picture (B, M, D)."""
        tokens = self.proj_in(self.norm(planes).transpose(1, 2))
        for block in self.transformer_blocks:
            tokens = block(tokens, picture)
        out: Tensor = self.proj_out(tokens).transpose(1, 2) + planes
        return out
