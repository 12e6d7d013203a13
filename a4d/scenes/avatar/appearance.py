"""What the Gaussians of an avatar look like: a table with a row per texel, or a map of features that is decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import grid_sample, softplus

from a4d.config import Config
from a4d.scenes.perceptron import draw_weights
from a4d.scenes.protocols import SurfaceAttributes

NUMBERS, COLOUR = 7, 3
"""Of a texel: an offset, the logarithm of a size, and a colour; and of the colour alone."""

REACH = 0.02
"""Metres by which a network's output of 1 moves a texel."""

UNRECTIFIED = 0.5**0.5
"""The gain of a layer that no rectifier follows."""

UNKNOWN = 0.5
"""The grey that colours begin with."""


class TableConfig(Config):
    """Offset, size and colour of every texel, as parameters of its own."""

    kind: Literal["table"] = "table"


class DecoderConfig(Config):
    """A map of features, smoothed, and a network that reads it at every texel (GaussianAvatar, section 3.3)."""

    kind: Literal["decoder"] = "decoder"
    resolution: int = Field(default=128, ge=8, le=1024, description="of the map of features, along a side")
    channels: int = Field(default=64, ge=1, le=512, description="of the map of features")
    smoothing: int = Field(default=3, ge=0, le=8, description="linear convolutions over the map, 5x5 each")
    width: int = Field(default=128, ge=8, le=1024, description="of the network's layers")


class Appearance(nn.Module, ABC):
    """What of texels is learnt: how far they are off the body, how large they are beside their spacing, their colours.

    Args:
        coordinates: (N, 2) of the texels in the texture.
    """

    coordinates: Tensor

    def __init__(self, coordinates: Tensor) -> None:
        super().__init__()
        self.register_buffer("coordinates", coordinates, persistent=False)

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw what is random."""

    @abstractmethod
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the names of their learning rates."""

    @abstractmethod
    def forward(
        self,
        pose: Tensor | None = None,  # (C, r, r) features of a pose
    ) -> SurfaceAttributes:
        """The N texels, in a pose where the appearance depends on it."""

    @property
    def features(self) -> Tensor | None:
        """The map of features (C, r, r) that is learnt, or None."""
        return None


class AppearanceTable(Appearance):
    """A row per texel; to the features of a pose each texel's colour responds linearly, in its own way.

    Args:
        coordinates: (N, 2) of the texels in the texture.
        pose_channels: of a pose's features; None where no pose is told.
    """

    def __init__(self, coordinates: Tensor, pose_channels: int | None = None) -> None:
        super().__init__(coordinates)
        count = len(coordinates)
        self.offsets = nn.Parameter(torch.zeros(count, 3))
        self.log_scales = nn.Parameter(torch.zeros(count))
        self.colours = nn.Parameter(torch.full((count, 3), UNKNOWN))
        self.responses = None if pose_channels is None else nn.Parameter(torch.zeros(count, pose_channels, COLOUR))

    def initialise(self, generator: torch.Generator) -> None:
        """Responses alone are random; the features of poses begin at 0."""
        if self.responses is not None:
            draw_weights(self.responses, self.responses.shape[1], generator)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """A group for each column of the table."""
        found = {name: [getattr(self, name)] for name in ("offsets", "log_scales", "colours")}
        return found if self.responses is None else {**found, "responses": [self.responses]}

    def forward(self, pose: Tensor | None = None) -> SurfaceAttributes:
        """The rows, and what a pose adds to them."""
        rows = SurfaceAttributes(self.offsets, self.log_scales, self.colours)
        if pose is None or self.responses is None:
            return rows
        added = torch.einsum("nc,nco->no", sampled(pose, self.coordinates), self.responses)
        return replace(rows, colours=rows.colours + added)


class AppearanceDecoder(Appearance):
    """A map of features that convolutions smooth, and a network that makes texels of it; a pose's features are added.

    Five layers, the input joined to the last of them (Park et al. 2019), and a head of three layers for each of the
    outputs, as in POP (Ma et al. 2021); rectifiers are smooth, and nothing is normalised over the texels.

    Args:
        coordinates: (N, 2) of the texels in the texture.
        config: sizes.
    """

    def __init__(self, coordinates: Tensor, config: DecoderConfig) -> None:
        super().__init__(coordinates)
        channels, width = config.channels, config.width
        self.map = nn.Parameter(torch.zeros(channels, config.resolution, config.resolution))
        self.smoothing = nn.Sequential(
            *(nn.Conv2d(channels, channels, 5, padding=2, bias=False) for _ in range(config.smoothing))
        )
        inputs = channels + coordinates.shape[1]
        self.trunk = nn.ModuleList(nn.Linear(width if layer else inputs, width) for layer in range(4))
        self.joined = nn.Linear(inputs + width, width)
        self.heads = nn.ModuleList(
            nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, outputs)])
            for outputs in (3, 1, 3)
        )

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Features near 0, convolutions that hand them on, and outputs that begin near 0."""
        self.map.normal_(0, 0.01, generator=generator)
        for convolution in self.smoothing:
            assert isinstance(convolution, nn.Conv2d)
            draw_weights(convolution.weight, convolution.weight[0].numel(), generator, UNRECTIFIED)
        outputs = {[*head.children()][-1] for head in self.heads}
        for layer in (layer for layer in self.modules() if isinstance(layer, nn.Linear)):
            draw_weights(layer.weight, layer.in_features, generator, 0.1 if layer in outputs else 1)
            layer.bias.zero_()

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The map, and all networks."""
        networks = (self.smoothing, self.trunk, self.joined, self.heads)
        return {"features": [self.map], "decoder": [each for part in networks for each in part.parameters()]}

    @property
    def features(self) -> Tensor:
        """The map before it is smoothed."""
        return self.map

    def forward(self, pose: Tensor | None = None) -> SurfaceAttributes:
        """The texels that the network makes."""
        read = sampled(self.smoothing(self.map[None])[0], self.coordinates)
        if pose is not None:
            read = read + sampled(pose, self.coordinates)
        inputs = torch.cat([read, self.coordinates], dim=1)
        values = inputs
        for layer in self.trunk:
            values = softplus(layer(values))
        values = softplus(self.joined(torch.cat([inputs, values], dim=1)))
        offsets, log_scales, colours = (self._headed(head, values) for head in self.heads)
        return SurfaceAttributes(REACH * offsets, log_scales[:, 0], colours.sigmoid())

    @staticmethod
    def _headed(head: nn.Module, values: Tensor) -> Tensor:
        *hidden, last = head.children()
        for layer in hidden:
            values = softplus(layer(values))
        result: Tensor = last(values)
        return result


def sampled(
    grid: Tensor,  # (C, r, r)
    coordinates: Tensor,  # (N, 2) in [0, 1]
) -> Tensor:
    """(N, C) a map over the texture, interpolated at texels."""
    found = grid_sample(grid[None], 2 * coordinates[None, None] - 1, align_corners=False, padding_mode="border")
    return found[0, :, 0].T
