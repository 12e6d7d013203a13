"""RAFT's network: features of both pictures, all their correlations, and a flow that is updated by looking them up."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, pixel_shuffle, unfold

from a4d.estimation.raft.config import CELL, EncoderConfig, RaftConfig

Norm = Callable[[int], nn.Module]


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    norm: Norm | None = None,
    stride: int = 1,
    is_active: bool = True,
) -> nn.Sequential:
    """A convolution that keeps the size but for its stride, a norm and a rectifier after it."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)]
    layers += [] if norm is None else [norm(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if is_active else []))


class Block(nn.Module):
    """A residual block, of two convolutions, or of three with a quarter of the channels between them.

    Args:
        inputs: channels.
        outputs: channels.
        stride: pixels of a step.
        is_bottleneck: whether it is of three.
        norm: after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, is_bottleneck: bool, norm: Norm | None) -> None:
        super().__init__()
        inner = outputs // 4
        if is_bottleneck:
            self.convnormrelu1 = convolution(inputs, inner, 1, norm)
            self.convnormrelu2 = convolution(inner, inner, 3, norm, stride)
            self.convnormrelu3: nn.Module = convolution(inner, outputs, 1, norm)
        else:
            self.convnormrelu1 = convolution(inputs, outputs, 3, norm, stride)
            self.convnormrelu2 = convolution(outputs, outputs, 3, norm)
            self.convnormrelu3 = nn.Identity()
        short = nn.Identity() if stride == 1 else convolution(inputs, outputs, 1, norm, stride, is_active=False)
        self.downsample: nn.Module = short

    def forward(self, features: Tensor) -> Tensor:
        """(B, C', H', W') of (B, C, H, W)."""
        inside = self.convnormrelu3(self.convnormrelu2(self.convnormrelu1(features)))
        return torch.relu(self.downsample(features) + inside)


class Encoder(nn.Module):
    """Features of pictures at an eighth of their size.

    Args:
        config: its sizes.
        norm: of its convolutions.
    """

    def __init__(self, config: EncoderConfig, norm: Norm | None) -> None:
        super().__init__()
        first, *widths, last = config.widths
        self.convnormrelu = convolution(3, first, 7, norm, stride=2)
        stages = zip([first, *widths], widths, (1, 2, 2), strict=False)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(
                Block(inputs, outputs, stride, config.is_bottleneck, norm),
                Block(outputs, outputs, 1, config.is_bottleneck, norm),
            )
            for inputs, outputs, stride in stages
        )
        self.conv = nn.Conv2d(widths[-1], last, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, C, H / 8, W / 8) of (B, 3, H, W) in [-1, 1]."""
        return self.conv(self.layer3(self.layer2(self.layer1(self.convnormrelu(pictures)))))


class Gates(nn.Module):
    """A gated recurrent unit of convolutions.

    Args:
        inputs: channels beside the state.
        state: channels.
        kernel: rows and columns.
    """

    def __init__(self, inputs: int, state: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = kernel[0] // 2, kernel[1] // 2
        self.convz, self.convr, self.convq = (nn.Conv2d(state + inputs, state, kernel, 1, padding) for _ in range(3))

    def forward(self, state: Tensor, inputs: Tensor) -> Tensor:
        """(B, C, H, W) the next state."""
        both = torch.cat([state, inputs], dim=1)
        update, reset = self.convz(both).sigmoid(), self.convr(both).sigmoid()
        proposed = self.convq(torch.cat([reset * state, inputs], dim=1)).tanh()
        return (1 - update) * state + update * proposed


class MotionEncoder(nn.Module):
    """What the correlations around a place and the flow that led there say together."""

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        first, *second = config.correlation
        self.convcorr1 = convolution(config.levels * (2 * config.radius + 1) ** 2, first, 1)
        self.convcorr2 = convolution(first, second[0], 3) if second else nn.Identity()
        self.convflow1 = convolution(2, config.flow[0], 7)
        self.convflow2 = convolution(config.flow[0], config.flow[1], 3)
        self.conv = convolution(config.correlation[-1] + config.flow[1], config.motion - 2, 3)

    def forward(self, flow: Tensor, correlations: Tensor) -> Tensor:
        """(B, C, H, W), of which the last two channels are the flow."""
        told = torch.cat([self.convcorr2(self.convcorr1(correlations)), self.convflow2(self.convflow1(flow))], dim=1)
        return torch.cat([self.conv(told), flow], dim=1)


class RecurrentBlock(nn.Module):
    """One or two gated units after each other."""

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        inputs = config.context.widths[-1] - config.state + config.motion
        self.convgru1 = Gates(inputs, config.state, config.kernels[0])
        if len(config.kernels) == 2:
            self.convgru2 = Gates(inputs, config.state, config.kernels[1])

    def forward(self, state: Tensor, inputs: Tensor) -> Tensor:
        """(B, C, H, W) the next state."""
        for gates in self.children():
            state = gates(state, inputs)
        return state


class FlowHead(nn.Module):
    """By how much a state corrects the flow."""

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(config.state, config.head, 3, padding=1)
        self.conv2 = nn.Conv2d(config.head, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        """(B, 2, H, W)."""
        return self.conv2(self.conv1(state).relu())


class UpdateBlock(nn.Module):
    """One update of state and flow."""

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        self.motion_encoder = MotionEncoder(config)
        self.recurrent_block = RecurrentBlock(config)
        self.flow_head = FlowHead(config)

    def forward(self, state: Tensor, context: Tensor, correlations: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and the flow's correction (B, 2, H, W)."""
        state = self.recurrent_block(state, torch.cat([context, self.motion_encoder(flow, correlations)], dim=1))
        return state, self.flow_head(state)


