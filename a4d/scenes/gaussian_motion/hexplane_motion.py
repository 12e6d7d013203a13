"""A motion over a clip as a field: where a point of the shape at time 0 is later, how it has turned, and its size.

Animate3D (Jiang et al. 2024): a two-level hexplane read by heads without biases, and a rigid motion of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config
from a4d.geometry.transforms import quaternion_from_rotation
from a4d.memory import TRAINED_NUMBER
from a4d.render.encoding import HexplaneConfig, HexplaneEncoding
from a4d.render.hexplane_layout import hexplane_layout
from a4d.scenes.gaussian_motion.motion import Motion, Moved
from a4d.scenes.protocols import Followed

HEADS = {"offset": 3, "rotation": 4, "log_scale": 3}
GLOBAL_HEADS = {"global_rotation": 3, "global_translation": 3}


class HexplaneMotionConfig(Config):
    """The sizes of a motion field; the defaults are Animate3D's, but for how a new moment begins."""

    kind: Literal["hexplane"] = "hexplane"
    planes: HexplaneConfig = HexplaneConfig()
    width: int = Field(default=32, ge=1, le=1024, description="hidden features of the heads")
    bound: float | None = Field(default=None, gt=0, description="half of the cube's side in metres; None: it fits")
    reach: float = Field(default=1.0, gt=0, description="metres of the largest global translation along an axis")
    scales: bool = Field(default=False, description="whether sizes change too")
    carries: bool = Field(default=True, description="a moment not seen before starts from the latest seen one")
    momentum: float = Field(default=0.5, ge=0, le=1, description="share of the latest change that goes on then")

    def memory(self) -> int:
        """Bytes of the planes while they are optimised."""
        layout = hexplane_layout(self.planes)
        return TRAINED_NUMBER * (layout.space_parameters + layout.time_parameters)


class MotionField(Motion):
    """Displacements of points over time, exactly none at time 0.

    Before the second of the finest level's moments the motion is a share of itself that grows from 0, so that it begins
    at rest and is continuous in time.

    Args:
        config: sizes.
        whole: (N, 3) metres, the points whose mean features decide the rigid motion.
        bound: half of the side of the cube around the origin that holds the points, metres.
    """

    whole: Tensor

    def __init__(self, config: HexplaneMotionConfig, whole: Tensor, bound: float) -> None:
        super().__init__()
        self.config, self.bound = config, bound
        self.grids = HexplaneEncoding(config.planes)
        features = self.grids.output_features
        self.heads = nn.ModuleDict({name: _head(features, config.width, size) for name, size in HEADS.items()})
        self.global_heads = nn.ModuleDict(
            {name: _head(features, config.width, size) for name, size in GLOBAL_HEADS.items()}
        )
        self.register_buffer("whole", whole.clone(), persistent=False)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw planes and heads; nothing moves, as the last layers are zero."""
        self.grids.initialise(generator)
        for head in (*self.heads.values(), *self.global_heads.values()):
            assert isinstance(head, nn.Sequential)
            first, last = head[0], head[2]
            assert isinstance(first, nn.Linear)
            assert isinstance(last, nn.Linear)
            nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(last.weight)

    def parameters_of(self) -> dict[str, list[nn.Parameter]]:
        """The planes, the heads, and those of the rigid motion."""
        modules = {"grids": self.grids, "heads": self.heads, "global": self.global_heads}
        return {name: list(module.parameters()) for name, module in modules.items()}

    def features(
        self,
        points: Tensor,  # (P, 3) metres, at time 0
        time: float,
    ) -> Tensor:
        """(P, L * F)."""
        instant = points.new_tensor(time)
        features: Tensor = self.grids(points / (2 * self.bound) + 0.5, instant)
        return features

    def forward(
        self, points: Followed, rest: Tensor, times: Sequence[float], chosen: Tensor | None = None
    ) -> list[Moved]:
        """Points at T moments."""
        return self.carried(rest, times)

    def carried(self, points: Tensor, times: Sequence[float]) -> list[Moved]:
        """Any points at T moments."""
        joined, count = torch.cat([points, self.whole]), len(points)
        rows = max(resolution[3] for resolution in self.config.planes.resolutions)
        return [
            self._moved(points, [min(1.0, time * (rows - 1)) * value for value in self._raw(joined, time, count)])
            for time in times
        ]

    def _raw(self, points: Tensor, time: float, count: int) -> list[Tensor]:
        """The heads' outputs at the first `count` points, and those of the global heads for the others."""
        features = self.features(points, time)
        mean = features[count:].mean(0)
        heads = self.heads if self.config.scales else {name: self.heads[name] for name in ("offset", "rotation")}
        return [head(features[:count]) for head in heads.values()] + [head(mean) for head in self.global_heads.values()]

    def _moved(self, rest: Tensor, values: list[Tensor]) -> Moved:
        offset, rotation, *log_scale, angles, shift = values
        turn = rotation_from_euler(math.pi * torch.tanh(angles / 2))
        translation = self.config.reach * torch.tanh(shift / 2)
        places = rest @ turn.T + translation + offset
        return Moved(places, quaternion_from_rotation(turn), rotation, log_scale[0] if log_scale else None)

    @torch.no_grad()
    def carry(self, time: float) -> None:
        """Let moments up to `time` that were not seen before start from the latest one that was."""
        if not self.config.carries or time <= float(self.latest):
            return
        start = 0
        for rows, columns, features in self.grids.layout.time_blocks:
            size = rows * columns * features
            block = self.grids.time[start : start + size].view(rows, -1)
            last = math.ceil(float(self.latest) * (rows - 1) - 1e-4)
            speed = self.config.momentum * (block[last] - block[max(last - 1, 0)])
            ahead = torch.arange(1, rows - last, device=block.device)[:, None].clamp(max=1)
            block[last + 1 :] = block[last] + ahead * speed
            start += size
        self.latest.fill_(time)


def rotation_from_euler(angles: Tensor) -> Tensor:
    """(3, 3) the rotation Rz Ry Rx by (3,) angles in radians around x, y and z."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos(), angles.sin()
    rows = (
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    )  # fmt: skip
    return torch.stack(rows).view(3, 3)


def _head(features: int, width: int, outputs: int) -> nn.Sequential:
    """One hidden layer, no biases."""
    return nn.Sequential(
        nn.Linear(features, width, bias=False), nn.ReLU(), nn.Linear(width, outputs, bias=False)
    )  # fmt: skip
