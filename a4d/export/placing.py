"""Taking scenes into the frames of files: other axes, another scale, another place."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from a4d.geometry.gaussians import Gaussians
from a4d.geometry.transforms import (
    quaternion_from_rotation,
    quaternion_product,
    rigid_from_parts,
    transform_points,
)
from a4d.render.gaussians_reference import sh_basis

UpAxis = Literal["y", "z"]

PROBES = 64
"""Directions from which the rotation of spherical harmonics is found; 16 coefficients need no more."""


def frame_of_files(up: UpAxis, scale: float) -> Tensor:
    """(4, 4) float64 similarity from a world with +Y up and +Z in front to one whose `up` axis points up.

    Blender's convention for +Z up: the front looks along -Y.
    """
    rotation = torch.eye(3, dtype=torch.float64)
    if up == "z":
        rotation = torch.tensor([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    return rigid_from_parts(scale * rotation, torch.zeros(3, dtype=torch.float64))


def move_gaussians(
    gaussians: Gaussians,
    target_from_source: Tensor,  # (4, 4) similarity without mirroring
) -> Gaussians:
    """The same Gaussians in another frame: places, axes, sizes, and the directions of their colours."""
    matrix = target_from_source.to(gaussians.means.device).double()
    scale = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
    rotation = matrix[:3, :3] / scale
    like = gaussians.means
    return replace(
        gaussians,
        means=transform_points(matrix, gaussians.means.double()).to(like),
        quaternions=quaternion_product(
            quaternion_from_rotation(rotation).expand(len(gaussians), 4), gaussians.quaternions.double()
        ).to(like),
        log_scales=gaussians.log_scales + scale.log().to(like),
        sh=_turned_harmonics(gaussians.sh, rotation, gaussians.sh_degree),
    )


def _turned_harmonics(
    sh: Tensor,  # (N, K, 3)
    rotation: Tensor,  # (3, 3) target_from_source
    degree: int,
) -> Tensor:
    """(N, K, 3) coefficients by which a direction in the target has the colour that it had in the source."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(PROBES, 3, generator=generator).double(), dim=1)
    before, after = sh_basis(directions, degree), sh_basis(directions @ rotation.cpu().T, degree)
    # after @ turned = before @ sh for all directions; both bases span the same functions, so that it is exact.
    turn = torch.linalg.lstsq(after, before).solution.to(sh)
    return torch.einsum("kj,njc->nkc", turn, sh)
