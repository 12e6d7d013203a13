"""The Gaussians of an avatar in a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.deformation.skinning import apply_per_vertex
from a4d.geometry.gaussians import Gaussians, sh_from_colours
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.protocols import SurfaceAttributes


@dataclass(frozen=True)
class PosedGaussians:
    """N Gaussians on a surface.

    Args:
        gaussians: isotropic, all of one opacity.
        normals: (N, 3) of the surface, unit, without a graph.
    """

    gaussians: Gaussians
    normals: Tensor


def posed_gaussians(
    points: SurfacePoints,
    attributes: SurfaceAttributes,
    transforms: Tensor,  # (J, 4, 4) posed_from_rest of each joint
    *,
    size: float,
    sizes: tuple[float, float],
    opacity: float,
) -> PosedGaussians:
    """Gaussians where the joints take them, differentiable in attributes and transforms.

    Args:
        points: their places on the surface at rest.
        attributes: what is learnt of them.
        transforms: of the pose.
        size: deviation to begin with, over the distance of neighbouring points.
        sizes: least and largest, over that to begin with.
        opacity: in (0, 1).
    """
    posed_from_rest = points.posed_from_rest(transforms)
    means = apply_per_vertex(posed_from_rest, points.positions + attributes.offsets)
    low, high = (math.log(ratio) for ratio in sizes)
    log_scales = (size * points.spacing).log() + attributes.log_scales.clamp(low, high)
    quaternions = torch.eye(1, 4, device=means.device).expand(len(means), 4)
    gaussians = Gaussians(
        means,
        quaternions,
        log_scales[:, None].expand(-1, 3),
        torch.full_like(log_scales, math.log(opacity / (1 - opacity))),
        sh_from_colours(attributes.colours)[:, None],
    )
    normals = (posed_from_rest.detach()[:, :3, :3] @ points.normals[..., None]).squeeze(-1)
    return PosedGaussians(gaussians, normalize(normals, dim=-1))
