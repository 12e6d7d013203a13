"""The network as a whole: a picture to planes of features, and a perceptron that reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a4d.priors.triposr.backbone import Backbone
from a4d.priors.triposr.config import TripoSRConfig
from a4d.priors.triposr.linear import Linear
from a4d.priors.triposr.vision import TableRule, VisionTransformer

PLANES = 3


class Decoder(nn.Module):
    """Features of the planes at a point to its density and colour, before their activations.

    Args:
        config: of the whole.
    """

    def __init__(self, config: TripoSRConfig) -> None:
        super().__init__()
        width = config.decoder.width
        layers: list[nn.Module] = [Linear(PLANES * config.features, width), nn.SiLU()]
        for _ in range(config.decoder.layers - 1):
            layers += [Linear(width, width), nn.SiLU()]
        self.layers = nn.Sequential(*layers, Linear(width, 4))

    def forward(self, features: Tensor) -> Tensor:
        """(N, 4) of (N, 3 F)."""
        out: Tensor = self.layers(features)
        return out


class TripoSRNetwork(nn.Module):
    """All that is learnt, under the names of the released checkpoint.

    Args:
        config: its sizes.
        rule: of the table of positions.
    """

    def __init__(self, config: TripoSRConfig, rule: TableRule = "legacy") -> None:
        super().__init__()
        width, side = config.backbone.width, config.plane
        self.config = config
        self.image_tokenizer = nn.ModuleDict({"model": VisionTransformer(config.vision, rule)})
        self.tokenizer = nn.ParameterDict({"embeddings": nn.Parameter(torch.zeros(PLANES, width, side, side))})
        self.backbone = Backbone(config.backbone, config.vision.width)
        self.post_processor = nn.ModuleDict({"upsample": nn.ConvTranspose2d(width, config.features, 2, 2)})
        self.decoder = Decoder(config)

    def forward(
        self,
        pictures: Tensor,  # (B, H, W, 3) sRGB in [0, 1], of the model's size
    ) -> Tensor:
        """(B, 3, F, S, S) the planes' features, S twice the tokens along a side."""
        return self.upsampled(self.tokens(self.image_tokenizer["model"](pictures)))

    def tokens(
        self,
        picture: Tensor,  # (B, M, D) the picture's tokens
    ) -> Tensor:
        """(B, C, 3 s s) the planes' tokens, plane by plane and row by row."""
        learnt = self.tokenizer["embeddings"].transpose(0, 1).flatten(1)
        out: Tensor = self.backbone(learnt.expand(len(picture), -1, -1), picture)
        return out

    def upsampled(self, tokens: Tensor) -> Tensor:
        """(B, 3, F, S, S) planes of tokens (B, C, 3 s s)."""
        side = self.config.plane
        planes = tokens.unflatten(2, (PLANES, side, side)).transpose(1, 2).flatten(0, 1)
        upsampled: Tensor = self.post_processor["upsample"](planes)
        return upsampled.unflatten(0, (len(tokens), PLANES))