class MaskPredictor(nn.Module):
    """With what shares each fine pixel takes the flow of nine coarse ones."""

    QUARTER = 0.25
    """By which the authors multiply what it says."""

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        self.convrelu = convolution(config.state, 256, 3)
        self.conv = nn.Conv2d(256, 9 * CELL * CELL, 1)

    def forward(self, state: Tensor) -> Tensor:
        """(B, 9 * 64, H, W) logits."""
        return self.QUARTER * self.conv(self.convrelu(state))


class Raft(nn.Module):
    """The network, with the names of tensors that torchvision's has.

    Args:
        config: its sizes.
    """

    def __init__(self, config: RaftConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_encoder = Encoder(config.features, nn.InstanceNorm2d)
        self.context_encoder = Encoder(config.context, nn.BatchNorm2d if config.is_context_normed else None)
        self.update_block = UpdateBlock(config)
        self.mask_predictor = MaskPredictor(config) if config.is_upsampled else None

    def forward(self, first: Tensor, second: Tensor, guess: Tensor, updates: int) -> Tensor:
        """The flow from pictures to others.

        Args:
            first: (B, 3, H, W) in [-1, 1], of sides that are multiples of 8 and at least 16 features of the coarsest
                level.
            second: (B, 3, H, W).
            guess: (B, 2, H / 8, W / 8) in features, from which it starts.
            updates: how often it is corrected.

        Returns:
            (B, 2, H, W) pixels right and down.
        """
        here, there = self.feature_encoder(torch.cat([first, second])).chunk(2)
        pyramid = correlation_pyramid(here, there, self.config.levels)
        whole, size = self.context_encoder(first), self.config.state
        state, context = whole[:, :size].tanh(), whole[:, size:].relu()
        places, flow = _places(here), guess
        for _ in range(updates):
            correlations = looked_up(pyramid, places + flow, self.config.radius)
            state, correction = self.update_block(state, context, correlations, flow)
            flow = flow + correction
        if self.mask_predictor is None:
            return CELL * interpolate(flow, scale_factor=CELL, mode="bilinear", align_corners=True)
        return finer(flow, self.mask_predictor(state))


def _places(features: Tensor) -> Tensor:
    """(1, 2, H, W) the columns and rows of features."""
    height, width = features.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows])[None].to(features)


def correlation_pyramid(
    here: Tensor,  # (B, C, H, W)
    there: Tensor,  # (B, C, H, W)
    levels: int,
) -> list[Tensor]:
    """(B * H * W, 1, H', W') for each level, how alike a feature of the first is to all of the second, ever coarser."""
    batch, channels, height, width = here.shape
    products = here.flatten(2).transpose(1, 2) @ there.flatten(2) / math.sqrt(channels)
    pyramid = [products.reshape(batch * height * width, 1, height, width)]
    for _ in range(levels - 1):
        pyramid.append(avg_pool2d(pyramid[-1], 2))
    return pyramid


def looked_up(
    pyramid: list[Tensor],
    places: Tensor,  # (B, 2, H, W) columns and rows
    radius: int,
) -> Tensor:
    """(B, L * (2 R + 1)^2, H, W) the correlations around places at all levels, those of one column after another."""
    batch, _, height, width = places.shape
    steps = torch.arange(-radius, radius + 1).to(places)
    around = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = []
    for level, correlations in enumerate(pyramid):
        size = torch.tensor(correlations.shape[:-3:-1]).to(places)
        grid = 2 * (centres / 2**level + around) / (size - 1) - 1
        found.append(grid_sample(correlations, grid, align_corners=True).view(batch, height, width, -1))
    return torch.cat(found, dim=-1).permute(0, 3, 1, 2)


def finer(
    flow: Tensor,  # (B, 2, H, W) in features
    shares: Tensor,  # (B, 9 * 64, H, W) logits
) -> Tensor:
    """(B, 2, 8 H, 8 W) pixels, each by shares of the nine features around it."""
    batch, _, height, width = flow.shape
    nine = unfold(CELL * flow, 3, padding=1).view(batch, 2, 9, 1, height, width)
    weights = shares.view(batch, 1, 9, CELL * CELL, height, width).softmax(dim=2)
    return pixel_shuffle((weights * nine).sum(dim=2).flatten(1, 2), CELL)
