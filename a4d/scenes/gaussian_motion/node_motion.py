"""A motion carried by nodes spread over the shape, each with a turn and a shift at every key moment.

Embedded deformation (Sumner et al. 2007), as SC-GS (Huang et al. 2024) drives Gaussians by sparse control points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a4d.config import Config
from a4d.geometry.deformation.arap import Neighbourhoods
from a4d.geometry.deformation.node_graph import NodeGraph
from a4d.geometry.transforms import rotation_from_quaternion
from a4d.memory import TRAINED_NUMBER
from a4d.scenes.gaussian_motion.motion import Motion, Moved
from a4d.scenes.protocols import Followed

POSE_NUMBERS = 7
"""Of a node at a key: a shift and a turn."""


class NodeMotionConfig(Config):
    """How finely a motion is told."""

    kind: Literal["nodes"] = "nodes"
    nodes: int = Field(default=256, ge=1, le=5000, description="spread over the shape")
    keys: int = Field(default=16, ge=2, le=1024, description="moments at which nodes have a pose, the first at rest")
    momentum: float = Field(
        default=0.7, ge=0, le=1, description="share of the latest change with which a new key begins"
    )
    interpolation: Literal["linear", "cubic"] = Field(
        default="linear", description="between keys: straight, or a Catmull-Rom spline, whose speed never jumps"
    )
    periodic: bool = Field(default=False, description="the last key is at rest like the first: the motion repeats")

    def memory(self) -> int:
        """Bytes of the nodes' poses while they are optimised."""
        return TRAINED_NUMBER * self.nodes * self.keys * POSE_NUMBERS

    @model_validator(mode="after")
    def _check_period(self) -> NodeMotionConfig:
        if self.periodic and self.keys < 3:
            raise ValueError("a periodic motion needs at least 3 keys, of which the first and the last are at rest")
        return self


