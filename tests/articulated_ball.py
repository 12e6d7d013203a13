"""A small articulated scene for tests: Gaussians on two balls, each of which is held by a bone of its own."""

from __future__ import annotations

from typing import Any

import torch

from a4d.geometry.mesh import Mesh
from a4d.geometry.primitives import icosphere
from a4d.scenes.articulated.gaussians import ArticulatedGaussians
from a4d.scenes.seed import Seed

RADIUS = 0.3


def two_balls() -> Mesh:
    """Balls of 0.3 m beside each other, a red and a green one."""
    ball = icosphere(RADIUS, 2)
    sides = [ball.vertices + torch.tensor([side, 0.0, 0.0]) for side in (-0.4, 0.4)]
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.1]]).repeat_interleave(len(ball.vertices), 0)
    return Mesh(torch.cat(sides), torch.cat([ball.faces, ball.faces + len(ball.vertices)]), colours)


def articulated(count: int = 300, moving: bool = False, **settings: Any) -> ArticulatedGaussians:
    """A scene of two bones at the balls; where it moves, one goes up and turns during the clip."""
    spec = {
        "kind": "articulated",
        "count": count,
        "bones": 2,
        "bone_size": 0.7,
        "cycles": 2,
        "resolution": 32,
        **settings,
    }
    scene = ArticulatedGaussians.begin(spec, Seed(mesh=two_balls()), torch.Generator().manual_seed(0))
    if moving:
        layer = scene.articulation.network[-1]
        with torch.no_grad():
            # The second row of each bone's turn, and the height of its shift, by the first wave.
            layer.weight[3, 0] = 0.4
            layer.weight[13, 0] = 0.2
            scene.root.network[-1].bias[6:] = torch.tensor([0.05, 0.0, 0.1])
    return scene
