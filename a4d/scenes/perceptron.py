"""The small fully connected networks behind the grids of features."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config


class NetworkConfig(Config):
    """The perceptron that reads the features."""

    width: int = Field(default=32, ge=4, le=512)
    layers: int = Field(default=1, ge=1, le=8, description="hidden ones")


class Perceptron(nn.Sequential):
    """Linear layers with rectifiers between them, from (N, inputs) to (N, outputs).

    Args:
        inputs: features read.
        config: width and number of the hidden layers.
        outputs: values returned.
    """

    def __init__(self, inputs: int, config: NetworkConfig, outputs: int) -> None:
        widths = [inputs, *[config.width] * config.layers, outputs]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all parameters anew, such that the outputs start near 0."""
        for layer in self:
            if isinstance(layer, nn.Linear):
                # The last layer starts near 0.
                draw_weights(layer.weight, layer.in_features, generator, 0.1 if layer is self[-1] else 1)
                layer.bias.zero_()


@torch.no_grad()
def draw_weights(weights: Tensor, inputs: int, generator: torch.Generator, gain: float = 1) -> None:
    """Draw the weights of a layer anew, so that the variance keeps through rectifiers (He et al. 2015).

    Args:
        weights: of any shape, filled in place.
        inputs: numbers that each output is a sum over.
        generator: on the CPU, as the weights are.
        gain: on the deviation; the root of one half for a layer that no rectifier follows.
    """
    limit = math.sqrt(6 / inputs) * gain
    weights.uniform_(-limit, limit, generator=generator)
