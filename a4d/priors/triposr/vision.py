"""The vision transformer that reads the picture (Dosovitskiy et al. 2021, as DINO trained it), under DINO's names."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from a4d.priors.triposr.config import VisionConfig
from a4d.priors.triposr.linear import Linear

TableRule = Literal["legacy", "exact"]
"""How the table of positions is brought to another number of patches: as when the weights were trained, or to size."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours of the pictures that it was trained with."""

EPSILON = 1e-12


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention (B, N, C) of queries (B, N, C) to keys and values (B, M, C), whose channels are those of heads."""
    parts = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (query, key, value))
    return scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


class VisionLayer(nn.Module):
    """Attention and a perceptron, each behind its norm."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, inner = config.width, config.inner_width
        projections = {name: Linear(width, width) for name in ("query", "key", "value")}
        self.heads = config.heads
        self.attention = nn.ModuleDict(
            {"attention": nn.ModuleDict(projections), "output": nn.ModuleDict({"dense": Linear(width, width)})}
        )
        self.intermediate = nn.ModuleDict({"dense": Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": Linear(inner, width)})
        self.layernorm_before = nn.LayerNorm(width, EPSILON)
        self.layernorm_after = nn.LayerNorm(width, EPSILON)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) of (B, N, C)."""
        normed = self.layernorm_before(tokens)
        query, key, value = (each(normed) for each in self.attention.get_submodule("attention").children())
        attended = attend(query, key, value, self.heads)
        tokens = tokens + self.attention.get_submodule("output.dense")(attended)
        inner = gelu(self.intermediate["dense"](self.layernorm_after(tokens)))
        return tokens + self.output["dense"](inner)


class VisionTransformer(nn.Module):
    """Pictures to tokens, one for the whole and one for each patch.

    Args:
        config: its sizes.
        rule: for pictures of another number of patches than the table has.
    """

    def __init__(self, config: VisionConfig, rule: TableRule = "legacy") -> None:
        super().__init__()
        width = config.width
        self.config, self.rule = config, rule
        self.embeddings = nn.ParameterDict(
            {
                "cls_token": nn.Parameter(torch.zeros(1, 1, width)),
                "position_embeddings": nn.Parameter(torch.zeros(1, 1 + config.table**2, width)),
            }
        )
        self.embeddings.patch_embeddings = nn.ModuleDict(
            {"projection": nn.Conv2d(3, width, config.patch, config.patch)}
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(VisionLayer(config) for _ in range(config.layers))})
        self.layernorm = nn.LayerNorm(width, EPSILON)
        # Comes with the weights; nothing looks at what it says.
        self.pooler = nn.ModuleDict({"dense": Linear(width, width)})

    def forward(
        self,
        pictures: Tensor,  # (B, H, W, 3) sRGB in [0, 1], H and W multiples of a patch
    ) -> Tensor:
        """(B, 1 + H W / patch², C)."""
        tokens = self.embed(pictures)
        for layer in self.encoder.get_submodule("layer").children():
            tokens = layer(tokens)
        normed: Tensor = self.layernorm(tokens)
        return normed

    def embed(self, pictures: Tensor) -> Tensor:
        """(B, N, C) the tokens of pictures (B, H, W, 3) before the first layer."""
        colours = (pictures - pictures.new_tensor(MEAN)) / pictures.new_tensor(DEVIATION)
        patches = self.embeddings.get_submodule("patch_embeddings.projection")(colours.permute(0, 3, 1, 2))
        whole = self.embeddings["cls_token"].expand(len(pictures), -1, -1)
        return torch.cat([whole, patches.flatten(2).transpose(1, 2)], dim=1) + self.positions(*patches.shape[-2:])

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows columns, C) the table's entries for a picture of so many patches."""
        side, table = self.config.table, self.embeddings["position_embeddings"]
        if rows == columns == side:
            return table
        grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
        if self.rule == "legacy":
            # A tenth of a patch was added against rounding, and the steps between the samples are by it too small.
            factors = ((rows + 0.1) / side, (columns + 0.1) / side)
            resized = interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
        else:
            resized = interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
