"""Features of Gaussians, by which frames match."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a4d.errors import ConfigError


class FeatureTable(nn.ParameterList):
    """A row of learnt features for each Gaussian, zero at first; empty where there are no channels.

    Args:
        count: N Gaussians.
        channels: C.
    """

    def __init__(self, count: int, channels: int) -> None:
        super().__init__([nn.Parameter(torch.zeros(count, channels))] if channels else [])

    def required(self) -> Tensor:
        """(N, C) of all Gaussians.

        Raises:
            ConfigError: there are none.
        """
        if not len(self):
            raise ConfigError(
                "this scene learns no features", "Set scene.features to the number of the frames' channels"
            )
        table: Tensor = self[0]
        return table