class NodeMotion(Motion):
    """Poses of M nodes at K keys; the first key is the shape at rest, and of a periodic motion the last one too.

    Args:
        config: numbers.
        graph: the nodes.
        followed: (P, 3) positions of points by name, whose shares of the nodes are found once.
    """

    nodes: Tensor

    def __init__(self, config: NodeMotionConfig, graph: NodeGraph, followed: dict[Followed, Tensor]) -> None:
        super().__init__()
        self.config, self.graph = config, graph
        keys, count = config.keys - 1 - config.periodic, len(graph.nodes)
        # A key of its own per parameter: the optimiser leaves alone those that a step does not see.
        self.shifts = nn.ParameterList(torch.zeros(count, 3) for _ in range(keys))
        self.turns = nn.ParameterList(torch.zeros(count, 4) for _ in range(keys))
        self.register_buffer("nodes", graph.nodes.clone(), persistent=False)
        for name, points in followed.items():
            index, share = graph.influences(points) if len(points) else (torch.zeros(0, 1).long(), torch.zeros(0, 1))
            self.register_buffer(f"{name}_index", index, persistent=False)
            self.register_buffer(f"{name}_share", share, persistent=False)

    @property
    def is_periodic(self) -> bool:
        """As configured."""
        return self.config.periodic

    def initialise(self, generator: torch.Generator) -> None:
        """Nothing is random, and nothing moves."""

    def parameters_of(self) -> dict[str, list[nn.Parameter]]:
        """Shifts in metres, and turns as quaternions beside the identity."""
        return {"shifts": list(self.shifts), "turns": list(self.turns)}

    def poses(self, time: float) -> tuple[Tensor, Tensor]:
        """(M, 3) shifts in metres and (M, 4) quaternions of the nodes at a time in [0, 1]."""
        place = min(max(time, 0.0), 1.0) * (self.config.keys - 1)
        before = min(int(place), self.config.keys - 2)
        shift, turn = torch.zeros_like(self.nodes), torch.zeros_like(self.turns[0])
        here = self._turn(before)
        for key, share in enumerate(self._shares(place - before), start=before - 1):
            if share:
                there = self._turn(key)
                # A quaternion and its negative are the same turn; the near one of both leads the short way.
                sign = torch.where((here * there).sum(-1, keepdim=True) < 0, -share, share)
                shift, turn = shift + share * self._key(self.shifts, key), turn + sign * there
        return shift, torch.nn.functional.normalize(turn, dim=-1)

    def _turn(self, key: int) -> Tensor:
        """(M, 4) quaternions of a key, of any length."""
        turn = self._key(self.turns, key)
        return turn + turn.new_tensor([1.0, 0.0, 0.0, 0.0])

    def _shares(self, fraction: float) -> tuple[float, float, float, float]:
        """Of the key before the last, the last, the next and the one after it, a fraction of the way to the next."""
        if self.config.interpolation == "linear":
            return 0.0, 1 - fraction, fraction, 0.0
        square, cube = fraction**2, fraction**3
        return (
            (2 * square - cube - fraction) / 2,
            (2 - 5 * square + 3 * cube) / 2,
            (fraction + 4 * square - 3 * cube) / 2,
            (cube - square) / 2,
        )

    def _key(self, values: nn.ParameterList, key: int) -> Tensor:
        """(M, C) what a key adds to rest; beyond the ends the motion repeats, or goes on straight."""
        last = self.config.keys - 1
        if self.config.periodic:
            key %= last
        elif not 0 <= key <= last:
            end, inner = (0, 1) if key < 0 else (last, last - 1)
            return 2 * self._key(values, end) - self._key(values, inner)
        value: Tensor = values[key - 1] if key else torch.zeros_like(values[0])
        return value

    def forward(
        self, points: Followed, rest: Tensor, times: Sequence[float], chosen: Tensor | None = None
    ) -> list[Moved]:
        """Points at T moments."""
        index, share = getattr(self, f"{points}_index"), getattr(self, f"{points}_share")
        if chosen is not None:
            index, share = index[chosen], share[chosen]
        return [self._moved(rest, index, share, *self.poses(time)) for time in times]

    def carried(self, points: Tensor, times: Sequence[float]) -> list[Moved]:
        """Any points near the shape at T moments, each by the nodes nearest to it along the surface."""
        index, share = (values.to(points.device) for values in self.graph.influences(points))
        return [self._moved(points, index, share, *self.poses(time)) for time in times]

    def _moved(self, rest: Tensor, index: Tensor, share: Tensor, shift: Tensor, turn: Tensor) -> Moved:
        # Per node x -> R x + b with b = n + t - R n, so that a point's map is the mean of its nodes' maps.
        rotation = rotation_from_quaternion(turn)
        offset = self.nodes + shift - (rotation @ self.nodes[..., None]).squeeze(-1)
        maps = torch.cat([rotation.flatten(1), offset, turn], dim=1)
        blended = torch.nn.functional.embedding_bag(index, maps, per_sample_weights=share, mode="sum")
        linear, constant, quaternion = blended.split([9, 3, 4], dim=1)
        places = (linear.view(-1, 3, 3) @ rest[..., None]).squeeze(-1) + constant
        return Moved(places, quaternion)

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """(T, M, 3) places and (T, M, 3, 3) rotations of the nodes."""
        poses = [self.poses(time) for time in times]
        places = torch.stack([self.nodes + shift for shift, _ in poses])
        return places, rotation_from_quaternion(torch.stack([turn for _, turn in poses]))

    def neighbourhoods(self, count: int) -> Neighbourhoods:
        """The nodes near each along the surface."""
        return self.graph.neighbourhoods(count).to(self.nodes.device)

    @torch.no_grad()
    def carry(self, time: float) -> None:
        """Keys up to `time` that were not optimised before go on as the latest ones did."""
        if time <= float(self.latest):
            return
        last = min(math.ceil(float(self.latest) * (self.config.keys - 1) - 1e-4), len(self.shifts)) - 1
        if last >= 0:
            for values in (self.shifts, self.turns):
                before = values[last - 1] if last else torch.zeros_like(values[0])
                begun = values[last] + self.config.momentum * (values[last] - before)
                for later in values[last + 1 :]:
                    later.copy_(begun)
        self.latest.fill_(time)
