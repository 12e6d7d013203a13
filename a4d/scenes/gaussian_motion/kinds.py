"""The kinds of motion by their settings, each about the points that it will carry."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.deformation.node_graph import node_graph
from a4d.scenes.carried_surface import CarriedSurface
from a4d.scenes.gaussian_motion.hexplane_motion import HexplaneMotionConfig, MotionField
from a4d.scenes.gaussian_motion.motion import Motion
from a4d.scenes.gaussian_motion.node_motion import NodeMotion, NodeMotionConfig

MARGIN = 1.25
"""Half of the field's cube over the farthest coordinate of the shape at rest."""

WHOLE = 256
"""Gaussians, spread over all, whose mean features decide the rigid motion of the whole."""


def build_motion(
    config: HexplaneMotionConfig | NodeMotionConfig,
    means: Tensor,  # (N, 3) world, metres, of the Gaussians at rest
    vertices: Tensor,  # (V, 3) world, metres, of the surface; V may be 0
    surface: CarriedSurface | None,
) -> Motion:
    """A motion of a kind, in which nothing moves until it is initialised and optimised.

    Nodes are spread over the surface where there is one, else over the Gaussians; a hexplane's cube holds both.
    """
    if isinstance(config, NodeMotionConfig):
        points, faces = (means, None) if surface is None else (vertices, surface.whole_faces)
        return NodeMotion(config, node_graph(points, faces, config.nodes), {"gaussians": means, "vertices": vertices})
    reach = torch.cat([means, vertices]).abs().max()
    spread = torch.linspace(0, len(means) - 1, min(len(means), WHOLE)).long()
    return MotionField(config, means[spread], config.bound or MARGIN * float(reach))
